"""The first commit of a collection that held objects before its first event."""

import pytest
from unit.environments import Harness, RecordingStore
from unit.values import BUCKET, COLLECTIONS, MORNING, NOON, PREFIX, STYLE

from s3_manifest.manifest.collections import parse_collections
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import UnreadableManifest

OURS = Sweep(kind="style", id="16", created_at=NOON)


def test_a_collection_of_one_listing_is_complete_after_one_commit():
    harness = Harness()
    harness.upload("a.jpg", "b.jpg", "collection.json")
    harness.commit(harness.upload("new.jpg"))
    assert harness.filenames() == ["a.jpg", "b.jpg", "new.jpg"]
    assert harness.head().complete
    assert (len(harness.store.written_heads), harness.queued_jobs) == (1, [])


def test_an_empty_collection_is_complete_at_once():
    harness = Harness()
    harness.commit([PREFIX + "gone.jpg"])
    assert (harness.filenames(), harness.head().complete, harness.queued_jobs) == ([], True, [])


@pytest.mark.parametrize("trigger", ["old.jpg", "new.jpg"])
def test_the_source_of_each_entry_is_the_same_whichever_key_causes_the_first_commit(trigger):
    harness = Harness(subscribed_at=NOON)
    harness.upload("old.jpg", last_modified=MORNING)
    harness.upload("new.jpg", last_modified=NOON)
    harness.commit([PREFIX + trigger])
    assert {entry.filename: (entry.source, entry.generation_type) for entry in harness.head().files} == {
        "new.jpg": ("s3_event", "s3_event"),
        "old.jpg": ("s3_scan", "s3_scan"),
    }
    assert [(group.type, group.image_count) for group in harness.head().generations] == [
        ("s3_event", 1),
        ("s3_scan", 1),
    ]


def test_every_key_is_observed_once():
    harness = Harness()
    harness.upload("old.jpg")
    harness.commit(harness.upload("new.jpg"))
    assert sorted(harness.store.head_keys) == [PREFIX + "new.jpg", PREFIX + "old.jpg"]


def test_a_listing_is_no_observation():
    """A listed object may be deleted before its observation, and then it has no entry."""
    harness = Harness()
    harness.upload("old.jpg")
    list_objects, listing = harness.store.list, harness.store.list(PREFIX)
    harness.store.remove(PREFIX + "old.jpg")
    harness.store.list = lambda prefix, **more: listing if prefix == PREFIX else list_objects(prefix, **more)
    harness.commit(harness.upload("new.jpg"))
    assert harness.filenames() == ["new.jpg"]


def test_a_collection_of_several_listings_is_incomplete_and_requests_a_sweep():
    harness = Harness(RecordingStore(page_size=2))
    harness.upload("a.jpg", "b.jpg", "c.jpg")
    harness.commit(harness.upload("new.jpg"))
    assert harness.filenames() == ["new.jpg"]
    assert not harness.head().complete
    assert harness.queued_jobs == [OURS]


def test_an_unreadable_key_makes_the_manifest_incomplete_and_requests_a_sweep():
    harness = Harness()
    harness.upload("odd.jpg", "a.jpg")
    harness.store.unreadable = {PREFIX + "odd.jpg"}
    outcome = harness.commit(harness.upload("new.jpg"))
    assert harness.filenames() == ["a.jpg", "new.jpg"]
    assert not harness.head().complete
    assert (harness.queued_jobs, list(outcome.unreadable)) == ([OURS], [PREFIX + "odd.jpg"])


def test_the_sweep_is_requested_before_the_head_is_written():
    harness = Harness(RecordingStore(page_size=1))
    keys = harness.upload("a.jpg", "b.jpg")
    queued_before_write = []
    harness.store.before_put = lambda: queued_before_write.extend(harness.queued_jobs)
    harness.commit(keys)
    assert queued_before_write == [OURS]


def test_a_requested_sweep_names_the_creation_time_of_its_head():
    harness = Harness(RecordingStore(page_size=1))
    harness.commit(harness.upload("a.jpg", "b.jpg"))
    assert harness.queued_jobs[0].created_at == harness.head().created_at


def test_two_concurrent_first_commits_create_one_manifest_with_both_files():
    harness = Harness()
    key_of_other = harness.upload("theirs.jpg")
    harness.store.unreadable = set(key_of_other)

    def other_commit():
        harness.store.before_put = lambda: None
        harness.store.unreadable = set()
        harness.commit(key_of_other)

    harness.store.before_put = other_commit
    outcome = harness.commit(harness.upload("mine.jpg"))
    assert outcome.conflicts == 1
    assert harness.filenames() == ["mine.jpg", "theirs.jpg"]
    assert harness.head().complete


def test_a_head_is_created_only_where_none_exists():
    harness = Harness()
    keys = harness.upload("a.jpg")

    def write_unreadable_head():
        harness.store.upload(STYLE.head_key, b"{}")

    harness.store.before_put = write_unreadable_head
    with pytest.raises(UnreadableManifest):
        harness.commit(keys)
    assert harness.store.objects[STYLE.head_key][1] == b"{}"


def test_files_of_a_nested_collection_are_not_part_of_the_outer_one():
    nested = parse_collections(
        "style=styles/{style_id}/, variant=styles/{variant_id}/variants/", COLLECTIONS.root, BUCKET
    )
    harness = Harness(collections=nested)
    harness.upload("variants/x.jpg", "variantsx/y.jpg")
    harness.commit(harness.upload("new.jpg"), collection=nested.lookup("style", "16"))
    assert harness.filenames() == ["new.jpg", "variantsx/y.jpg"]
    assert harness.head().complete
