from dataclasses import replace

import pytest
from unit.environments import Harness, seconds
from unit.values import MORNING, NOON, OTHER_MD5, PREFIX, PUT, SOME_MD5, STYLE

from s3_manifest.reconcile.commit import commit
from s3_manifest.storage.store import OutcomeUnknown, ReadFailed

MULTIPART = {"etag": f"{SOME_MD5}-2"}


def test_the_md5_of_an_object_is_computed_where_nothing_else_proves_it():
    harness = Harness(md5_max_bytes=3)
    harness.commit(harness.upload("a.jpg", body=b"abc", **MULTIPART))
    (entry,) = harness.head().files
    assert (entry.md5_hash, entry.md5_source) == ("900150983cd24fb0d6963f7d28e17f72", "computed")


@pytest.mark.parametrize(
    "facts",
    [{"etag": OTHER_MD5}, MULTIPART | {"metadata": {"md5": OTHER_MD5}}, MULTIPART | {"archived": True}],
    ids=["proven by the etag", "proven by the uploader", "archived"],
)
def test_an_md5_that_is_proven_or_cannot_be_read_is_not_computed(facts):
    harness = Harness(md5_max_bytes=3)
    harness.commit(harness.upload("a.jpg", **facts))
    assert harness.store.md5_keys == []


def test_the_md5_of_a_larger_object_than_allowed_is_not_computed():
    harness = Harness(md5_max_bytes=2)
    harness.commit(harness.upload("a.jpg", **MULTIPART))
    assert (harness.store.md5_keys, harness.head().files[0].md5_hash) == ([], None)


def test_the_md5_of_an_object_that_stays_the_same_is_computed_once():
    harness = Harness(md5_max_bytes=3)
    keys = harness.upload("a.jpg", **MULTIPART)
    for _ in range(3):
        harness.commit(keys)
    assert harness.store.md5_keys == keys
    assert harness.head().revision == 1


def test_the_md5_of_another_object_at_the_key_is_computed_again():
    harness = Harness(md5_max_bytes=3)
    harness.commit(harness.upload("a.jpg", body=b"xyz", **MULTIPART))
    harness.commit(harness.upload("a.jpg", body=b"abc", etag=f"{OTHER_MD5}-2"))
    assert harness.head().files[0].md5_hash == "900150983cd24fb0d6963f7d28e17f72"


def test_after_a_conflict_keys_are_observed_again_but_the_same_bytes_not_read_again():
    harness = Harness(md5_max_bytes=3)
    keys = harness.upload("a.jpg", "b.jpg", **MULTIPART)

    def lost():
        harness.store.before_put = lambda: None
        raise OutcomeUnknown(STYLE.head_key, "lost")

    harness.store.before_put = lost
    harness.commit(keys)
    assert harness.store.head_keys == keys * 2
    assert harness.store.md5_keys == keys
    assert [entry.md5_source for entry in harness.head().files] == ["computed"] * 2


def test_when_time_runs_short_no_more_md5s_are_computed_and_the_known_ones_stay():
    harness = Harness(md5_max_bytes=3)
    harness.commit([])
    keys = harness.upload("a.jpg", "b.jpg", "c.jpg", **MULTIPART)
    harness.seconds_left = seconds(900, 900, 5)
    outcome = harness.commit([*keys, *harness.upload("proven.jpg")])
    assert harness.store.md5_keys == keys[:1]
    assert outcome.timed_out == keys[1:]
    assert not outcome.unreadable
    assert harness.filenames() == ["a.jpg", "proven.jpg"]


@pytest.mark.parametrize("times", [1, 2])
def test_an_object_replaced_while_its_md5_is_computed_is_observed_again(times, monkeypatch):
    harness = Harness(md5_max_bytes=3)
    keys = harness.upload("a.jpg", body=b"old", **MULTIPART)
    left = [f"{OTHER_MD5}-{n}" for n in range(times)]
    compute = harness.store.md5

    def replaced_first(key, etag):
        if left:
            harness.upload("a.jpg", body=b"abc", etag=left.pop())
        return compute(key, etag)

    monkeypatch.setattr(harness.store, "md5", replaced_first)
    harness.commit(keys)
    assert harness.head().files[0].md5_hash == "900150983cd24fb0d6963f7d28e17f72"


def test_an_object_that_is_replaced_constantly_is_reported_as_unreadable(monkeypatch):
    harness = Harness(md5_max_bytes=3)
    keys = harness.upload("a.jpg", **MULTIPART)
    versions = iter(range(99))
    compute = harness.store.md5

    def replaced_first(key, etag):
        harness.upload("a.jpg", etag=f"{OTHER_MD5}-{next(versions)}")
        return compute(key, etag)

    monkeypatch.setattr(harness.store, "md5", replaced_first)
    outcome = harness.commit(keys)
    assert list(outcome.unreadable) == keys


def sidecars(harness):
    return [(sidecar.s3_key.removeprefix(PREFIX), sidecar.etag) for sidecar in harness.head().sidecars]


