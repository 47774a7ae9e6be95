import pytest
from unit.environments import Hand, seconds
from unit.values import OTHER_MD5, PREFIX, SOME_MD5, STYLE

from s3_manifest.storage.store import OutcomeUnknown

MULTIPART = {"etag": f"{SOME_MD5}-2"}


def test_the_md5_of_an_object_is_computed_where_nothing_else_proves_it():
    hand = Hand(md5_max_bytes=3)
    hand.commit(hand.upload("a.jpg", body=b"abc", **MULTIPART))
    (entry,) = hand.head().files
    assert (entry.md5_hash, entry.md5_source) == ("900150983cd24fb0d6963f7d28e17f72", "computed")


@pytest.mark.parametrize(
    "facts",
    [{"etag": OTHER_MD5}, MULTIPART | {"metadata": {"md5": OTHER_MD5}}, MULTIPART | {"archived": True}],
    ids=["proven by the etag", "proven by the uploader", "archived"],
)
def test_an_md5_that_is_proven_or_cannot_be_read_is_not_computed(facts):
    hand = Hand(md5_max_bytes=3)
    hand.commit(hand.upload("a.jpg", **facts))
    assert hand.store.digests == []


def test_the_md5_of_a_larger_object_than_allowed_is_not_computed():
    hand = Hand(md5_max_bytes=2)
    hand.commit(hand.upload("a.jpg", **MULTIPART))
    assert (hand.store.digests, hand.head().files[0].md5_hash) == ([], None)


def test_the_md5_of_an_object_that_stays_the_same_is_computed_once():
    hand = Hand(md5_max_bytes=3)
    keys = hand.upload("a.jpg", **MULTIPART)
    for _ in range(3):
        hand.commit(keys)
    assert hand.store.digests == keys
    assert hand.head().revision == 1


def test_the_md5_of_another_object_at_the_key_is_computed_anew():
    hand = Hand(md5_max_bytes=3)
    hand.commit(hand.upload("a.jpg", body=b"xyz", **MULTIPART))
    hand.commit(hand.upload("a.jpg", body=b"abc", etag=f"{OTHER_MD5}-2"))
    assert hand.head().files[0].md5_hash == "900150983cd24fb0d6963f7d28e17f72"


def test_a_conflict_makes_us_look_again_but_not_read_the_same_bytes_again():
    hand = Hand(md5_max_bytes=3)
    keys = hand.upload("a.jpg", "b.jpg", **MULTIPART)

    def lost():
        hand.store.before_put = lambda: None
        raise OutcomeUnknown(STYLE.head_key, "lost")

    hand.store.before_put = lost
    hand.commit(keys)
    assert hand.store.looks == keys * 2
    assert hand.store.digests == keys
    assert [entry.md5_source for entry in hand.head().files] == ["computed"] * 2


def test_where_time_runs_short_no_more_md5s_are_computed_and_those_there_are_are_kept():
    hand = Hand(md5_max_bytes=3)
    hand.commit([])
    keys = hand.upload("a.jpg", "b.jpg", "c.jpg", **MULTIPART)
    hand.seconds_left = seconds(900, 900, 5)
    outcome = hand.commit([*keys, *hand.upload("proven.jpg")])
    assert hand.store.digests == keys[:1]
    assert outcome.timed_out == keys[1:]
    assert not outcome.unreadable
    assert hand.filenames() == ["a.jpg", "proven.jpg"]


@pytest.mark.parametrize("times", [1, 2])
def test_an_object_replaced_while_its_md5_is_computed_is_looked_at_again(times, monkeypatch):
    hand = Hand(md5_max_bytes=3)
    keys = hand.upload("a.jpg", body=b"old", **MULTIPART)
    left = [f"{OTHER_MD5}-{n}" for n in range(times)]
    compute = hand.store.md5

    def replaced_first(key, etag):
        if left:
            hand.upload("a.jpg", body=b"abc", etag=left.pop())
        return compute(key, etag)

    monkeypatch.setattr(hand.store, "md5", replaced_first)
    hand.commit(keys)
    assert hand.head().files[0].md5_hash == "900150983cd24fb0d6963f7d28e17f72"


def test_an_object_that_never_holds_still_is_unreadable_for_now(monkeypatch):
    hand = Hand(md5_max_bytes=3)
    keys = hand.upload("a.jpg", **MULTIPART)
    versions = iter(range(99))
    compute = hand.store.md5

    def replaced_first(key, etag):
        hand.upload("a.jpg", etag=f"{OTHER_MD5}-{next(versions)}")
        return compute(key, etag)

    monkeypatch.setattr(hand.store, "md5", replaced_first)
    outcome = hand.commit(keys)
    assert list(outcome.unreadable) == keys


def sidecars(hand):
    return [(sidecar.s3_key.removeprefix(PREFIX), sidecar.etag) for sidecar in hand.head().sidecars]


@pytest.mark.parametrize("filename", ["collection.json", "prompt_metadata.json", "metadata.jsonl"])
def test_an_object_that_describes_others_is_a_sidecar(filename):
    hand = Hand()
    hand.commit(hand.upload(filename, etag=SOME_MD5))
    assert sidecars(hand) == [(filename, SOME_MD5)]
    assert hand.filenames() == []


@pytest.mark.parametrize("filename", ["deep/collection.json", "Collection.json", "collection.json.bak"])
def test_an_object_of_a_name_that_is_only_alike_is_a_file(filename):
    hand = Hand()
    hand.commit(hand.upload(filename))
    assert (hand.filenames(), sidecars(hand)) == ([filename], [])


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
def test_the_title_is_what_a_collection_json_says_if_it_says_one(body, title):
    hand = Hand()
    hand.commit(hand.upload("collection.json", body=body))
    assert hand.head().title == title
    assert len(sidecars(hand)) == 1


@pytest.fixture
def changed_after_its_head(monkeypatch):
    """Commits a ``collection.json`` to which ``change`` happens after its HEAD; the reconciler's hand after that."""

    def commit(change):
        hand = Hand()
        keys = hand.upload("collection.json", body=b'{"title": "Old"}')
        look = hand.store.head

        def look_before_the_change(key):
            seen = look(key)
            change(hand, key)
            return seen

        monkeypatch.setattr(hand.store, "head", look_before_the_change)
        hand.commit(keys)
        return hand

    return commit


def test_the_title_and_the_etag_are_of_the_same_collection_json(changed_after_its_head):
    new = {"body": b'{"title": "New"}', "etag": OTHER_MD5}
    hand = changed_after_its_head(lambda hand, _: hand.upload("collection.json", **new))
    assert (hand.head().title, sidecars(hand)) == ("New", [("collection.json", OTHER_MD5)])


def test_a_collection_json_removed_after_it_was_looked_at_is_gone(changed_after_its_head):
    hand = changed_after_its_head(lambda hand, key: hand.store.remove(key))
    assert (hand.head().title, sidecars(hand)) == (None, [])


@pytest.mark.parametrize(
    "metadata",
    [{"md5": "é"}, {"generated-at": "0001-01-01"}, {"prompt": "=?raw_unicode_escape?Q?=5Cud800?="}],
    ids=lambda metadata: next(iter(metadata)),
)
def test_no_metadata_of_one_object_keeps_the_others_out_of_the_manifest(metadata):
    hand = Hand()
    hand.commit([*hand.upload("odd.jpg", metadata=metadata, **MULTIPART), *hand.upload("a.jpg")])
    assert "a.jpg" in hand.filenames()
