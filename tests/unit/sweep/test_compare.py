import pytest
from unit.environments import seconds
from unit.sweeping import complete_harness, names
from unit.values import PREFIX, STYLE

from s3_manifest.manifest import layout
from s3_manifest.storage.store import Conflict
from s3_manifest.sweep.compare import Comparer, split_slots

pytestmark = pytest.mark.usefixtures("small_pages")

SWEPT = {
    "0003.jpg": "gone",
    "0004.jpg": "other",
    "0005a.jpg": "new",
    "0017.jpg": "other",
    "0018.jpg": "gone",
    "0035.jpg": "gone",
    "!": "new",
    "zzz": "new",
}


def drifted():
    """A harness whose manifest is wrong about the files in ``SWEPT``."""
    harness = complete_harness(36)
    for name, what in SWEPT.items():
        if what == "gone":
            harness.store.remove(PREFIX + name)
        else:
            harness.upload(name, body=what.encode() * 2)
    harness.store.requests.clear()
    return harness


def comparer(harness, max_keys=10_000, min_seconds_left=30):
    environment = harness.environment
    return Comparer(
        environment.load(STYLE),
        environment.collections,
        max_keys,
        lambda: environment.seconds_left() < min_seconds_left,
    )


def differences(harness, slots_each=64, start="", **more):
    """The differing names from ``start`` on, and how often a range had to be resumed."""
    compare = comparer(harness, **more)
    keys, stops = [], 0
    for whole in split_slots(compare.slots, start, slots_each):
        within, position = whole, start
        while position is not None:
            result = compare.compare(within, position)
            keys += result.keys
            assert result.resume_at is None or result.resume_at > position
            position = result.resume_at
            if position is not None:
                stops += 1
                within = range(layout.slot_index(compare.slots, position), within.stop)
    return sorted(key.removeprefix(PREFIX) for key in keys), stops


@pytest.mark.parametrize("listing", [1, 2, 3, 5, 6, 7, 36, 1000])
@pytest.mark.parametrize("slots_each", [1, 2, 4, 64])
def test_differences_are_found_once_with_any_size_of_listings_and_ranges(slots_each, listing):
    harness = drifted()
    harness.store.page_size = listing
    assert differences(harness, slots_each) == (sorted(SWEPT), 0)


@pytest.mark.parametrize("listing", [1, 2, 3, 5, 6, 7, 36])
@pytest.mark.parametrize("max_keys", [0, 1, 3])
def test_differences_are_found_once_wherever_the_comparison_stops(max_keys, listing):
    harness = drifted()
    harness.store.page_size = listing
    keys, stops = differences(harness, max_keys=max_keys)
    assert keys == sorted(SWEPT)
    assert stops or listing == 36


@pytest.mark.parametrize(
    "start", ["0003.jpg", "0003.jpg\0", "0004.jpg", "0005.jpgx", "0006.jpg", "0017.jpg", "0036", "~"]
)
@pytest.mark.parametrize("slots_each", [1, 64])
def test_a_comparison_from_a_name_on_skips_earlier_names(start, slots_each):
    assert differences(drifted(), slots_each, start) == (sorted(name for name in SWEPT if name >= start), 0)


def test_with_little_time_left_a_comparison_stops_after_a_listing():
    harness = drifted()
    harness.store.page_size = 5
    harness.seconds_left = seconds(29)
    keys, stops = differences(harness)
    assert (keys, stops) == (sorted(SWEPT), len(harness.store.requests_for("LIST")) - 1)


def test_a_comparison_reads_each_page_once():
    harness = drifted()
    pages = [page.key for page in harness.head().pages]
    differences(harness)
    assert harness.store.requests_for("GET", f"{STYLE.folder}pages/") == pages


@pytest.mark.parametrize(
    ("count", "start", "slots_each", "expected"),
    [
        (0, "", 2, [range(1)]),
        (5, "0003.jpg", 2, [range(1)]),
        (36, "", 64, [range(6)]),
        (36, "", 4, [range(4), range(4, 6)]),
        (36, "0006.jpg", 2, [range(1, 3), range(3, 5), range(5, 6)]),
        (36, "zzz", 2, [range(5, 6)]),
    ],
)
def test_a_collection_is_split_into_ranges_of_pages(count, start, slots_each, expected):
    assert split_slots(comparer(complete_harness(count)).slots, start, slots_each) == expected


@pytest.mark.parametrize("sidecar", ["collection.json", "metadata.jsonl", "prompt_metadata.json"])
@pytest.mark.parametrize("happened", ["new", "other", "gone"])
@pytest.mark.parametrize("count", [5, 36])
def test_a_sidecar_that_differs_is_found(sidecar, happened, count):
    harness = complete_harness(count)
    if happened != "new":
        harness.commit(harness.upload(sidecar, body=b"{}"))
        assert differences(harness)[0] == []
    harness.store.remove(PREFIX + sidecar)
    if happened != "gone":
        harness.upload(sidecar, body=b'{"title": "Ice"}')
    assert differences(harness)[0] == [sidecar]
    assert differences(harness, slots_each=1, max_keys=0)[0] == [sidecar]


def test_many_more_files_than_a_page_holds_are_reported_before_the_listing_ends():
    harness = complete_harness(5)
    harness.store.page_size = 10
    harness.upload(*(f"0002-{n:03}" for n in range(200)))
    result = comparer(harness, max_keys=1).compare(range(1), "")
    assert 0 < len(result.keys) < 60
    assert result.resume_at is not None


@pytest.mark.parametrize("left", [0, 1, 7], ids=["everything", "all but the last", "all but the last few"])
def test_a_comparison_of_an_emptied_collection_stops_early_too(left):
    """An emptied large collection has more differences than a sweep can hold."""
    harness = complete_harness(360)
    for name in names(*range(360 - left)):
        harness.store.remove(PREFIX + name)
    result = comparer(harness, max_keys=10).compare(range(60), "")
    assert 10 <= len(result.keys) <= 10 + 6
    assert result.resume_at is not None


def test_a_page_deleted_together_with_its_head_is_a_conflict():
    harness = drifted()
    compare = comparer(harness)
    first = harness.head().pages[0].key
    harness.commit(harness.upload("0001.jpg", body=b"theirs"))
    harness.store.remove(first)
    with pytest.raises(Conflict):
        compare.compare(range(6), "")
