"""Uploads one file to one key: exactly the announced bytes, and only in place of the expected object."""

import hashlib
from collections.abc import Mapping
from io import RawIOBase
from queue import SimpleQueue
from random import random
from typing import Any, BinaryIO, NamedTuple

from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import (
    Conflict,
    OutcomeUnknown,
    Present,
    StoreError,
    WriteRefused,
    user_metadata,
)
from s3_manifest_cli.client.access.s3_errors import OBJECT_CHANGED
from s3_manifest_cli.client.transfer import multipart
from s3_manifest_cli.client.transfer.cancellation import Cancelled
from s3_manifest_cli.client.transfer.checksums import Checksums, combine_crcs, crc_of, encode_crc
from s3_manifest_cli.client.transfer.multipart import Part
from s3_manifest_cli.client.transfer.objects import Objects, OnBytes, PartUpload
from s3_manifest_cli.client.transfer.ranges import read_at, read_into
from s3_manifest_cli.client.transfer.resumable_uploads import (
    OpenUpload,
    UnfinishedUpload,
    UnfinishedUploads,
    abort_upload,
    begin_upload,
)

PART = 16 << 20
"""Files up to this size are uploaded in one request, larger ones in parts of it, or of more if S3 requires it."""

_CONCURRENT_PARTS = 6
_ATTEMPTS = 6
_BLOCK = 1 << 20


class UploadRequest(NamedTuple):
    """A file as it was when the upload was planned.

    ``replaces`` is the ETag of the object that it replaces, or None if there must be none. ``headers`` are those of
    ``upload_headers``.
    """

    key: str
    size: int
    checksums: Checksums
    replaces: str | None
    headers: Mapping[str, str]


class UploadResult(NamedTuple):
    """The ETag of the object with the bytes of the file. ``sent`` bytes were sent now, and the others by earlier runs.

    ``others`` are the ids of unfinished uploads in parts to the same key that this machine did not begin or has no
    record of. S3 keeps their parts until they are aborted.
    """

    etag: str
    sent: int
    others: tuple[str, ...] = ()


class FileChanged(Conflict):
    """The file changed since the upload was planned. Nothing was stored."""


def upload(
    objects: Objects,
    file: BinaryIO,
    request: UploadRequest,
    unfinished: UnfinishedUploads,
    on_bytes: OnBytes = lambda _: None,
) -> UploadResult:
    """Uploads a file, which is open for reading and unbuffered; only its descriptor is used.

    S3 compares the bytes with their MD5; Amazon's S3 compares each part of a large file with its CRC-64, which is
    faster, and keeps the CRC-64 of the whole. A file that changes meanwhile is never stored. If an answer is lost, S3
    is asked for the current object: a repeat, also after a killed run, stores nothing twice and resumes with the parts
    in S3.

    Raises ``FileChanged``; ``Conflict`` if the object changed; it stays; ``WriteRefused``,
    ``OutcomeUnknown``, ``ReadFailed``, ``Cancelled``, ``OSError``.
    """
    is_small = request.size <= PART
    progress = _PartProgress(on_bytes)
    failure: StoreError = Conflict(request.key, "not tried")
    for attempt in range(_ATTEMPTS):
        if attempt or not is_small:
            current = objects.head(request.key)
            if isinstance(current, Present) and _is_stored(current, request):
                abort_upload(objects, request.key, unfinished)
                return UploadResult(current.etag, 0)
            if (current.etag if isinstance(current, Present) else None) != request.replaces:
                abort_upload(objects, request.key, unfinished)
                raise Conflict(request.key, OBJECT_CHANGED)
        try:
            if is_small:
                result = _upload_whole(objects, file, request)
                on_bytes(request.size)
                return result
            return _PartsUpload(objects, file, request, unfinished, progress).run()
        except FileChanged:
            raise
        except (Conflict, OutcomeUnknown) as error:
            failure = error
            objects.cancellation.sleep(random() * 0.1 * 2**attempt)  # noqa: S311  # full jitter, no secret
    raise failure


def _upload_whole(objects: Objects, file: BinaryIO, request: UploadRequest) -> UploadResult:
    with objects.budget.reserved(request.size):
        # One more byte, to notice a file that has grown.
        body = read_at(file.fileno(), request.size + 1, 0)
        if len(body) != request.size or crc_of(body) != request.checksums.crc:
            raise _file_changed(request)
        md5 = request.checksums.md5
        etag = objects.put(request.key, body, md5, replaces=request.replaces, headers=request.headers)
    return UploadResult(etag, request.size)


class _PartProgress:
    """Reports each part once, whatever the number of attempts."""

    def __init__(self, on_bytes: OnBytes) -> None:
        self._on_bytes = on_bytes
        self._reported: set[int] = set()

    def report(self, number: int, size: int) -> None:
        if number not in self._reported:
            self._reported.add(number)
            self._on_bytes(size)


