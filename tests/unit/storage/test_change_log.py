import math
import random

import pytest
from unit.environments import RecordingStore
from unit.values import STYLE, file_observation, head_after, head_of

from s3_manifest.reconcile.delta import FIRST, change_record
from s3_manifest.storage import change_log
from s3_manifest.storage.change_log import RecordName

FOLDER = "_manifests/styles/16/changes/"


def head_at(revision, last_change):
    return head_of().model_copy(update={"revision": revision, "last_change": last_change, "commit": "latest"})


def link(text):
    """``3 c b`` is the record of revision 3 that the commit c made after the commit b."""
    revision, commit, previous = text.split()
    return RecordName(int(revision), commit, previous)


def links(*texts):
    return sorted(map(link, texts))


def stored(*records):
    store = RecordingStore()
    for record in records:
        store.add(change_log.record_key(STYLE, record), b"{}")
    store.requests.clear()
    return store


def test_the_key_of_a_record_names_its_revision_its_commit_and_the_previous_commit():
    first = head_of(file_observation("a.jpg"))
    second = head_after(first, file_observation("b.jpg"), commit="c2")
    assert change_log.record_key(STYLE, change_record(first, None, ())) == f"{FOLDER}000000000001-c1-first.json"
    assert change_log.record_key(STYLE, change_record(second, first, ())) == f"{FOLDER}000000000002-c2-c1.json"


@pytest.mark.parametrize(
    "record", [RecordName(1, "c", FIRST), RecordName(999_999_999_999, "0" * 32, "f" * 32), RecordName(42, "c", "b")]
)
def test_a_key_is_parsed_to_its_record(record):
    assert change_log.parse_names([change_log.record_key(STYLE, record)]) == [record]


def test_keys_are_in_the_order_of_their_revisions():
    records = [RecordName(revision, "c", "b") for revision in (1, 2, 9, 10, 99, 100, 10**11)]
    keys = [change_log.record_key(STYLE, record) for record in records]
    assert keys == sorted(keys)
    assert change_log.parse_names(keys) == records


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "000000000001-a.json",
        "000000000001-a-b",
        "000000000001-a-b.json.bak",
        "1-a-b.json",
        "0000000000001-a-b.json",
        "00000000000x-a-b.json",
        "000000000001-a-b-c.json",
        "000000000001--b.json",
        "000000000001-a-.json",
        "x000000000001-a-b.json",
        "000000000001-a-b.json\n",
    ],
)
def test_a_foreign_object_is_no_record(name):
    assert change_log.parse_names([FOLDER + name]) == []


@pytest.mark.parametrize("revision", [0, 1, 8, 9, 99])
def test_a_listing_after_a_revision_begins_with_the_next_one(revision):
    keys = [change_log.record_key(STYLE, RecordName(n, "\U0010ffff", "b")) for n in range(1, 101)]
    assert [key for key in keys if key > change_log.listing_start(STYLE, revision)] == keys[revision:]


THREE = ("1 a first", "2 b a", "3 c b")


@pytest.mark.parametrize(
    ("names", "head", "expected"),
    [
        (THREE, (3, "c"), THREE),
        ((*THREE, "1 x first"), (3, "c"), THREE),
        ((*THREE, "2 x a"), (3, "c"), THREE),
        ((*THREE, "3 x b", "3 y b"), (3, "c"), THREE),
        ((*THREE, "1 x first", "2 y a", "3 z b", "4 w c"), (3, "c"), THREE),
        ((*THREE, "4 d c"), (3, "c"), THREE),
        ((*THREE, "4 d c", "4 e c"), (3, "c"), THREE),
        ((*THREE, "4 d c", "5 e d"), (3, "c"), THREE),
        (("2 b a", "3 c b"), (3, "c"), ("2 b a", "3 c b")),
        (("3 c b", "3 x b"), (3, "c"), ("3 c b",)),
        (("1 a first", "2 b a", "2 x a"), (3, "c"), ("1 a first",)),
        (("1 a first", "2 b a", "3 c b", "3 x b", "4 d c"), (9, "z"), THREE),
        ((*THREE, "4 d first", "5 e d"), (5, "e"), ("1 a first", "2 b a", "4 d first", "5 e d")),
        (("1 a first", "1 b first"), (1, "b"), ("1 b first",)),
        # A later record of a lost commit, after one of the same revision in a manifest that is gone.
        ((*THREE, "3 x first", "4 y x"), (3, "c"), THREE),
        # An earlier manifest had the same revisions, and so did a commit that was lost.
        (
            ("4 p first", "5 q p", "5 f first", "6 r q", "6 g f", "7 h g"),
            (7, "h"),
            ("5 f first", "6 g f", "7 h g"),
        ),
        ((), (3, "c"), ()),
        # An id that repeats (none does) is distinguished by its revision.
        (("1 a first", "2 b a", "2 a a", "3 c b"), (3, "c"), ("1 a first", "2 b a", "3 c b")),
    ],
)
def test_the_chain_holds_the_records_of_the_commits_that_led_to_the_head(names, head, expected):
    assert change_log.follow_chain(links(*names), head_at(*head)) == links(*expected)


