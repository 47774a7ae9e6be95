"""Uploads one file to one key: exactly the announced bytes, and only in place of the expected object."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from random import random
from typing import BinaryIO, NamedTuple

from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import Conflict, OutcomeUnknown, Present, StoreError, WriteRefused, user_metadata
from s3_manifest_cli.client.access.s3_errors import OBJECT_CHANGED
from s3_manifest_cli.client.local.reading import FileChanged
from s3_manifest_cli.client.transfer import multipart
from s3_manifest_cli.client.transfer.cancellation import Cancelled
from s3_manifest_cli.client.transfer.checksums import Checksums, combine_crcs, crc_of, encode_crc
from s3_manifest_cli.client.transfer.concurrency import OnDone, overlap
from s3_manifest_cli.client.transfer.multipart import Part
from s3_manifest_cli.client.transfer.objects import Objects, OnBytes, PartBody, PartUpload
from s3_manifest_cli.client.transfer.ranges import read_at
from s3_manifest_cli.client.transfer.resumable_uploads import OpenUpload, UnfinishedUpload, UnfinishedUploads

PART = 16 << 20
"""Files up to this size are uploaded in one request, larger ones in parts of it, or of more if S3 requires it."""

_CONCURRENT_PARTS = 6
_ATTEMPTS = 6
_BLOCK = 1 << 20
_FILE_CHANGED = "the file changed since it was compared. Run the command again"


class UploadRequest(NamedTuple):
    """A file as it was when the upload was planned, and the ETag of the object that it replaces, None if none."""

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


def upload(
    objects: Objects,
    file: BinaryIO,
    request: UploadRequest,
    unfinished: UnfinishedUploads,
    on_bytes: OnBytes = lambda _: None,
) -> UploadResult:
    """Uploads an open file; only its descriptor is used.

    S3 compares the bytes with their MD5; Amazon's S3 compares each part of a large file with its CRC-64, which is
    faster, and keeps the CRC-64 of the whole. A file that changes meanwhile is never stored. If an answer is lost, S3
    is asked for the current object: a repeat, also after a killed run, stores nothing twice and resumes with the parts
    in S3.

    Raises ``FileChanged``, ``WriteRefused``, ``OutcomeUnknown``, ``ReadFailed``, ``Cancelled``, ``OSError``; and
    ``Conflict`` if the object changed, which then stays.
    """
    return _Upload(objects, file.fileno(), request, unfinished, on_bytes).run()


class _Upload:
    def __init__(
        self, objects: Objects, fd: int, request: UploadRequest, unfinished: UnfinishedUploads, on_bytes: OnBytes
    ) -> None:
        self._objects, self._fd, self._request = objects, fd, request
        self._unfinished, self._on_bytes = unfinished, on_bytes
        self._part_size = multipart.part_size_of(request.size, PART)
        self._parts: dict[int, Part] = {}
        self._reported: set[int] = set()
        self._buffer = memoryview(bytearray(_BLOCK))

    def run(self) -> UploadResult:
        """Makes several attempts."""
        objects, request = self._objects, self._request
        is_small = request.size <= PART
        failure: StoreError = Conflict(request.key, "not tried")
        for attempt in range(_ATTEMPTS):
            if attempt or not is_small:
                current = objects.head(request.key)
                if current and _is_stored(current, request):
                    self._unfinished.abort(objects, request.key)
                    return UploadResult(current.etag, 0)
                if (current and current.etag) != request.replaces:
                    self._unfinished.abort(objects, request.key)
                    raise Conflict(request.key, OBJECT_CHANGED)
            try:
                return self._upload_whole() if is_small else self._upload_parts()
            except (Conflict, OutcomeUnknown) as error:
                failure = error
                objects.cancellation.sleep(random() * 0.1 * 2**attempt)  # noqa: S311  # full jitter, no secret
        raise failure

    def _upload_whole(self) -> UploadResult:
        objects, request = self._objects, self._request
        with objects.budget.reserved(request.size):
            # One more byte, to notice a file that has grown.
            body = read_at(self._fd, request.size + 1, 0)
            if len(body) != request.size or crc_of(body) != request.checksums.crc:
                raise FileChanged(_FILE_CHANGED)
            md5 = request.checksums.md5
            etag = objects.put(request.key, body, md5, replaces=request.replaces, headers=request.headers)
        self._on_bytes(request.size)
        return UploadResult(etag, request.size)

    def _upload_parts(self) -> UploadResult:
        """Sends the parts that S3 lacks, and completes the upload. It stays remembered until it is aborted."""
        objects, request, unfinished = self._objects, self._request, self._unfinished
        upload = unfinished.begin(
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
        )
        try:
            sent = self._send_parts(upload)
            etag = multipart.complete(objects, request.key, upload.upload_id, self._parts, request.replaces)
        except (FileChanged, Conflict, WriteRefused):
            # The next attempt, if there is one, begins a new upload.
            unfinished.abort(objects, request.key)
            raise
        unfinished.forget(objects.bucket, request.key)
        return UploadResult(etag, sent, upload.others)

    def _send_parts(self, upload: OpenUpload) -> int:
        """Sends the missing parts; returns their size. It reads all parts, to prove that the whole is as announced."""
        request, budget, sent = self._request, self._objects.budget, 0
        self._parts, self._crc = {}, 0
        missing = ((part.body.size, partial(self._begin_part, part)) for part in self._missing_parts(upload))
        for number, part in overlap(missing, budget, _CONCURRENT_PARTS):
            self._add(number, part)
            sent += part.size
        if self._crc != request.checksums.crc or read_at(self._fd, 1, request.size):
            raise FileChanged(_FILE_CHANGED)
        return sent

    def _missing_parts(self, upload: OpenUpload) -> Iterator[PartUpload]:
        """The parts that S3 lacks, in order; adds the others, and each part's CRC to that of the whole."""
        request = self._request
        for number, start in enumerate(range(0, request.size, self._part_size), 1):
            size = min(self._part_size, request.size - start)
            checksums = self._compute_checksums(start, size, by_crc=upload.by_crc)
            self._crc = combine_crcs(self._crc, checksums.crc, size)
            stored = upload.parts.get(number)
            crc = encode_crc(checksums.crc) if upload.by_crc else None
            if stored and stored.size == size and (stored.crc == crc if crc else stored.etag == checksums.md5):
                self._add(number, stored)
            else:
                # The part is read again while it is sent: as bytes in memory here, it would be in memory twice.
                body = PartBody(self._fd, start, size)
                yield PartUpload(request.key, upload.upload_id, number, body, checksums)

    def _begin_part(self, part: PartUpload, on_done: OnDone[tuple[int, Part]]) -> None:
        def on_end(etag: str, error: Exception | None) -> None:
            body = part.body
            if not isinstance(error, Cancelled) and body.crc != part.checksums.crc and not body.remaining:
                error = FileChanged(_FILE_CHANGED)
            crc = None if part.checksums.md5 else encode_crc(part.checksums.crc)
            on_done((part.number, Part(body.size, etag, crc)), error)

        self._objects.begin_part(part, on_end)

    def _add(self, number: int, part: Part) -> None:
        """Adds a part that S3 has. It is reported once, whatever the number of attempts."""
        self._parts[number] = part
        if number not in self._reported:
            self._reported.add(number)
            self._on_bytes(part.size)

    def _compute_checksums(self, start: int, size: int, *, by_crc: bool) -> Checksums:
        """The checksums of a part, with the MD5, which takes time, only if needed. Raises ``FileChanged``."""
        md5 = hashlib.md5(usedforsecurity=False)
        part = PartBody(self._fd, start, size)
        while count := part.readinto(self._buffer):
            if not by_crc:
                md5.update(self._buffer[:count])
        if part.remaining:
            raise FileChanged(_FILE_CHANGED)
        return Checksums("" if by_crc else md5.hexdigest(), part.crc)


def _is_stored(current: Present, request: UploadRequest) -> bool:
    """Whether the current object is the requested one, stored by any client."""
    proven = proven_md5(current)
    if not proven or (proven[0], current.size) != (request.checksums.md5, request.size):
        return False
    # The same bytes have the same ETag: then only the metadata shows whether they were stored again.
    metadata = user_metadata(request.headers)
    return current.etag != request.replaces or metadata.items() <= current.metadata.items()
