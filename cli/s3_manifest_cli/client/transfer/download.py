"""Downloads one object into a partial file: exactly the requested object, and no byte of it twice."""

import functools
import hashlib
import os
from collections.abc import Generator, Iterable, Iterator
from queue import SimpleQueue
from typing import Generic, NamedTuple

from s3_manifest.storage.store import ReadFailed
from s3_manifest_cli.client.access.s3_errors import NoRangeSupport
from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.partials import Partial
from s3_manifest_cli.client.transfer import ranges
from s3_manifest_cli.client.transfer.concurrency import Item, overlap
from s3_manifest_cli.client.transfer.objects import Objects, ObjectVersion, OnBytes
from s3_manifest_cli.client.transfer.ranges import Range, read_at, write_at
from s3_manifest_cli.client.verify import proofs
from s3_manifest_cli.client.verify.proofs import CheckResult, ContentChecker, ExpectedContent

PART = 8 << 20
"""Objects up to this size are fetched by ``prefetch``, larger ones in ranges of it."""

_CONCURRENT_RANGES = 8
_CONCURRENT_OBJECTS = 128
_BLOCK = 1 << 20


class DownloadRequest(NamedTuple):
    """An object, and the size and the checksums that its bytes must have."""

    version: ObjectVersion
    expected: ExpectedContent

    @property
    def token(self) -> str:
        """The token by which ``Destination.partial`` recognizes the bytes."""
        return f"{self.version.etag} {self.expected.size_bytes} {self.version.version_id or ''}"


class DownloadResult(NamedTuple):
    """All bytes are in the partial file. ``verdict`` is ``match``, or ``unverifiable`` if nothing proves the bytes.

    ``fetched`` bytes came from S3 now, and the others in earlier runs.
    """

    verdict: CheckResult
    fetched: int


def download(
    objects: Objects,
    request: DownloadRequest,
    partial: Partial,
    on_bytes: OnBytes = lambda _: None,
    body: bytes | None = None,
) -> DownloadResult:
    """Fetches an object into the partial file, for the caller to finish, or to close so that the next run resumes.

    ``body`` is the content of the object, if ``prefetch`` has fetched it.

    Every request names the ETag and the version of the object. The bytes are compared with every checksum in the
    manifest; wrong bytes are removed with the partial file. Bytes that contradict only the MD5 that their uploader
    declared match if checksums or parts in S3 prove them; the verdict then has a warning.

    Raises ``Conflict`` if the object changed or is gone; ``ReadFailed``, also for wrong bytes; ``Cancelled``; and as
    ``Destination`` for errors of the disk. Afterwards nothing writes to the partial file.
    """
    return _Download(objects, request, partial, on_bytes).run(body)