@pytest.mark.parametrize("seed", range(20))
def test_a_chain_is_found_among_any_number_of_lost_commits(seed):
    rng = random.Random(seed)
    committed, last = [], FIRST
    lost = []
    for revision in range(1, rng.randrange(2, 40)):
        commit = f"c{revision}"
        committed.append(RecordName(revision, commit, last))
        lost += [RecordName(revision, f"{rng.choice('abdz')}{revision}x{n}", last) for n in range(rng.randrange(4))]
        last = commit
    in_flight = [RecordName(committed[-1].revision + 1, f"n{n}", last) for n in range(rng.randrange(3))]
    names = sorted(committed + lost + in_flight)
    assert change_log.follow_chain(names, head_at(committed[-1].revision, last)) == committed
    cut = rng.randrange(len(committed))
    assert (
        change_log.follow_chain([n for n in names if n.revision > cut], head_at(committed[-1].revision, last))
        == committed[cut:]
    )


def test_without_a_record_the_last_revision_is_none():
    assert change_log.highest_revision(stored(), STYLE) == 0


@pytest.mark.parametrize("last", [*range(1, 40), 63, 64, 65, 99, 100, 127, 128, 129, 255, 256, 257, 300])
def test_the_last_revision_is_found_in_few_listings(last):
    store = stored(*(RecordName(n, "c", "b") for n in range(1, last + 1)))
    assert change_log.highest_revision(store, STYLE) == last
    assert len(store.requests_for("LIST")) == len(store.requests) <= 2 * math.log2(last + 1) + 2


@pytest.mark.parametrize(
    "revisions",
    [{300}, {2}, {7, 300}, {1, 300}, set(range(250, 301)), {1, 2, 3, 100}, {5, 6, 9, 17, 33}, {10**11, 10**11 + 5}],
    ids=str,
)
def test_the_last_revision_is_found_after_any_gap_that_retention_left(revisions):
    store = stored(*(RecordName(n, "c", "b") for n in revisions))
    assert change_log.highest_revision(store, STYLE) == max(revisions)
    assert len(store.requests) <= 2 * math.log2(max(revisions)) + 4


@pytest.mark.parametrize("seed", range(20))
def test_the_last_revision_is_found_among_any_records(seed):
    rng = random.Random(seed)
    revisions = rng.sample(range(1, 301), rng.randrange(1, 60))
    store = stored(*(RecordName(n, f"c{m}", "b") for n in revisions for m in range(rng.randrange(1, 3))))
    assert change_log.highest_revision(store, STYLE) == max(revisions)


@pytest.mark.parametrize("name", ["000000000002-note.txt", "0", "zzz", "000000000009-a-b.json.bak"])
def test_a_foreign_object_hides_no_later_revision(name):
    store = stored(*(RecordName(n, "c", "b") for n in (1, 2, 3, 8, 9)))
    store.upload(FOLDER + name, b"")
    assert change_log.highest_revision(store, STYLE) == 9


def test_the_records_of_other_collections_do_not_count():
    store = stored(RecordName(3, "c", "b"))
    store.add(change_log.record_key(STYLE._replace(prefix="styles/160/"), RecordName(9, "c", "b")), b"{}")
    assert change_log.highest_revision(store, STYLE) == 3