class _PartBody(RawIOBase):
    """Bytes of a file: ``remaining`` counts those not read yet, ``crc`` is that of the others."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._fd, self._offset, self.remaining, self.crc = fd, start, size, 0

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401  # a memoryview
        count = read_into(self._fd, buffer[: self.remaining], self._offset) if self.remaining else 0
        self.crc = crc_of(buffer[:count], self.crc)
        self._offset += count
        self.remaining -= count
        return count


class _PartsUpload:
    """One attempt to upload a file in parts. Its parts are remembered until it is completed or aborted."""

    def __init__(
        self,
        objects: Objects,
        file: BinaryIO,
        request: UploadRequest,
        unfinished: UnfinishedUploads,
        progress: _PartProgress,
    ) -> None:
        self._objects, self._file, self._request = objects, file, request
        self._unfinished, self._progress = unfinished, progress
        self._part_size = multipart.part_size_of(request.size, PART)
        self._results: SimpleQueue[tuple[int, Part, Exception | None]] = SimpleQueue()
        self._pending = 0
        self._error: Exception | None = None
        self._parts: dict[int, Part] = {}
        self._sent = 0
        self._buffer = memoryview(bytearray(_BLOCK))

    def run(self) -> UploadResult:
        """Sends the parts that S3 lacks, and completes the upload."""
        objects, request = self._objects, self._request
        upload = begin_upload(
            objects,
            UnfinishedUpload(
                bucket=objects.bucket,
                key=request.key,
                size=request.size,
                md5=request.checksums.md5,
                part_size=self._part_size,
                headers=request.headers,
                by_crc=objects.compares_crcs,
            ),
            self._unfinished,
        )
        try:
            self._send(upload)
            etag = multipart.complete(objects, request.key, upload.upload_id, self._parts, request.replaces)
        except (Conflict, WriteRefused):
            # The next attempt, if there is one, begins a new upload.
            abort_upload(objects, request.key, self._unfinished)
            raise
        self._unfinished.forget(objects.bucket, request.key)
        return UploadResult(etag, self._sent, upload.others)

    def _send(self, upload: OpenUpload) -> None:
        """Sends the missing parts. It reads all parts in order, to prove that the whole is as announced."""
        request, crc = self._request, 0
        try:
            for number, start in enumerate(range(0, request.size, self._part_size), 1):
                size = min(self._part_size, request.size - start)
                crc = combine_crcs(crc, self._send_part(upload, number, start, size), size)
                while self._pending >= _CONCURRENT_PARTS:
                    self._receive()
                if self._error:
                    break
        finally:
            while self._pending:
                self._receive()
        if self._error:
            raise self._error
        if crc != request.checksums.crc or read_at(self._file.fileno(), 1, request.size):
            raise _file_changed(request)

    def _send_part(self, upload: OpenUpload, number: int, start: int, size: int) -> int:
        """Begins to send a part, unless S3 has it; returns its CRC."""
        objects, request = self._objects, self._request
        checksums = self._compute_checksums(start, size, by_crc=upload.by_crc)
        crc = encode_crc(checksums.crc) if upload.by_crc else None
        stored = upload.parts.get(number)
        if stored and stored.size == size and (stored.crc == crc if crc else stored.etag == checksums.md5):
            self._parts[number] = stored
            self._progress.report(number, size)
            return checksums.crc
        reserved = objects.budget.reserve(size)
        # The part is read again while it is sent: as bytes in memory here, it would be in memory twice.
        body = _PartBody(self._file.fileno(), start, size)

        def on_done(etag: str, error: Exception | None) -> None:
            objects.budget.release(reserved)
            if not isinstance(error, Cancelled) and body.crc != checksums.crc and not body.remaining:
                error = _file_changed(request)
            self._results.put((number, Part(size, etag, crc), error))

        try:
            objects.begin_part(PartUpload(request.key, upload.upload_id, number, body, size, checksums), on_done)
        except BaseException:
            objects.budget.release(reserved)
            raise
        self._pending += 1
        return checksums.crc

    def _compute_checksums(self, start: int, size: int, *, by_crc: bool) -> Checksums:
        """The checksums of a part, with the MD5, which takes time, only if needed. Raises ``FileChanged``."""
        md5 = hashlib.md5(usedforsecurity=False)
        part = _PartBody(self._file.fileno(), start, size)
        while count := part.readinto(self._buffer):
            if not by_crc:
                md5.update(self._buffer[:count])
        if part.remaining:
            raise _file_changed(self._request)
        return Checksums("" if by_crc else md5.hexdigest(), part.crc)

    def _receive(self) -> None:
        """Waits for the result of a part."""
        number, part, error = self._results.get()
        self._pending -= 1
        if error:
            self._error = self._error or error
            return
        self._parts[number] = part
        self._sent += part.size
        self._progress.report(number, part.size)


def _is_stored(current: Present, request: UploadRequest) -> bool:
    """Whether the current object is the requested one, stored by any client."""
    proven = proven_md5(current)
    if not proven or (proven[0], current.size) != (request.checksums.md5, request.size):
        return False
    # The same bytes have the same ETag: then only the metadata shows whether they were stored again.
    metadata = user_metadata(request.headers)
    return current.etag != request.replaces or metadata.items() <= current.metadata.items()


def _file_changed(request: UploadRequest) -> FileChanged:
    return FileChanged(request.key, "the file changed since it was compared. Run the command again")
