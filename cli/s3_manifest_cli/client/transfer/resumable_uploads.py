"""Uploads in parts, begun or gone on with, and given up: S3 keeps none of this machine's that it does not remember.

What is asked of S3 is remembered before it is asked. Where the answer was lost, or the run ended before it came, S3
may have an upload whose id nobody learnt. That one is told from others by its key and time: it was not there before,
was begun when S3 was asked for it, and has no part, as nobody knows where to send one. It is aborted, and never gone
on with: what S3 does not tell of it, its metadata, would become the object's.

An upload of somebody else, to the same key, begun within the same minute, looks the same until its first part is
there. To abort that one loses none of its bytes, and whoever began it is told, and has to begin anew; either of the two
would have been refused in the end, as both are to store the same object.
"""

import contextlib
from collections.abc import Collection, Mapping
from typing import NamedTuple

from s3_manifest.storage.store import StoreError, WriteRefused
from s3_manifest_cli.client.transfer import multipart
from s3_manifest_cli.client.transfer.multipart import Listed, Part
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.client.transfer.unfinished_uploads import UnfinishedUpload, UnfinishedUploads

IDLE_SECONDS = 7 * 24 * 3600.0
"""After so long without a run that went on with it, an upload is one that nobody will finish."""

_ASKED_SECONDS = 60
"""How long after it was asked for S3 may have begun an upload: the client waits for no answer as long as that."""
_CLOCKS_SECONDS = 2
"""How far apart the clocks of S3's machines may be, and what they round to seconds."""


class Open(NamedTuple):
    """An upload in parts, with those that S3 has of it; ``others`` are the ids of unknown ones to the same key."""

    upload_id: str
    by_crc: bool
    there: Mapping[int, Part]
    others: tuple[str, ...]


def begin(objects: Objects, wanted: UnfinishedUpload, unfinished: UnfinishedUploads) -> Open:
    """The upload that an earlier run has begun of this, or a new one. Raises ``OutcomeUnknown``, ``WriteRefused``."""
    known = unfinished.recall(wanted.bucket, wanted.key)
    if known and known.upload_id and known.is_of(wanted):
        there = multipart.parts(objects, wanted.key, known.upload_id)
        if there is not None:
            unfinished.remember(known)
            return Open(known.upload_id, known.by_crc, there, ())
    elif known and known.upload_id:
        with contextlib.suppress(WriteRefused):  # then it is among the others
            multipart.abort(objects, wanted.key, known.upload_id)
    listed = None
    with contextlib.suppress(StoreError):  # not everybody may list them
        listed = multipart.uploads(objects, wanted.key)
    others = tuple(listed.begun_at) if listed else ()
    if known and listed:
        lost = _abort_lost(objects, known, listed)
        others = tuple(one for one in others if one not in lost)
    asked = wanted.model_copy(
        update={"there": others if listed else None, "asked_at": listed.asked_at if listed else 0}
    )
    unfinished.remember(asked)
    try:
        upload_id = multipart.begin(objects, wanted.key, wanted.headers, by_crc=wanted.by_crc)
    except WriteRefused:
        unfinished.forget(wanted.bucket, wanted.key)
        raise
    unfinished.remember(asked.model_copy(update={"upload_id": upload_id}))
    return Open(upload_id, wanted.by_crc, {}, others)


def abort_upload(objects: Objects, key: str, unfinished: UnfinishedUploads) -> None:
    """Aborts what this machine has begun to that key; what cannot be aborted stays remembered."""
    if begun := unfinished.recall(objects.bucket, key):
        _give_up(objects, begun, unfinished)


def abort_idle_uploads(
    objects: Objects, unfinished: UnfinishedUploads, wanted: Collection[str] = (), idle_seconds: float = IDLE_SECONDS
) -> None:
    """Aborts what this machine has begun in the bucket so long ago, apart from what is ``wanted``, by their keys."""
    for begun in list(unfinished.all(objects.bucket, idle_seconds)):
        if begun.key not in wanted:
            _give_up(objects, begun, unfinished)


def _give_up(objects: Objects, begun: UnfinishedUpload, unfinished: UnfinishedUploads) -> None:
    with contextlib.suppress(StoreError):
        if begun.upload_id:
            multipart.abort(objects, begun.key, begun.upload_id)
        elif begun.there is not None:
            _abort_lost(objects, begun, multipart.uploads(objects, begun.key))
        unfinished.forget(begun.bucket, begun.key)


def _abort_lost(objects: Objects, asked: UnfinishedUpload, listed: Listed) -> set[str]:
    """Aborts the upload that was asked for, and whose id was not learnt; what was aborted."""
    if asked.upload_id or asked.there is None:
        return set()
    earliest, latest = asked.asked_at - _CLOCKS_SECONDS, asked.asked_at + _ASKED_SECONDS
    lost = set()
    for upload_id, begun_at in listed.begun_at.items():
        if upload_id not in asked.there and earliest <= begun_at <= latest:
            with contextlib.suppress(StoreError):  # then it is told as an unknown one
                if multipart.parts(objects, asked.key, upload_id) == {}:
                    multipart.abort(objects, asked.key, upload_id)
                    lost.add(upload_id)
    return lost
