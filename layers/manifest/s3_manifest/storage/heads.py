"""Heads in a store: loaded with their ETag, saved only if that ETag is still the current one."""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from s3_manifest.manifest.changes import ChangeRecord, encode_record
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.consistency import check_head
from s3_manifest.manifest.encoding import decode_head, encode_head
from s3_manifest.manifest.model import BodyDigests, Head, NewerManifest, Summary, UnreadableManifest
from s3_manifest.manifest.runs import sha256_hex
from s3_manifest.storage import change_log
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import Present, Store, iter_listings

CHECKPOINT_EVERY = 100
"""In revisions: an old revision is reconstructed by undoing at most this many change records."""

_SUMMARY = "s3-manifest"
# S3 allows 2 KB of user metadata in all; the numbers need some 200 bytes of it.
_TITLE_MAX_BYTES = 1000


class LoadedHead(NamedTuple):
    """A head (None: there is none), and the ETag that saving its successor must replace."""

    head: Head | None
    etag: str | None


def load(store: Store, collection: Collection, unreadable_etag: str | None = None) -> LoadedHead:
    """The collection's head. A head with the ETag ``unreadable_etag`` counts as none: it is to be replaced.

    Raises ``UnreadableManifest``, ``StoreError``.
    """
    stored = store.get(collection.head_key)
    if stored is None:
        return LoadedHead(None, None)
    head = None if stored.etag == unreadable_etag else decode(collection, stored.body)
    return LoadedHead(head, stored.etag)


def save(store: Store, collection: Collection, head: Head, replaces: str | None) -> None:
    """Saves the head by compare-and-swap: it replaces the head with the ETag ``replaces``, or none.

    Raises ``Conflict``, ``OutcomeUnknown``, ``WriteRefused``.
    """
    body = encode_head(head)
    store.put(collection.head_key, body, replaces=replaces, metadata={_SUMMARY: _summary(head, body)})


def history_objects(collection: Collection, head: Head, record: ChangeRecord) -> Iterator[tuple[str, bytes]]:
    """The keys and bodies of the objects that record this revision in the history.

    They are its change record and, every ``CHECKPOINT_EVERY`` revisions, a checkpoint: a copy of the head. An old
    revision is reconstructed from the next checkpoint instead of from the current head.
    """
    if head.revision % CHECKPOINT_EVERY:
        yield change_log.record_key(collection, record), encode_record(record)
        return
    checkpoint = encode_head(head)
    record = record.model_copy(update={"checkpoint": sha256_hex(checkpoint)})
    yield change_log.record_key(collection, record), encode_record(record)
    yield checkpoint_key(collection, head.revision, head.commit), checkpoint


def checkpoint_key(collection: Collection, revision: int, commit: str) -> str:
    """The key of the checkpoint of a revision."""
    return f"{collection.checkpoints_folder}{revision:012d}-{commit}.json"


def decode(collection: Collection, body: bytes) -> Head:
    """The head from its bytes. Raises ``UnreadableManifest``, which names the object and the remedy."""
    place = collection.place(collection.head_key)
    try:
        head = decode_head(body)
        check_head(head, collection)
    except NewerManifest as error:
        raise NewerManifest(f"{place}: {error}. It is left untouched: upgrade this program") from error
    except UnreadableManifest as error:
        raise UnreadableManifest(
            f"{place}: {error}. It is left untouched: run a rescan with rebuild=true, which moves it to set-aside/ and"
            " makes a new manifest from S3"
        ) from error
    return head


def read_summary(present: Present) -> Summary | None:
    """The summary in a head's user metadata; None if another program wrote the head."""
    try:
        return Summary.model_validate_json(present.metadata.get(_SUMMARY, ""), strict=True)
    except ValidationError:
        return None


def summary_matches(summary: Summary, present: Present) -> bool:
    """Whether the summary provably belongs to the stored bytes: a program may replace the bytes and keep the metadata.

    The proof is the MD5 if S3 returns it, else the CRC-32 that clients send with a PUT.
    """
    body = summary.body
    if body is None or body.size != present.size:
        return False
    if proven := proven_md5(present._replace(metadata={})):
        return proven[0] == body.md5
    return (present.checksum or {}).get("crc32") == body.crc32


def _summary(head: Head, body: bytes) -> str:
    """The summary as one line of ASCII for an HTTP header. A title that is too long is cut."""
    digests = BodyDigests(
        size=len(body),
        md5=hashlib.md5(body, usedforsecurity=False).hexdigest(),
        crc32=base64.b64encode(zlib.crc32(body).to_bytes(4)).decode(),
    )
    summary = Summary.model_validate(head, from_attributes=True)
    return _ascii_json(summary.model_copy(update={"title": _cut(head.title), "body": digests}).model_dump())


def _cut(title: str | None) -> str | None:
    title = title and title[:_TITLE_MAX_BYTES]
    while title and len(_ascii_json({"title": title})) > _TITLE_MAX_BYTES:
        title = title[:-50]
    return title


def _ascii_json(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))


def exists(store: Store, collections: Collections, collection: Collection) -> bool:
    """Whether the collection has a manifest, or any object to make one from. Raises ``StoreError``."""
    return isinstance(store.head(collection.head_key), Present) or has_objects(store, collections, collection)


def has_objects(store: Store, collections: Collections, collection: Collection) -> bool:
    """Whether the collection has any object of its own. Raises ``StoreError``."""
    if collections.is_nested(collection):
        listings = iter_listings(store, collection.prefix)
        return any(collections.own_keys(collection, listing.keys) for listing in listings)
    # Two keys are enough: at most one of them is the marker object of the folder itself.
    return bool(collections.own_keys(collection, store.list(collection.prefix, limit=2).keys))
