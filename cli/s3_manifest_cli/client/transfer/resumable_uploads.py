"""Uploads in parts that a later run resumes, and that are aborted if no run does.

S3 keeps the parts of an upload, and charges for them, until it is completed or aborted. It does not return who began
an upload, nor its metadata. So this machine remembers the uploads that it begins, and leaves all others alone.

An upload is remembered before S3 is asked to begin it. If the answer is lost, or the run ends before it arrives, S3 may
have an upload whose id is not known here. Its key and time identify it: it was not listed before, began when S3 was
asked for it, and has no part, since the id is needed to send one. It is aborted and never resumed, because its metadata
is not known.

An upload to the same key that another machine begins within the same minute looks the same until its first part is
there. Aborting it loses no bytes, and the other machine gets an error and begins again; in the end one of the two would
have been refused anyway, as both store the same object.
"""

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from s3_manifest.manifest.model import Frozen
from s3_manifest.storage.store import StoreError, WriteRefused
from s3_manifest_cli.client.local.state_files import stable_name, write_atomically
from s3_manifest_cli.client.transfer import multipart
from s3_manifest_cli.client.transfer.multipart import Part, UploadListing
from s3_manifest_cli.client.transfer.objects import Objects

IDLE_SECONDS = 7 * 24 * 3600.0
"""An upload that no run resumed for so long is aborted."""

_BEGIN_SECONDS = 60
"""How long after the request S3 may begin an upload: the client does not wait as long as that for an answer."""
_CLOCK_SECONDS = 2
"""How far apart the clocks of S3's machines may be, including their rounding to seconds."""


class UnfinishedUpload(Frozen):
    """An upload in parts: its bytes (size, MD5 in hex), the size of its parts, and its headers.

    With ``by_crc`` S3 compares the parts with their CRCs, else with MD5s. ``upload_id`` is None until S3 answers.
    ``listed_ids`` are the uploads to the key that S3 listed before, at ``listed_at`` (by S3's clock, in seconds since
    1970); None if it refused to list them.
    """

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    bucket: str
    key: str
    upload_id: str | None = None
    size: int
    md5: str
    part_size: int
    headers: Mapping[str, str]
    by_crc: bool = False
    listed_ids: tuple[str, ...] | None = Field(default=None, alias="there")
    listed_at: float = Field(default=0, alias="asked_at")

    def is_same(self, other: "UnfinishedUpload") -> bool:
        """Whether both store the same object, in the same parts."""
        compared = {"bucket", "key", "size", "md5", "part_size", "headers"}
        return self.model_dump(include=compared) == other.model_dump(include=compared)


class OpenUpload(NamedTuple):
    """An upload that takes parts, and the ``parts`` in S3; ``others`` are the ids of unknown uploads to its key."""

    upload_id: str
    by_crc: bool
    parts: Mapping[int, Part]
    others: tuple[str, ...]


class UnfinishedUploads:
    """The remembered uploads, each a small file in a folder. If the folder cannot be written, none is remembered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, objects: Objects, upload: UnfinishedUpload) -> OpenUpload:
        """Resumes the upload if an earlier run began it, or begins it. Raises ``OutcomeUnknown``, ``WriteRefused``."""
        earlier = self.recall(upload.bucket, upload.key)
        if earlier and earlier.upload_id and earlier.is_same(upload):
            parts = multipart.parts(objects, upload.key, earlier.upload_id)
            if parts is not None:
                self.remember(earlier)
                return OpenUpload(earlier.upload_id, earlier.by_crc, parts, ())
        elif earlier and earlier.upload_id:
            with contextlib.suppress(WriteRefused):  # then it is one of the others
                multipart.abort(objects, upload.key, earlier.upload_id)
        others: tuple[str, ...] = ()
        with contextlib.suppress(StoreError):  # the permission to list them may be missing
            listing = multipart.uploads(objects, upload.key)
            aborted = _abort_lost(objects, earlier, listing) if earlier else set()
            others = tuple(upload_id for upload_id in listing.started_at if upload_id not in aborted)
            upload = upload.model_copy(update={"listed_ids": others, "listed_at": listing.listed_at})
        self.remember(upload)
        try:
            upload_id = multipart.begin(objects, upload.key, upload.headers, by_crc=upload.by_crc)
        except WriteRefused:
            self.forget(upload.bucket, upload.key)
            raise
        self.remember(upload.model_copy(update={"upload_id": upload_id}))
        return OpenUpload(upload_id, upload.by_crc, {}, others)

    def recall(self, bucket: str, key: str) -> UnfinishedUpload | None:
        """The unfinished upload to a key."""
        return _read(self._path(bucket, key))

    def remember(self, upload: UnfinishedUpload) -> None:
        """Remembers an upload, in place of another to the same key, and through a crash of the machine."""
        with contextlib.suppress(OSError):
            write_atomically(self._path(upload.bucket, upload.key), upload.model_dump_json().encode(), durable=True)

    def forget(self, bucket: str, key: str) -> None:
        """Forgets an upload that was completed or aborted."""
        with contextlib.suppress(OSError):
            self._path(bucket, key).unlink()

    def abort(self, objects: Objects, key: str) -> None:
        """Aborts this machine's upload to a key, if there is one. If that fails, it stays remembered."""
        if upload := self.recall(objects.bucket, key):
            with contextlib.suppress(StoreError):
                if upload.upload_id:
                    multipart.abort(objects, key, upload.upload_id)
                elif upload.listed_ids is not None:
                    _abort_lost(objects, upload, multipart.uploads(objects, key))
                self.forget(objects.bucket, key)

    def abort_idle(self, objects: Objects, excluded: Collection[str] = (), idle_seconds: float = IDLE_SECONDS) -> None:
        """Aborts this machine's uploads to the bucket that no run resumed for so long, except to ``excluded`` keys."""
        for upload in list(self.all(objects.bucket, idle_seconds)):
            if upload.key not in excluded:
                self.abort(objects, upload.key)

    def all(self, bucket: str, idle_seconds: float = 0) -> Iterator[UnfinishedUpload]:
        """The uploads to a bucket that no run touched for ``idle_seconds``."""
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # another run has finished it
                is_idle = path.stat().st_mtime <= time.time() - idle_seconds
                if is_idle and (upload := _read(path)) and upload.bucket == bucket:
                    yield upload

    def _path(self, bucket: str, key: str) -> Path:
        return self._folder / f"{stable_name(bucket, key)}.json"


def _read(path: Path) -> UnfinishedUpload | None:
    try:
        return UnfinishedUpload.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _abort_lost(objects: Objects, upload: UnfinishedUpload, listing: UploadListing) -> set[str]:
    """Aborts the upload that S3 was asked for, if its id is not known; returns the ids of what was aborted."""
    if upload.upload_id or upload.listed_ids is None:
        return set()
    earliest, latest = upload.listed_at - _CLOCK_SECONDS, upload.listed_at + _BEGIN_SECONDS
    aborted = set()
    for upload_id, started_at in listing.started_at.items():
        if upload_id not in upload.listed_ids and earliest <= started_at <= latest:
            with contextlib.suppress(StoreError):  # then it is reported as an unknown one
                if multipart.parts(objects, upload.key, upload_id) == {}:
                    multipart.abort(objects, upload.key, upload_id)
                    aborted.add(upload_id)
    return aborted
