"""One file to one key: exactly the bytes that were announced, and only where the object is the one that was seen."""

import hashlib
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from random import random
from typing import BinaryIO, NamedTuple

from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import (
    Conflict,
    HeadResult,
    OutcomeUnknown,
    Present,
    StoreError,
    WriteRefused,
    user_metadata,
)
from s3_manifest_cli.client.access.s3_errors import OBJECT_CHANGED
from s3_manifest_cli.client.transfer import multipart
from s3_manifest_cli.client.transfer.cancellation import Cancelled
from s3_manifest_cli.client.transfer.checksums import Checksums, crc_of, crc_of_both, encoded
from s3_manifest_cli.client.transfer.multipart import Part
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.client.transfer.offsets import read_at, read_into
from s3_manifest_cli.client.transfer.resumable_uploads import Open, abort_upload, begin
from s3_manifest_cli.client.transfer.unfinished_uploads import UnfinishedUpload, UnfinishedUploads

PART = 16 << 20
"""Files up to this size are stored in one request, larger ones in parts of it, or of more where those were too many."""

_AT_ONCE = 6
_ATTEMPTS = 6
_BLOCK = 1 << 20

Moved = Callable[[int], None]
"""Told of bytes as they are done, those that an earlier run has stored too; from several threads."""


class UploadRequest(NamedTuple):
    """A file as it was when it was decided to upload it.

    ``replaces`` is the ETag of the object that it takes the place of, None: there must be none. ``headers`` are
    ``Content-Type`` and ``x-amz-meta-…``, see ``s3_manifest_cli.client.transfer.upload_metadata``.
    """

    key: str
    size: int
    sums: Checksums
    replaces: str | None
    headers: Mapping[str, str]


class Uploaded(NamedTuple):
    """The object is there, with these bytes. ``sent`` is how many were sent now, the rest an earlier run had sent.

    ``others`` are the ids of unfinished uploads in parts to the same key that this machine knows nothing of: somebody
    else's, or what a machine that was lost has left. S3 keeps their parts until somebody aborts them.
    """

    etag: str
    sent: int
    others: tuple[str, ...] = ()


class FileChanged(Conflict):
    """The file is another one than was announced. Nothing was stored."""


def upload(
    objects: Objects, file: BinaryIO, given: UploadRequest, unfinished: UnfinishedUploads, moved: Moved = lambda _: None
) -> Uploaded:
    """Stores the file, which is open for reading and unbuffered; only its descriptor is used.

    S3 compares what it gets with the MD5 of it; Amazon's each part of a large file with its CRC-64, which takes less
    time, and keeps that of the whole. A file that is changed meanwhile is never stored. Where an answer is
    lost S3 is asked what is there: a repeat, also of a run that was killed, stores nothing twice and goes on with the
    parts that it had stored.

    Raises ``FileChanged``; ``Conflict`` where another object is there by now, which stays; ``WriteRefused``,
    ``OutcomeUnknown``, ``ReadFailed``, ``Cancelled``, ``OSError``.
    """
    is_whole = given.size <= PART
    told: set[int] = set()
    failure: StoreError = Conflict(given.key, "nothing was tried")
    for attempt in range(_ATTEMPTS):
        if attempt or not is_whole:
            seen = objects.head(given.key)
            if isinstance(seen, Present) and _is_it(seen, given):
                abort_upload(objects, given.key, unfinished)
                return Uploaded(seen.etag, 0)
            if _etag(seen) != given.replaces:
                abort_upload(objects, given.key, unfinished)
                raise Conflict(given.key, OBJECT_CHANGED)
        try:
            if is_whole:
                return _whole(objects, file, given, moved)
            return _InParts(objects, file, given, unfinished, moved, told).stored()
        except FileChanged:
            raise
        except (Conflict, OutcomeUnknown) as error:
            failure = error
            objects.cancellation.sleep(random() * 0.1 * 2**attempt)  # noqa: S311  # full jitter, no secret
    raise failure


def _whole(objects: Objects, file: BinaryIO, given: UploadRequest, moved: Moved) -> Uploaded:
    with objects.budget.taken(given.size):
        # A byte more, so that a file that has grown is noticed.
        body = read_at(file.fileno(), given.size + 1, 0)
        if len(body) != given.size or crc_of(body) != given.sums.crc:
            raise _changed(given)
        etag = objects.put(given.key, body, given.sums.md5, replaces=given.replaces, headers=given.headers)
    moved(given.size)
    return Uploaded(etag, given.size)


class _Stored(NamedTuple):
    """A part that was stored, or was not for ``error``."""

    number: int
    part: Part
    error: Exception | None