@pytest.mark.parametrize("filename", ["collection.json", "prompt_metadata.json", "metadata.jsonl"])
def test_an_object_that_describes_others_is_a_sidecar(filename):
    harness = Harness()
    harness.commit(harness.upload(filename, etag=SOME_MD5))
    assert sidecars(harness) == [(filename, SOME_MD5)]
    assert harness.filenames() == []


@pytest.mark.parametrize("filename", ["deep/collection.json", "Collection.json", "collection.json.bak"])
def test_an_object_with_a_name_similar_to_a_sidecar_is_a_file(filename):
    harness = Harness()
    harness.commit(harness.upload(filename))
    assert (harness.filenames(), sidecars(harness)) == ([filename], [])


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b'{"title": "Snow", "more": 1}', "Snow"),
        ('{"title": "\u753b"}'.encode(), "画"),
        (b'{"title": ""}', ""),
        (b'{"title": 7}', None),
        (b'{"title": null}', None),
        (b'{"name": "Snow"}', None),
        (b'["title"]', None),
        (b"", None),
        (b"{", None),
        (b'{"title": "\xff"}', None),
        (b'{"title": "\\ud800"}', None),
        (b"[" * 10_000, None),
        (b'{"title": "' + b"x" * 1_000_000 + b'"}', None),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_collection_json_sets_the_title_if_it_has_one(body, title):
    harness = Harness()
    harness.commit(harness.upload("collection.json", body=body))
    assert harness.head().title == title
    assert len(sidecars(harness)) == 1


@pytest.fixture
def changed_after_its_head(monkeypatch):
    """Commits a ``collection.json`` that ``change`` modifies after its HEAD; returns the harness."""

    def commit(change):
        harness = Harness()
        keys = harness.upload("collection.json", body=b'{"title": "Old"}')
        head = harness.store.head

        def head_before_the_change(key):
            present = head(key)
            change(harness, key)
            return present

        monkeypatch.setattr(harness.store, "head", head_before_the_change)
        harness.commit(keys)
        return harness

    return commit


def test_the_title_and_the_etag_are_of_the_same_collection_json(changed_after_its_head):
    new = {"body": b'{"title": "New"}', "etag": OTHER_MD5}
    harness = changed_after_its_head(lambda harness, _: harness.upload("collection.json", **new))
    assert (harness.head().title, sidecars(harness)) == ("New", [("collection.json", OTHER_MD5)])


def test_a_collection_json_removed_after_its_observation_is_missing(changed_after_its_head):
    harness = changed_after_its_head(lambda harness, key: harness.store.remove(key))
    assert (harness.head().title, sidecars(harness)) == (None, [])


@pytest.mark.parametrize(
    "metadata",
    [{"md5": "é"}, {"generated-at": "0001-01-01"}, {"prompt": "=?raw_unicode_escape?Q?=5Cud800?="}],
    ids=lambda metadata: next(iter(metadata)),
)
def test_odd_metadata_of_one_object_does_not_keep_others_out_of_the_manifest(metadata):
    harness = Harness()
    harness.commit([*harness.upload("odd.jpg", metadata=metadata, **MULTIPART), *harness.upload("a.jpg")])
    assert "a.jpg" in harness.filenames()


def test_the_subscription_record_is_read_after_the_objects_were_observed():
    """An object that was announced may be seen by a commit that began before the record was written."""
    harness = Harness(subscribed_at=None)
    head = harness.store.head

    def subscribe_first(key):
        harness.subscribed_at = NOON
        return head(key)

    harness.store.head = subscribe_first
    harness.commit(harness.upload("a.jpg", "a.txt"))
    assert {entry.source for entry in (*harness.head().files, *harness.head().captions)} == {"s3_event"}


def test_without_a_subscription_record_an_object_counts_as_found_by_a_listing():
    harness = Harness(subscribed_at=None)
    harness.commit(harness.upload("a.jpg"))
    assert harness.head().files[0].source == "s3_scan"


def test_a_commit_fails_and_is_retried_if_the_subscription_record_cannot_be_read():
    harness = Harness()
    keys = harness.upload("a.jpg")

    def refused(collection):
        raise ReadFailed(f"{collection.root}subscription.json", "503")

    with pytest.raises(ReadFailed, match=r"subscription\.json: 503"):
        commit(replace(harness.environment, subscribed_at=refused), STYLE, dict.fromkeys(keys, PUT))
    assert harness.store.written_heads == []
    harness.commit(keys)
    assert harness.head().files[0].source == "s3_event"


def test_the_subscription_record_is_read_once_per_commit_and_only_for_files():
    harness, read = Harness(), []
    environment = replace(harness.environment, subscribed_at=lambda collection: read.append(collection) or MORNING)
    harness.upload("a.jpg", "b.jpg", "c.txt")
    commit(environment, STYLE, {PREFIX + "gone.jpg": PUT})
    assert read == [STYLE]
    commit(environment, STYLE, {PREFIX + "gone.jpg": PUT, PREFIX + "collection.json": PUT})
    assert read == [STYLE]
