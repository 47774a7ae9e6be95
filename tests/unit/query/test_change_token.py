"""Whether a manifest reflects a change: each kind of change, before and after."""

import base64

import pytest
from unit.environments import Harness, serial_map
from unit.values import (
    EVENING,
    MORNING,
    NOON,
    OTHER_MD5,
    PREFIX,
    SOME_MD5,
    STYLE,
    entry,
    head_after,
    sidecar_observation,
)

from s3_manifest.manifest.model import Sidecar, SidecarCopy
from s3_manifest.query.change_token import ChangeToken, is_reflected, revision_reflecting
from s3_manifest.query.cursors import decode_cursor, encode_cursor
from s3_manifest.sidecars.applied import Observation
from s3_manifest.storage.snapshot import Snapshot

KEY, PROMPTS = f"{PREFIX}a.jpg", f"{PREFIX}prompt_metadata.json"


def head_of(*entries, sidecars=()):
    observations = [Observation(file.s3_key, file) for file in entries] or [sidecar_observation("collection.json")]
    head = head_after(None, *observations)
    return head.model_copy(update={"sidecars": tuple(sidecars)})


def edited(number, *copies):
    return Sidecar(s3_key=PROMPTS, etag="e", edit=number, copies=copies)


@pytest.mark.parametrize(
    ("token", "head", "reflected"),
    [
        (ChangeToken(s3_key=PROMPTS, edit_number=5), None, False),
        (ChangeToken(s3_key=PROMPTS, edit_number=5), head_of(), False),
        (ChangeToken(s3_key=PROMPTS, edit_number=5), head_of(sidecars=[edited(4)]), False),
        (ChangeToken(s3_key=PROMPTS, edit_number=5), head_of(sidecars=[edited(5)]), True),
        (ChangeToken(s3_key=PROMPTS, edit_number=5), head_of(sidecars=[edited(6)]), True),
        (ChangeToken(s3_key=PROMPTS, edit_number=5), head_of(sidecars=[edited(None)]), False),
        (ChangeToken(s3_key=f"{PREFIX}collection.json", edit_number=5), head_of(sidecars=[edited(6)]), False),
        # The sidecar is only partly applied.
        (
            ChangeToken(s3_key=PROMPTS, edit_number=5),
            head_of(sidecars=[edited(5, SidecarCopy(key="k", up_to="b"))]),
            False,
        ),
        (ChangeToken(s3_key=PROMPTS, edit_number=5), head_of(sidecars=[edited(5, SidecarCopy(key="k"))]), True),
        # An edit that removed nothing, of a sidecar that does not exist.
        (ChangeToken(s3_key=PROMPTS, edit_number=0), head_of(), True),
        (ChangeToken(s3_key=KEY, deleted_etag=SOME_MD5), None, False),
        (ChangeToken(s3_key=KEY, deleted_etag=SOME_MD5), head_of(entry()), False),
        (ChangeToken(s3_key=KEY, deleted_etag=OTHER_MD5), head_of(entry()), True),
        (ChangeToken(s3_key=KEY, deleted_etag=SOME_MD5), head_of(entry("b.jpg")), True),
        (ChangeToken(s3_key=KEY, uploaded_md5=SOME_MD5), head_of(entry("b.jpg")), False),
        (ChangeToken(s3_key=KEY, uploaded_md5=SOME_MD5), head_of(entry()), True),
        (ChangeToken(s3_key=KEY, uploaded_md5=OTHER_MD5), head_of(entry()), False),
        (ChangeToken(s3_key=PREFIX, deleted_until=NOON), None, False),
        (ChangeToken(s3_key=PREFIX, deleted_until=NOON), head_of(), True),
        (ChangeToken(s3_key=PREFIX, deleted_until=NOON), head_of(entry(last_modified=MORNING)), False),
        (ChangeToken(s3_key=PREFIX, deleted_until=NOON), head_of(entry(last_modified=NOON)), False),
        (ChangeToken(s3_key=PREFIX, deleted_until=NOON), head_of(entry(last_modified=EVENING)), True),
        (
            ChangeToken(s3_key=KEY, uploaded_md5=SOME_MD5, others=(ChangeToken(s3_key=PROMPTS, edit_number=5),)),
            head_of(entry(), sidecars=[edited(4)]),
            False,
        ),
        (
            ChangeToken(s3_key=KEY, uploaded_md5=SOME_MD5, others=(ChangeToken(s3_key=PROMPTS, edit_number=5),)),
            head_of(entry(), sidecars=[edited(5)]),
            True,
        ),
        (
            ChangeToken(s3_key=KEY, uploaded_md5=OTHER_MD5, others=(ChangeToken(s3_key=PROMPTS, edit_number=5),)),
            head_of(entry(), sidecars=[edited(5)]),
            False,
        ),
    ],
)
def test_a_token_is_reflected_once_the_manifest_has_the_change(token, head, reflected):
    assert is_reflected(Snapshot(Harness().store, serial_map, STYLE, head, "e"), token) is reflected


@pytest.mark.parametrize(
    ("token", "reflected"),
    [
        (ChangeToken(s3_key=f"{PREFIX}07.png", deleted_etag="0" * 32), True),
        (ChangeToken(s3_key=f"{PREFIX}07.png", uploaded_md5="0" * 32), False),
        (ChangeToken(s3_key=f"{PREFIX}99.png", deleted_etag="0" * 32), True),
        (ChangeToken(s3_key=PREFIX, deleted_until=EVENING), False),
    ],
)
def test_a_token_reads_at_most_one_page_of_a_large_collection(small_pages, token, reflected):
    harness = Harness()
    harness.commit(harness.upload(*(f"{number:02d}.png" for number in range(30))))
    harness.store.requests.clear()
    snapshot = harness.snapshot()
    assert snapshot.head.pages
    assert is_reflected(snapshot, token) is reflected
    assert len(harness.store.requests) <= 2


def test_an_upload_to_a_large_collection_is_reflected(small_pages):
    harness = Harness()
    harness.commit(harness.upload(*(f"{number:02d}.png" for number in range(30))))
    entry = harness.entries()[7]
    snapshot = harness.snapshot()
    assert is_reflected(snapshot, ChangeToken(s3_key=entry.s3_key, uploaded_md5=entry.md5_hash))
    assert not is_reflected(snapshot, ChangeToken(s3_key=entry.s3_key, deleted_etag=entry.etag))


@pytest.mark.parametrize(
    "token",
    [
        ChangeToken(s3_key=PROMPTS, edit_number=1_700_000_000_000),
        ChangeToken(s3_key=KEY, deleted_etag=SOME_MD5),
        ChangeToken(s3_key=KEY, uploaded_md5=SOME_MD5, others=(ChangeToken(s3_key=PROMPTS, edit_number=5),)),
        ChangeToken(s3_key=PREFIX, deleted_until=NOON),
    ],
)
def test_a_token_is_decoded_unchanged_and_is_safe_in_a_url(token):
    text = encode_cursor(token)
    assert decode_cursor(text, ChangeToken) == token
    assert b"null" not in base64.urlsafe_b64decode(text + "==")
    assert text.replace("-", "").replace("_", "").isalnum()


def test_an_unreadable_manifest_reflects_no_change_and_raises_nothing():
    harness = Harness()
    harness.commit(harness.upload("a.jpg"))
    token, unread = ChangeToken(s3_key=KEY, deleted_etag="another"), harness.snapshot().unread()
    assert revision_reflecting(unread, token) == 1
    harness.store.delete([STYLE.head_key])
    harness.store.add(STYLE.head_key, b"{")
    assert revision_reflecting(unread, token) is None
