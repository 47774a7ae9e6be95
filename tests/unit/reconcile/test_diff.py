"""What observations change in a manifest, and the change record of it."""

import pytest
from unit.values import (
    EVENING,
    MORNING,
    NOON,
    OTHER_MD5,
    PREFIX,
    PUT,
    absence,
    delta_of,
    entry,
    file_change,
    file_observation,
    head_after,
    head_of,
    sidecar_observation,
)

from s3_manifest.manifest.changes import decode_record, encode_record
from s3_manifest.manifest.model import SWEEP
from s3_manifest.reconcile.delta import FIRST, Delta, change_record, generations_after

KNOWN = {"a.jpg": entry("a.jpg"), "b.jpg": entry("b.jpg", size=5)}
HEAD = head_of(
    file_observation("a.jpg"), file_observation("b.jpg", size=5), sidecar_observation("collection.json", title="Snow")
)
REPLACED = {"etag": OTHER_MD5, "last_modified": NOON}


def delta(*observations, causes=None):
    return delta_of(HEAD, *observations, causes=causes or {})


@pytest.mark.parametrize(
    ("observation", "before", "after"),
    [
        (file_observation("new.jpg"), None, entry("new.jpg")),
        (absence("a.jpg"), entry("a.jpg"), None),
        (file_observation("a.jpg", **REPLACED), entry("a.jpg"), entry("a.jpg", **REPLACED)),
        (file_observation("a.jpg", storage_class="GLACIER"), entry("a.jpg"), entry("a.jpg", storage_class="GLACIER")),
        (sidecar_observation("a.jpg"), entry("a.jpg"), None),
    ],
    ids=["new", "gone", "replaced", "cooled", "a sidecar now"],
)
def test_a_change_has_the_entries_before_and_after(observation, before, after):
    key = PREFIX + (before or after).filename
    (change,) = delta(observation, causes={key: "ObjectCreated:Copy"}).changes
    assert (change.before, change.after, change.cause) == (before, after, "ObjectCreated:Copy")
    assert change.filename == (before or after).filename


@pytest.mark.parametrize(
    "observation",
    [
        file_observation("a.jpg"),
        file_observation("a.jpg", "s3_scan"),
        absence("never.jpg"),
        sidecar_observation("collection.json", title="Snow"),
        absence("metadata.jsonl"),
    ],
)
def test_an_observation_equal_to_the_manifest_is_no_change(observation):
    assert delta(observation)._replace(declared=None) == Delta((), HEAD.sidecars, HEAD.title, None, ())


def test_a_key_named_only_by_a_listing_has_a_sweep_as_its_cause():
    causes = {PREFIX + "b.jpg": "ObjectRemoved:Delete"}
    assert [
        (item.filename, item.cause) for item in delta(absence("a.jpg"), absence("b.jpg"), causes=causes).changes
    ] == [
        ("a.jpg", SWEEP),
        ("b.jpg", "ObjectRemoved:Delete"),
    ]


def test_a_replaced_file_has_the_new_source_and_a_cooled_file_keeps_its_source():
    (replaced,) = delta(file_observation("a.jpg", "s3_scan", **REPLACED)).changes
    (cooled,) = delta(file_observation("a.jpg", "s3_scan", storage_class="GLACIER")).changes
    assert (replaced.after.source, cooled.after.source) == ("s3_scan", "s3_event")


def test_the_record_lists_added_modified_and_removed_files_and_the_state_after():
    file_changes = [
        file_change(None, entry("n.jpg")),
        file_change(KNOWN["a.jpg"], entry("a.jpg", **REPLACED)),
        file_change(KNOWN["b.jpg"], None),
    ]
    after = head_after(
        HEAD,
        file_observation("n.jpg"),
        file_observation("a.jpg", **REPLACED),
        absence("b.jpg"),
        commit="c2",
        now=EVENING,
    )
    record = change_record(after, HEAD, file_changes)
    assert (record.added, record.modified, record.removed) == tuple((item,) for item in file_changes)
    assert list(record.file_changes()) == file_changes
    assert (record.revision, record.commit, record.previous, record.last_synced) == (2, "c2", "c1", EVENING)
    assert (record.total_files, record.total_size_bytes, record.title) == (2, 6, "Snow")
    assert (record.generations, record.sidecars) == (after.generations, after.sidecars)
    assert decode_record(encode_record(record)) == record