class _Bytes:
    """Bytes of a file, to be read in order: ``left`` are to be read yet, ``crc`` is of those that were. A ``Body``."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._fd, self._at, self.left, self.crc = fd, start, size, 0

    def readinto(self, into: memoryview) -> int:
        read = read_into(self._fd, into[: self.left], self._at) if self.left else 0
        self.crc = crc_of(into[:read], self.crc)
        self._at += read
        self.left -= read
        return read


class _InParts:
    """One upload in parts. What was stored of it is remembered until it is completed or aborted."""

    def __init__(
        self,
        objects: Objects,
        file: BinaryIO,
        given: UploadRequest,
        unfinished: UnfinishedUploads,
        moved: Moved,
        told: set[int],
    ) -> None:
        """``told`` are the numbers of the parts that ``moved`` knows of, in attempts before too."""
        self._objects, self._file, self._given = objects, file, given
        self._unfinished, self._moved, self._told = unfinished, moved, told
        self._part_size = multipart.part_size_of(given.size, PART)
        self._done: SimpleQueue[_Stored] = SimpleQueue()
        self._pending = 0
        self._error: Exception | None = None
        self._parts: dict[int, Part] = {}
        self._sent = 0
        self._buffer = memoryview(bytearray(_BLOCK))

    def stored(self) -> Uploaded:
        """Stores what S3 has not of it yet, and completes it."""
        objects, given = self._objects, self._given
        begun = self._begun()
        try:
            self._send(begun)
            etag = multipart.complete(objects, given.key, begun.upload_id, self._parts, given.replaces)
        except (Conflict, WriteRefused):
            # The next attempt begins anew, if there is one.
            abort_upload(objects, given.key, self._unfinished)
            raise
        self._unfinished.forget(objects.bucket, given.key)
        return Uploaded(etag, self._sent, begun.others)

    def _begun(self) -> Open:
        given = self._given
        wanted = UnfinishedUpload(
            bucket=self._objects.bucket,
            key=given.key,
            size=given.size,
            md5=given.sums.md5,
            part_size=self._part_size,
            headers=given.headers,
            by_crc=self._objects.compares_crcs,
        )
        return begin(self._objects, wanted, self._unfinished)

    def _send(self, begun: Open) -> None:
        """Sends the parts that are not there; all are read, in order, so that the whole is the one announced."""
        crc = 0
        try:
            for number, start in enumerate(range(0, self._given.size, self._part_size), 1):
                size = min(self._part_size, self._given.size - start)
                crc = crc_of_both(crc, self._send_part(begun, number, start, size), size)
                while self._pending >= _AT_ONCE:
                    self._next()
                if self._error:
                    break
        finally:
            while self._pending:
                self._next()
        if self._error:
            raise self._error
        if crc != self._given.sums.crc or read_at(self._file.fileno(), 1, self._given.size):
            raise _changed(self._given)

    def _send_part(self, begun: Open, number: int, start: int, size: int) -> int:
        """Begins to send it, if S3 does not have it; its CRC."""
        objects, given = self._objects, self._given
        sums = self._read(start, size, by_crc=begun.by_crc)
        crc = encoded(sums.crc) if begun.by_crc else None
        there = begun.there.get(number)
        if there and there.size == size and (there.crc == crc if crc else there.etag == sums.md5):
            self._parts[number] = there
            self._tell(number, size)
            return sums.crc
        taken = objects.budget.take(size)
        # It is read once more, as it is sent: who reads it into memory here holds it twice.
        body = _Bytes(self._file.fileno(), start, size)

        def done(etag: str, error: Exception | None) -> None:
            objects.budget.give(taken)
            if not isinstance(error, Cancelled) and body.crc != sums.crc and not body.left:
                error = _changed(given)
            self._done.put(_Stored(number, Part(size, etag, crc), error))

        try:
            objects.begin_part(given.key, begun.upload_id, number, body, size, sums, done)
        except BaseException:
            objects.budget.give(taken)
            raise
        self._pending += 1
        return sums.crc

    def _read(self, start: int, size: int, *, by_crc: bool) -> Checksums:
        """Of a part; the MD5, which takes its time, only where it is needed. Raises ``FileChanged``."""
        md5 = hashlib.md5(usedforsecurity=False)
        part = _Bytes(self._file.fileno(), start, size)
        while read := part.readinto(self._buffer):
            if not by_crc:
                md5.update(self._buffer[:read])
        if part.left:
            raise _changed(self._given)
        return Checksums("" if by_crc else md5.hexdigest(), part.crc)

    def _next(self) -> None:
        one = self._done.get()
        self._pending -= 1
        if one.error:
            self._error = self._error or one.error
            return
        self._parts[one.number] = one.part
        self._sent += one.part.size
        self._tell(one.number, one.part.size)

    def _tell(self, number: int, size: int) -> None:
        if number not in self._told:
            self._told.add(number)
            self._moved(size)


def _is_it(seen: Present, given: UploadRequest) -> bool:
    """Whether the object is what was to be stored, by whomever."""
    proven = proven_md5(seen)
    if not proven or (proven[0], seen.size) != (given.sums.md5, given.size):
        return False
    # The same bytes have the same ETag: then only what is told of them says whether they were stored anew.
    upload_metadata = user_metadata(given.headers)
    return seen.etag != given.replaces or upload_metadata.items() <= seen.metadata.items()


def _etag(seen: HeadResult) -> str | None:
    return seen.etag if isinstance(seen, Present) else None


def _changed(given: UploadRequest) -> FileChanged:
    return FileChanged(given.key, "the file was changed since it was compared; run it again")
