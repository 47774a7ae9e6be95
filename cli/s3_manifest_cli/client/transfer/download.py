"""One object into a partial file: exactly the object that is wanted, and no byte of it twice."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import NamedTuple

from s3_manifest.storage.store import ReadFailed
from s3_manifest_cli.client.access.s3_errors import NoRangeSupport
from s3_manifest_cli.client.local.disk import disk_error, disk_errors
from s3_manifest_cli.client.local.partials import Partial
from s3_manifest_cli.client.transfer import ranges
from s3_manifest_cli.client.transfer.cancellation import Cancelled
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.client.transfer.offsets import read_at, write_at
from s3_manifest_cli.client.transfer.ranges import Range
from s3_manifest_cli.client.verify import proofs
from s3_manifest_cli.client.verify.proofs import CheckResult, ContentChecker, ExpectedContent

PART = 8 << 20
"""Objects up to this size are fetched in one request, larger ones in ranges of it."""

_AT_ONCE = 8
_BLOCK = 1 << 20

OnBytes = Callable[[int], None]
"""Called with the size of fetched bytes, also of those from an earlier run; from several threads."""


class DownloadRequest(NamedTuple):
    """An object as the manifest tells of it; ``md5`` in hex, ``checksum`` as ``Entry.checksum``.

    ``declared`` names the user metadata that the MD5 is from, where it is but the uploader's word.
    """

    filename: str
    key: str
    size: int
    etag: str
    md5: str | None = None
    checksum: Mapping[str, str] | None = None
    version_id: str | None = None
    declared: str | None = None

    @property
    def token(self) -> str:
        """What ``Destination.partial`` knows the bytes by."""
        return f"{self.etag} {self.size} {self.version_id or ''}"


class Downloaded(NamedTuple):
    """All bytes are in the partial. ``verdict`` is ``right``, or ``unverifiable`` where the manifest tells no proof.

    ``fetched`` is how many of them came from S3 now; the rest an earlier run had fetched.
    """

    verdict: CheckResult
    fetched: int


class _Arrived(NamedTuple):
    """A range that was fetched, or was not for ``error``."""

    part: Range
    error: Exception | None


def download(
    objects: Objects,
    wanted: DownloadRequest,
    partial: Partial,
    on_bytes: OnBytes = lambda _: None,
    body: bytes | None = None,
) -> Downloaded:
    """Fetches the object into the partial, which the caller then finishes, or closes: what came stays for the next run.

    ``body`` is all of an object that is no larger than ``PART``, where somebody has fetched it (``prefetch``).

    Every request asks for this very object, by its ETag and version. The bytes are compared with all that the manifest
    tells of them; wrong ones are removed, the partial discarded. Bytes that S3's own checksums or parts prove are right
    whatever MD5 their uploader declares; the verdict has a note then.

    Raises ``Conflict`` where the object is another, or gone; ``ReadFailed``, also for wrong bytes; ``Cancelled``; and
    as ``Destination`` for what the disk does not do. Whatever happens, nothing writes to the partial afterwards.
    """
    expected = ExpectedContent(wanted.size, wanted.md5, wanted.etag, wanted.checksum, declared=wanted.declared)
    if wanted.size <= PART:
        if body is None:
            with objects.budget.taken(wanted.size):
                verdict = _small(wanted, objects.get(wanted.key, wanted.etag, wanted.version_id), expected, partial)
        else:
            verdict = _small(wanted, body, expected, partial)
        on_bytes(wanted.size)
        done = Downloaded(verdict, wanted.size)
    else:
        expected = _with_parts(objects, wanted, expected)
        try:
            done = _in_ranges(objects, wanted, expected, partial, on_bytes)
        except NoRangeSupport:
            done = _in_one(objects, wanted, expected, partial, on_bytes)
    if proofs.contradicts_only_declared_md5(expected, done.verdict):
        done = done._replace(verdict=_without_the_word(objects, wanted, expected, partial, done.verdict))
    if done.verdict.status == "mismatch":
        partial.discard()
        raise ReadFailed(wanted.key, f"wrong bytes came, and were removed: {done.verdict.reason}")
    return done


def _small(wanted: DownloadRequest, body: bytes, expected: ExpectedContent, partial: Partial) -> CheckResult:
    checker = ContentChecker(expected)
    checker.update(body)
    with disk_errors(wanted.filename, "not written"):
        write_at(partial.fd, body, 0)
        if partial.resumed:
            os.ftruncate(partial.fd, len(body))
    return checker.result()


def _with_parts(objects: Objects, wanted: DownloadRequest, expected: ExpectedContent) -> ExpectedContent:
    """Where only its parts prove the object: with their sizes, if they are all as the first, which S3 tells."""
    count = wanted.etag.rpartition("-")[2] if "-" in wanted.etag else ""
    if not count.isdigit() or proofs.is_verifiable(expected._replace(etag="")):
        return expected
    size = objects.first_part(wanted.key, wanted.etag, wanted.version_id) or 0
    sizes = [size] * (int(count) - 1) + [wanted.size - size * (int(count) - 1)]
    return expected._replace(part_sizes=sizes) if 0 < sizes[-1] <= size else expected


def _without_the_word(
    objects: Objects, wanted: DownloadRequest, expected: ExpectedContent, partial: Partial, verdict: CheckResult
) -> CheckResult:
    """The verdict on bytes that have not the MD5 which their uploader declares: what S3 keeps of them decides.

    Where it keeps nothing that proves them, they are fetched once more: what comes twice is what is stored.
    """
    known = _with_parts(objects, wanted, expected._replace(md5_hash=None)).part_sizes
    with disk_errors(wanted.filename, "not read"), os.fdopen(os.dup(partial.fd), "rb") as file:
        verdict = proofs.recheck_declared_md5(file, expected._replace(part_sizes=known), verdict)
        if not proofs.contradicts_only_declared_md5(expected, verdict):
            return verdict
        file.seek(0)
        came = hashlib.file_digest(file, "md5").digest()
    again = hashlib.md5(usedforsecurity=False)
    for block in objects.stream(wanted.key, wanted.etag, wanted.version_id):
        again.update(block)
    return proofs.unconfirmed_declared_md5(expected) if again.digest() == came else verdict


def _in_ranges(
    objects: Objects, wanted: DownloadRequest, expected: ExpectedContent, partial: Partial, on_bytes: OnBytes
) -> Downloaded:
    with disk_errors(wanted.filename, "not written"):
        there = _recorded(wanted, expected, partial)
        os.ftruncate(partial.fd, wanted.size)
    kept = sum(one.size for one in there)
    on_bytes(kept)
    checker, checked = ContentChecker(expected), 0
    for part in _Fetching(objects, wanted, partial).arriving(ranges.missing(wanted.size, there, PART)):
        on_bytes(part.size)
        there = ranges.joined((*there, part))
        with disk_errors(wanted.filename, "not written"):
            os.write(partial.record, ranges.line(part))
            if there[0].start == 0:
                # Read while they are in memory, and while others are on their way.
                checked = _check(objects, checker, partial.fd, Range(checked, there[0].end))
    with disk_errors(wanted.filename, "not read"):
        _check(objects, checker, partial.fd, Range(checked, wanted.size))
    verdict = checker.result()
    if verdict.status == "unverifiable" and kept:
        # Nothing proves what an earlier run has left, so it does not count.
        with disk_errors(wanted.filename, "not written"):
            os.ftruncate(partial.record, 0)
        return _in_ranges(objects, wanted, expected, partial, lambda _: None)
    return Downloaded(verdict, wanted.size - kept)


def _in_one(
    objects: Objects, wanted: DownloadRequest, expected: ExpectedContent, partial: Partial, on_bytes: OnBytes
) -> Downloaded:
    checker, at = ContentChecker(expected), 0
    for block in objects.stream(wanted.key, wanted.etag, wanted.version_id):
        checker.update(block)
        with disk_errors(wanted.filename, "not written"):
            write_at(partial.fd, block, at)
        at += len(block)
        on_bytes(len(block))
    return Downloaded(checker.result(), at)


def _recorded(wanted: DownloadRequest, expected: ExpectedContent, partial: Partial) -> tuple[Range, ...]:
    """The ranges that an earlier run has fetched; the record is ready for more."""
    os.lseek(partial.record, 0, os.SEEK_SET)
    text = b""
    # Of a file of another size, as a crash of the machine leaves one, no record is true.
    if proofs.is_verifiable(expected) and os.fstat(partial.fd).st_size == wanted.size:
        while block := os.read(partial.record, _BLOCK):
            text += block
    found = ranges.recorded(text, wanted.etag, wanted.size)
    os.ftruncate(partial.record, found.size if found else 0)
    os.lseek(partial.record, 0, os.SEEK_END)
    if found is None:
        os.write(partial.record, ranges.begun(wanted.etag, wanted.size))
        return ()
    return found.there


class _Fetching:
    """Ranges of one object on their way into its partial file."""

    def __init__(self, objects: Objects, wanted: DownloadRequest, partial: Partial) -> None:
        self._objects, self._wanted, self._partial = objects, wanted, partial
        self._arrived: SimpleQueue[_Arrived] = SimpleQueue()
        self._pending = 0
        self._error: Exception | None = None

    def arriving(self, todo: Iterator[Range]) -> Iterator[Range]:
        """Each range as soon as its bytes are in the file, several fetched at once.

        After a failure, which is raised at the end, no more are begun; those under way still arrive, so that the next
        run need not fetch them. When it ends none is under way.
        """
        try:
            self._begin_some(todo)
            while self._pending:
                if part := self._next():
                    yield part
                self._begin_some(todo)
        finally:
            while self._pending:
                self._next()
        if isinstance(self._error, OSError):
            raise disk_error(self._wanted.filename, "not written", self._error) from self._error
        if self._error:
            raise self._error

    def _begin_some(self, todo: Iterator[Range]) -> None:
        while self._pending < _AT_ONCE and self._error is None and (part := next(todo, None)):
            try:
                self._begin(part)
            except Cancelled as error:
                self._error = error

    def _begin(self, part: Range) -> None:
        objects, wanted = self._objects, self._wanted
        # The runtime has its bytes in memory, and hands over a copy of them. More at once would not be faster: what was
        # received is written while it is in the processor's cache.
        taken = objects.budget.take(2 * part.size)

        def done(_: str, error: Exception | None) -> None:
            objects.budget.give(taken)
            self._arrived.put(_Arrived(part, error))

        def sink(block: bytes, offset: int) -> None:
            write_at(self._partial.fd, block, offset)

        try:
            objects.begin_get(wanted.key, wanted.etag, wanted.version_id, part, sink, done)
        except BaseException:
            objects.budget.give(taken)
            raise
        self._pending += 1

    def _next(self) -> Range | None:
        one = self._arrived.get()
        self._pending -= 1
        if one.error is None:
            return one.part
        self._error = self._error or one.error
        return None


def _check(objects: Objects, checker: ContentChecker, fd: int, part: Range) -> int:
    """Reads a part of the file; how far it was read now."""
    at = part.start
    while at < part.end and (block := read_at(fd, min(_BLOCK, part.end - at), at)):
        objects.cancellation.check()
        checker.update(block)
        at += len(block)
    return at
