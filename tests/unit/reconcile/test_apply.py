import itertools

import pytest
from unit.values import (
    BUCKET,
    EVENING,
    MORNING,
    NOON,
    OTHER_MD5,
    PREFIX,
    absence,
    entry,
    file_change,
    file_observation,
    head_after,
    head_of,
    sidecar_observation,
)

from s3_manifest.reconcile.delta import generations_after
from s3_manifest.sidecars.content import GenerationDeclaration

THREE = (
    file_observation("a.jpg"),
    file_observation("b.jpg", size=5),
    sidecar_observation("collection.json", title="Snow"),
)


def stable_fields(head):
    """The fields of a head that do not change with every commit."""
    return head.model_dump(exclude={"commit", "last_change", "last_synced", "revision"})


def names(head):
    return [entry.filename for entry in head.files]


def test_the_first_commit_creates_the_manifest():
    head = head_after(None, *THREE, commit="c1", now=NOON)
    assert (head.kind, head.id, head.s3_bucket, head.s3_prefix) == ("style", "16", BUCKET, PREFIX)
    assert (head.revision, head.commit, head.last_change) == (1, "c1", "c1")
    assert (head.created_at, head.last_synced, head.last_verified_at) == (NOON, NOON, None)
    assert (head.total_files, head.total_size_bytes, head.complete) == (2, 8, False)


def test_a_first_commit_without_objects_creates_an_empty_manifest():
    head = head_after(None, absence("a.jpg"), complete=True)
    assert (head.files, head.total_files, head.total_size_bytes, head.generations) == ((), 0, 0, ())
    assert (head.revision, head.complete) == (1, True)


@pytest.mark.parametrize("source", ["s3_event", "s3_scan"])
def test_a_repeated_observation_changes_only_the_commit(source):
    first = head_of(*THREE)
    again = head_after(first, file_observation("a.jpg", source), *THREE[1:], commit="c2", now=EVENING)
    assert stable_fields(again) == stable_fields(first)
    assert (again.revision, again.last_change) == (first.revision, first.last_change)
    assert (again.commit, again.last_synced) == ("c2", EVENING)


def test_a_commit_without_keys_has_a_new_commit_id():
    assert head_after(head_of(*THREE), commit="c2").commit == "c2"


def test_the_order_of_observations_does_not_matter():
    before = head_of(
        file_observation("a.jpg", size=9), file_observation("old.jpg"), sidecar_observation("metadata.jsonl")
    )
    observations = (*THREE, absence("old.jpg"), absence("metadata.jsonl"))
    results = [head_after(before, *order) for order in itertools.permutations(observations)]
    assert all(result == results[0] for result in results)


def test_observations_in_two_commits_have_the_result_of_one_commit():
    together = head_after(head_of(file_observation("old.jpg")), *THREE, absence("old.jpg"))
    in_two_commits = head_after(head_after(head_of(file_observation("old.jpg")), *THREE), absence("old.jpg"))
    assert stable_fields(in_two_commits) == stable_fields(together)


@pytest.mark.parametrize(
    "observation",
    [
        file_observation("new.jpg"),
        file_observation("a.jpg", etag=OTHER_MD5),
        file_observation("a.jpg", storage_class="GLACIER"),
        absence("a.jpg"),
        sidecar_observation("metadata.jsonl"),
        sidecar_observation("collection.json", etag=OTHER_MD5, title="Snow"),
        sidecar_observation("collection.json", title="Ice"),
        absence("collection.json"),
    ],
    ids=[
        "added",
        "replaced",
        "cooled",
        "removed",
        "sidecar added",
        "sidecar replaced",
        "title replaced",
        "title removed",
    ],
)
def test_the_revision_rises_by_one_where_the_manifest_changes(observation):
    first = head_of(*THREE)
    second = head_after(first, observation, commit="c2", now=EVENING)
    assert (second.revision, second.commit, second.last_change) == (2, "c2", "c2")
    assert stable_fields(second) != stable_fields(first)


@pytest.mark.parametrize(
    "observation", [absence("never.jpg"), file_observation("a.jpg", "s3_scan"), absence("metadata.jsonl")]
)
def test_the_revision_stays_where_the_manifest_does_not_change(observation):
    assert head_after(head_of(*THREE), observation).revision == 1


def test_many_keys_in_one_commit_are_one_revision():
    assert head_after(head_of(*THREE), file_observation("c"), file_observation("d"), absence("a.jpg")).revision == 2


def test_files_are_sorted_by_name_without_duplicates():
    head = head_of(*(file_observation(name) for name in ("b", "a/z", "a", "B", "é", "a b", "🎨", "a", "\ufffd")))
    assert names(head) == ["B", "a", "a b", "a/z", "b", "é", "\ufffd", "🎨"]
    assert names(head) == sorted(names(head), key=str.encode)


def test_totals_count_the_present_files():
    head = head_after(
        head_of(file_observation("a", size=10), file_observation("b", size=5)),
        absence("a"),
        file_observation("c", size=7),
    )
    assert (head.total_files, head.total_size_bytes) == (2, 12)


def test_sidecars_are_listed_separately_in_order_and_not_counted():
    head = head_of(
        sidecar_observation("prompt_metadata.json"),
        file_observation("a.jpg"),
        sidecar_observation("collection.json", title="Snow"),
    )
    assert [sidecar.s3_key for sidecar in head.sidecars] == [
        PREFIX + "collection.json",
        PREFIX + "prompt_metadata.json",
    ]
    assert (names(head), head.total_files, head.total_size_bytes) == (["a.jpg"], 1, 3)