def test_the_previous_commit_is_the_last_that_changed_something():
    fenced = head_after(HEAD, commit="fence", now=EVENING)
    after = head_after(fenced, file_observation("n.jpg"), commit="c3")
    assert change_record(after, fenced, ()).previous == "c1"
    assert change_record(HEAD, None, ()).previous == FIRST


@pytest.mark.parametrize(("before", "expected"), [(0, 1), (41, 42)])
def test_the_first_revision_continues_from_earlier_ones(before, expected):
    first = head_after(None, file_observation("a.jpg"), previous_revision=before)
    assert first.revision == expected
    assert head_after(first, file_observation("b.jpg"), previous_revision=before).revision == expected + 1


@pytest.mark.parametrize(
    ("had", "verified", "expected"),
    [
        (None, None, None),
        (None, NOON, NOON),
        (NOON, None, NOON),
        (NOON, EVENING, EVENING),
        (NOON, MORNING, NOON),
        (NOON, NOON, NOON),
    ],
)
@pytest.mark.parametrize("observations", [(), (file_observation("n.jpg"),)], ids=["nothing new", "something new"])
def test_the_time_of_verification_never_goes_back_and_is_no_change(observations, had, verified, expected):
    head = HEAD.model_copy(update={"last_verified_at": had})
    after = head_after(head, *observations, complete=True, verified_at=verified, commit="c2")
    assert (after.last_verified_at, after.revision) == (expected, 1 + len(observations))


def generated(filename, at, run=1):
    return entry(filename, last_modified=at, metadata={"generation-type": "lora", "generation-id": str(run)})


def dates(generations):
    return [(item.generation_id, item.image_count, item.generated_at) for item in generations]


@pytest.mark.parametrize(
    ("file_changes", "expected"),
    [
        ([], [(1, 2, NOON)]),
        ([file_change(generated("a", NOON), None)], [(1, 1, NOON)]),
        ([file_change(generated("b", EVENING), None)], [(1, 1, NOON)]),
        ([file_change(generated("a", NOON), None), file_change(generated("b", EVENING), None)], []),
        ([file_change(generated("a", NOON), generated("a", EVENING))], [(1, 2, NOON)]),
        ([file_change(None, generated("c", MORNING))], [(1, 3, MORNING)]),
        ([file_change(None, generated("c", EVENING))], [(1, 3, NOON)]),
        ([file_change(generated("a", NOON), generated("a", NOON, run=2))], [(1, 1, NOON), (2, 1, NOON)]),
        ([file_change(None, generated("c", MORNING, run=2))], [(1, 2, NOON), (2, 1, MORNING)]),
        (
            [
                file_change(generated("a", NOON), None),
                file_change(generated("b", EVENING), None),
                file_change(None, generated("c", EVENING)),
            ],
            [(1, 1, EVENING)],
        ),
    ],
)
def test_a_generation_keeps_its_date_for_as_long_as_it_has_a_file(file_changes, expected):
    before = generations_after(
        (), [file_change(None, generated("a", NOON)), file_change(None, generated("b", EVENING))]
    )
    assert dates(generations_after(before, file_changes)) == expected


def test_generations_do_not_depend_on_the_order_of_changes():
    file_changes = [
        file_change(generated("a", NOON), generated("a", NOON, run=2)),
        file_change(None, generated("c", MORNING, run=2)),
    ]
    before = generations_after((), [file_change(None, generated("a", NOON))])
    assert generations_after(before, file_changes) == generations_after(before, file_changes[::-1])


def test_an_added_and_removed_file_leaves_no_generation():
    item = generated("a", NOON)
    once = generations_after((), [file_change(None, item, PUT)])
    assert generations_after(once, [file_change(item, None)]) == ()
