"""Heads in a store: loaded with their ETag, and saved only in place of what was loaded."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from s3_manifest.collections import Collection
from s3_manifest.model import Head, Summary, UnreadableHead, decode_head, encode_head
from s3_manifest.store import Present, Store

_SUMMARY = "s3-manifest"
# S3 allows 2 KB of user metadata in all; the numbers need some 200 bytes of it.
_TITLE_MAX_BYTES = 1000


class Loaded(NamedTuple):
    """A head as it was read, and the ETag that a save of its successor must find there."""

    head: Head
    etag: str


def load(store: Store, collection: Collection) -> Loaded | None:
    """The collection's head; None where it has none yet. Raises ``UnreadableHead``, ``StoreError``."""
    stored = store.get(collection.head_key)
    return Loaded(decode(collection, stored.body), stored.etag) if stored else None


def save(store: Store, collection: Collection, head: Head, replaces: Loaded | None) -> None:
    """One compare-and-swap. Raises ``Conflict``, ``OutcomeUnknown``, ``WriteRefused``."""
    store.put(
        collection.head_key,
        encode_head(head),
        replaces=replaces.etag if replaces else None,
        metadata={_SUMMARY: _summary(head)},
    )


def decode(collection: Collection, body: bytes) -> Head:
    """The head from its bytes. Raises ``UnreadableHead``, which names the object and the mend."""
    try:
        head = decode_head(body)
        if (head.kind, head.id, head.s3_prefix) != (collection.kind, collection.id, collection.prefix):
            raise UnreadableHead(f"it is the manifest of {head.kind} {head.id} at {head.s3_prefix}")
    except UnreadableHead as error:
        raise UnreadableHead(
            f"{collection.head_key}: {error}. It is left untouched: deploy a version that reads it,"
            " or move it away and a new one is made from S3"
        ) from error
    return head


def summary_of(present: Present) -> Summary | None:
    """The summary that a HEAD of a head's key tells; None if it has none (not written by this code)."""
    try:
        return Summary.model_validate_json(present.metadata.get(_SUMMARY, ""))
    except ValidationError:
        return None


def _summary(head: Head) -> str:
    """The summary as one line of ASCII, as HTTP headers have it.

    A title that would not fit beside the numbers is cut.
    """
    summary = Summary(
        revision=head.revision,
        complete=head.complete,
        total_files=head.total_files,
        total_size_bytes=head.total_size_bytes,
        created_at=head.created_at,
        last_synced=head.last_synced,
        title=_cut(head.title),
    )
    return _ascii_json(summary.model_dump())


def _cut(title: str | None) -> str | None:
    title = title and title[:_TITLE_MAX_BYTES]
    while title and len(_ascii_json({"title": title})) > _TITLE_MAX_BYTES:
        title = title[:-50]
    return title


def _ascii_json(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