class _Download:
    def __init__(self, objects: Objects, request: DownloadRequest, partial: Partial, on_bytes: OnBytes) -> None:
        self._objects, self._partial, self._on_bytes = objects, partial, on_bytes
        self._version, self._expected = request

    def run(self, body: bytes | None) -> DownloadResult:
        if body is not None:
            result = self._write_blocks([body])
        else:
            self._expected = self._with_part_sizes(self._expected)
            try:
                result = self._fetch_ranges()
            except NoRangeSupport:
                result = self._write_blocks(self._objects.stream(self._version))
        if proofs.contradicts_only_declared_md5(self._expected, result.verdict):
            result = result._replace(verdict=self._verdict_without_declaration(result.verdict))
        if result.verdict.status == "mismatch":
            self._partial.discard()
            raise ReadFailed(self._version.key, f"wrong bytes arrived, and were removed: {result.verdict.reason}")
        return result

    def _write_blocks(self, blocks: Iterable[bytes]) -> DownloadResult:
        """Writes and checks all bytes of the object."""
        checker, offset = ContentChecker(self._expected), 0
        for block in blocks:
            checker.update(block)
            with disk_errors(self._partial.filename, "not written"):
                self._write(block, offset)
            offset += len(block)
            self._on_bytes(len(block))
        if self._partial.resumed:
            with disk_errors(self._partial.filename, "not written"):
                os.ftruncate(self._partial.fd, offset)
        return DownloadResult(checker.result(), offset)

    def _with_part_sizes(self, expected: ExpectedContent) -> ExpectedContent:
        """Adds the sizes of the parts, if only they prove the object: all as the first one, whose size S3 returns."""
        _, dash, count = expected.etag.rpartition("-")
        if not (dash and count.isdigit()) or proofs.is_verifiable(expected._replace(etag="")):
            return expected
        size = self._objects.first_part(self._version) or 0
        sizes = [size] * (int(count) - 1) + [expected.size_bytes - size * (int(count) - 1)]
        return expected._replace(part_sizes=sizes) if 0 < sizes[-1] <= size else expected

    def _verdict_without_declaration(self, verdict: CheckResult) -> CheckResult:
        """The verdict on bytes without the MD5 that their uploader declared: the checksums in S3 decide.

        If there are none, the bytes are fetched again: bytes that arrive twice are those that are stored.
        """
        expected = self._expected
        part_sizes = self._with_part_sizes(expected._replace(md5_hash=None)).part_sizes
        with disk_errors(self._partial.filename, "not read"), os.fdopen(os.dup(self._partial.fd), "rb") as file:
            verdict = proofs.recheck_declared_md5(file, expected._replace(part_sizes=part_sizes), verdict)
            if not proofs.contradicts_only_declared_md5(expected, verdict):
                return verdict
            file.seek(0)
            first = hashlib.file_digest(file, "md5").digest()
        second = hashlib.md5(usedforsecurity=False)
        for block in self._objects.stream(self._version):
            second.update(block)
        return proofs.unconfirmed_declared_md5(expected) if second.digest() == first else verdict

    def _fetch_ranges(self) -> DownloadResult:
        """Fetches the ranges that no earlier run has fetched."""
        partial, filename, size = self._partial, self._partial.filename, self._expected.size_bytes
        with disk_errors(filename, "not written"):
            # If the size of the file is wrong, as after a crash of the machine, its record is not valid.
            is_valid = proofs.is_verifiable(self._expected) and os.fstat(partial.fd).st_size == size
            present = ranges.open_record(partial.record, self._version.etag, size, is_valid=is_valid)
            os.ftruncate(partial.fd, size)
        resumed = sum(part.size for part in present)
        self._on_bytes(resumed)
        checker, checked = ContentChecker(self._expected), 0
        for part in self._arriving(ranges.missing(size, present, PART)):
            self._on_bytes(part.size)
            present = ranges.merge((*present, part))
            with disk_errors(filename, "not written"):
                os.write(partial.record, ranges.record_line(part))
                if present[0].start == 0:
                    # Read them while they are in memory, and while other ranges arrive.
                    checked = self._check(checker, Range(checked, present[0].end))
        with disk_errors(filename, "not read"):
            self._check(checker, Range(checked, size))
        verdict = checker.result()
        if verdict.status == "unverifiable" and resumed:
            # Nothing proves the bytes from earlier runs: fetch them again.
            with disk_errors(filename, "not written"):
                os.ftruncate(partial.record, 0)
            self._on_bytes = lambda _: None
            return self._fetch_ranges()
        return DownloadResult(verdict, size - resumed)

    def _check(self, checker: ContentChecker, part: Range) -> int:
        """Passes a range of the file to the checker; returns where it ended."""
        offset = part.start
        while offset < part.end and (block := read_at(self._partial.fd, min(_BLOCK, part.end - offset), offset)):
            self._objects.cancellation.check()
            checker.update(block)
            offset += len(block)
        return offset

    def _arriving(self, parts: Iterator[Range]) -> Iterator[Range]:
        """Fetches ranges concurrently, and yields each one when its bytes are in the file; see ``overlap``."""
        begin = functools.partial(self._objects.begin_get, self._version, self._write)
        # The runtime holds the bytes, and passes a copy of them. More memory would not be faster: bytes are written
        # while they are in the processor's cache.
        requests = ((2 * part.size, functools.partial(begin, part)) for part in parts)
        with disk_errors(self._partial.filename, "not written"):
            yield from overlap(requests, self._objects.budget, _CONCURRENT_RANGES)

    def _write(self, block: bytes, offset: int) -> None:
        write_at(self._partial.fd, block, offset)


class Fetched(NamedTuple, Generic[Item]):
    """A small object that arrived as one block, or its error. The receiver releases its ``reserved`` memory."""

    item: Item
    body: list[bytes]
    reserved: int
    error: Exception | None


def prefetch(objects: Objects, items: Iterable[tuple[Item, DownloadRequest]]) -> Generator[Fetched[Item]]:
    """Fetches small objects, each in one request, and yields them in any order. Raises ``Cancelled``.

    Many more are in progress than there are threads to write them, within the memory budget. Closing the iterator waits
    for those in progress, and releases their memory.
    """
    results: SimpleQueue[Fetched[Item]] = SimpleQueue()

    def begin(item: Item, request: DownloadRequest, reserved: int) -> None:
        def on_done(body: bytes, error: Exception | None) -> None:
            results.put(Fetched(item, [body], reserved, error))

        try:
            objects.begin_get_all(request.version, on_done)
        except BaseException:
            objects.budget.release(reserved)
            raise

    remaining = iter(items)
    following = next(remaining, None)
    pending = 0
    try:
        while following or pending:
            while following and pending < _CONCURRENT_OBJECTS:
                size = following[1].expected.size_bytes
                # With objects in progress this must not wait for memory: they hold it until they are yielded.
                reserved = objects.budget.try_reserve(size) if pending else objects.budget.reserve(size)
                if reserved is None:
                    break
                begin(*following, reserved)
                pending += 1
                following = next(remaining, None)
            pending -= 1
            yield results.get()
    finally:
        for _ in range(pending):
            objects.budget.release(results.get().reserved)