def test_a_key_is_a_file_or_a_sidecar_and_never_both():
    was_file = head_of(file_observation("metadata.jsonl"))
    now_sidecar = head_after(was_file, sidecar_observation("metadata.jsonl"))
    assert (now_sidecar.total_files, len(now_sidecar.sidecars)) == (0, 1)
    file_again = head_after(now_sidecar, file_observation("metadata.jsonl"))
    assert (file_again.total_files, len(file_again.sidecars)) == (1, 0)


def test_the_title_is_that_of_collection_json_while_it_exists():
    head = head_of(file_observation("a.jpg"))
    assert head.title is None
    head = head_after(head, sidecar_observation("collection.json", title="Snow"))
    assert head.title == "Snow"
    head = head_after(head, file_observation("b.jpg"), sidecar_observation("prompt_metadata.json"))
    assert head.title == "Snow"
    head = head_after(head, sidecar_observation("collection.json", etag=OTHER_MD5, title=None))
    assert head.title is None
    head = head_after(head, sidecar_observation("collection.json", title="Ice"))
    assert head_after(head, absence("collection.json")).title is None


def test_the_absence_of_a_nested_collection_json_keeps_the_title():
    assert (
        head_after(head_of(sidecar_observation("collection.json", title="Snow")), absence("deep/collection.json")).title
        == "Snow"
    )


def test_a_complete_manifest_stays_complete():
    complete = head_after(None, *THREE, complete=True)
    assert head_after(complete, file_observation("new.jpg"), complete=False).complete


def test_becoming_complete_raises_the_revision():
    head = head_after(head_after(None, *THREE, complete=False), complete=True, commit="c2")
    assert (head.complete, head.revision, head.last_change) == (True, 2, "c2")


def test_a_commit_keeps_the_times_of_creation_and_verification():
    first = head_of(*THREE).model_copy(update={"last_verified_at": NOON})
    second = head_after(first, file_observation("new.jpg"), now=EVENING)
    assert (second.created_at, second.last_synced, second.last_verified_at) == (NOON, EVENING, NOON)


@pytest.mark.parametrize("observations", [(), (file_observation("new.jpg"),)], ids=["nothing new", "something new"])
def test_a_slow_clock_does_not_move_the_manifests_time_back(observations):
    assert head_after(head_of(*THREE), *observations, now=MORNING).last_synced == NOON


def declared(filename, type_, number, **facts):
    return entry(filename, metadata={"generation-type": type_, "generation-id": str(number)}, **facts)


def counts(entries):
    generations = generations_after((), [file_change(None, entry) for entry in entries])
    return [(g.type, g.generation_id, g.image_count, g.generated_at) for g in generations]


def test_the_files_of_each_generation_are_counted():
    assert counts(
        [
            declared("a", "lora", 2, last_modified=EVENING),
            declared("b", "lora", 1, last_modified=NOON),
            declared("c", "lora", 2, last_modified=NOON),
            declared("d", "sdxl", 1, last_modified=MORNING),
            entry("e", last_modified=EVENING),
        ]
    ) == [
        ("lora", 1, 1, NOON),
        ("lora", 2, 2, NOON),
        ("s3_event", 1, 1, EVENING),
        ("sdxl", 1, 1, MORNING),
    ]


def test_declared_generations_are_listed_oldest_first_and_the_others_by_type_and_id():
    files = [declared(f"{run}.jpg", "lora", run, last_modified=NOON) for run in ("b", 10, 2, "007")]
    runs = [
        GenerationDeclaration(generation_id=run, type="sdxl", generated_at=at, metadata={})
        for run, at in ((1, EVENING), (2, MORNING))
    ]
    generations = generations_after((), [file_change(None, file) for file in files], runs)
    assert [item.generation_id for item in generations] == [2, 1, 2, 10, "007", "b"]


def test_the_order_of_generations_does_not_depend_on_a_file_that_was_deleted_again():
    brief = declared("brief", "sdxl", 1, last_modified=MORNING)
    files = [declared("a", "lora", 1, last_modified=NOON), declared("b", "sdxl", 1, last_modified=EVENING)]
    uploads = [file_change(None, file) for file in files]
    observed = generations_after(
        generations_after((), [file_change(None, brief), *uploads]), [file_change(brief, None)]
    )
    missed = generations_after((), uploads)
    assert [(item.type, item.image_count) for item in observed] == [(item.type, item.image_count) for item in missed]
    assert observed != missed  # in the date of one of them


def test_a_generation_has_the_date_of_its_first_image():
    dated = entry("a", metadata={"generated-at": "2026-01-01"}, last_modified=EVENING)
    assert counts([dated, entry("b", last_modified=MORNING)]) == [("s3_event", 1, 2, "2026-01-01T00:00:00.000Z")]


def test_generations_do_not_depend_on_the_order_of_files():
    files = [declared(str(n), f"t{n % 3}", n % 2) for n in range(6)]
    assert {tuple(counts(order)) for order in itertools.permutations(files)} == {tuple(counts(files))}


def test_every_commit_updates_the_counts_of_generations():
    head = head_of(file_observation("a.jpg", "s3_scan"), file_observation("b.jpg", "s3_scan"))
    assert [g.image_count for g in head.generations] == [2]
    assert [g.image_count for g in head_after(head, absence("a.jpg")).generations] == [1]
    assert head_after(head, absence("a.jpg"), absence("b.jpg")).generations == ()
