"""One file to one key: exactly the bytes that were announced, and only where the object is the one that was seen."""

import hashlib
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from random import random
from typing import BinaryIO, NamedTuple

from s3_manifest.facts import proven_md5
from s3_manifest.store import Conflict, Observation, OutcomeUnknown, Present, StoreError, WriteRefused
from s3_manifest_cli.client import multipart
from s3_manifest_cli.client.begun import Open, begin, give_up
from s3_manifest_cli.client.objects import Objects
from s3_manifest_cli.client.offsets import read_at, read_into
from s3_manifest_cli.client.sums import Sums, crc_of
from s3_manifest_cli.client.unfinished import Begun, Unfinished

PART = 16 << 20
"""Files up to this size are stored in one request, larger ones in parts of it, or of more where those were too many."""

_AT_ONCE = 6
_ATTEMPTS = 6
_BLOCK = 1 << 20
_META = "x-amz-meta-"

Moved = Callable[[int], None]
"""Told of bytes as they are done, those that an earlier run has stored too; from several threads."""


class Given(NamedTuple):
    """A file as it was when it was decided to upload it.

    ``replaces`` is the ETag of the object that it takes the place of, None: there must be none. ``headers`` are
    ``Content-Type`` and ``x-amz-meta-…``, see ``s3_manifest_cli.headers``.
    """

    key: str
    size: int
    sums: Sums
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
    objects: Objects, file: BinaryIO, given: Given, unfinished: Unfinished, moved: Moved = lambda _: None
) -> Uploaded:
    """Stores the file, which is open for reading and unbuffered; only its descriptor is used.

    S3 compares what it gets with the MD5 of it. A file that is changed meanwhile is never stored. Where an answer is
    lost S3 is asked what is there: a repeat, also of a run that was killed, stores nothing twice and goes on with the
    parts that it had stored.

    Raises ``FileChanged``; ``Conflict`` where another object is there by now, which stays; ``WriteRefused``,
    ``OutcomeUnknown``, ``ReadFailed``, ``Stopped``, ``OSError``.
    """
    is_whole = given.size <= PART
    told: set[int] = set()
    failure: StoreError = Conflict(given.key, "nothing was tried")
    for attempt in range(_ATTEMPTS):
        if attempt or not is_whole:
            seen = objects.head(given.key)
            if isinstance(seen, Present) and _is_it(seen, given):
                give_up(objects, given.key, unfinished)
                return Uploaded(seen.etag, 0)
            if _etag(seen) != given.replaces:
                give_up(objects, given.key, unfinished)
                raise Conflict(given.key, "somebody else stored another object there meanwhile, which stays")
        try:
            if is_whole:
                return _whole(objects, file, given, moved)
            return _InParts(objects, file, given, unfinished, moved, told).stored()
        except FileChanged:
            raise
        except (Conflict, OutcomeUnknown) as error:
            failure = error
            objects.stop.sleep(random() * 0.1 * 2**attempt)  # noqa: S311  # full jitter, no secret
    raise failure


def _whole(objects: Objects, file: BinaryIO, given: Given, moved: Moved) -> Uploaded:
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
    size: int
    etag: str
    error: Exception | None


class _Part:
    """Bytes of a file, to be read in order; ``left`` is how many are still to be read. A ``Body``."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._fd, self._at, self.left = fd, start, size

    def readinto(self, into: memoryview) -> int:
        read = read_into(self._fd, into[: self.left], self._at) if self.left else 0
        self._at += read
        self.left -= read
        return read


class _InParts:
    """One upload in parts. What was stored of it is remembered until it is completed or aborted."""

    def __init__(
        self,
        objects: Objects,
        file: BinaryIO,
        given: Given,
        unfinished: Unfinished,
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
        self._etags: dict[int, str] = {}
        self._sent = 0
        self._buffer = memoryview(bytearray(_BLOCK))

    def stored(self) -> Uploaded:
        """Stores what S3 has not of it yet, and completes it."""
        objects, given = self._objects, self._given
        upload_id, there, others = self._begun()
        try:
            self._send(upload_id, there)
            etag = multipart.complete(objects, given.key, upload_id, self._etags, given.replaces)
        except (Conflict, WriteRefused):
            # The next attempt begins anew, if there is one.
            give_up(objects, given.key, self._unfinished)
            raise
        self._unfinished.forget(objects.bucket, given.key)
        return Uploaded(etag, self._sent, others)

    def _begun(self) -> Open:
        given = self._given
        wanted = Begun(
            bucket=self._objects.bucket,
            key=given.key,
            size=given.size,
            md5=given.sums.md5,
            part_size=self._part_size,
            headers=given.headers,
        )
        return begin(self._objects, wanted, self._unfinished)

    def _send(self, upload_id: str, there: Mapping[int, multipart.Part]) -> None:
        """Sends the parts that are not there; all are read, in order, so that the whole is the one announced."""
        crc = 0
        try:
            for number, start in enumerate(range(0, self._given.size, self._part_size), 1):
                crc = self._send_part(upload_id, number, start, there.get(number), crc)
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

    def _send_part(self, upload_id: str, number: int, start: int, there: multipart.Part | None, crc: int) -> int:
        """Begins to send it; the CRC of all up to its end, from that of all before it."""
        objects = self._objects
        size = min(self._part_size, self._given.size - start)
        taken = objects.budget.take(size)

        def done(etag: str, error: Exception | None) -> None:
            objects.budget.give(taken)
            self._done.put(_Stored(number, size, etag, error))

        try:
            md5, crc = self._read(start, size, crc)
            if there == multipart.Part(md5, size):
                self._etags[number] = md5
                self._tell(number, size)
                objects.budget.give(taken)
                return crc
            objects.begin_part(
                self._given.key, upload_id, number, _Part(self._file.fileno(), start, size), size, md5, done
            )
        except BaseException:
            objects.budget.give(taken)
            raise
        self._pending += 1
        return crc

    def _read(self, start: int, size: int, crc: int) -> Sums:
        """The MD5 of a part, and the CRC of all up to its end, from that of all before it. Raises ``FileChanged``."""
        md5 = hashlib.md5(usedforsecurity=False)
        part = _Part(self._file.fileno(), start, size)
        while read := part.readinto(self._buffer):
            block = self._buffer[:read]
            md5.update(block)
            crc = crc_of(block, crc)
        if part.left:
            raise _changed(self._given)
        return Sums(md5.hexdigest(), crc)

    def _next(self) -> None:
        one = self._done.get()
        self._pending -= 1
        if one.error:
            self._error = self._error or one.error
            return
        self._etags[one.number] = one.etag
        self._sent += one.size
        self._tell(one.number, one.size)

    def _tell(self, number: int, size: int) -> None:
        if number not in self._told:
            self._told.add(number)
            self._moved(size)


def _is_it(seen: Present, given: Given) -> bool:
    """Whether the object is what was to be stored, by whomever."""
    proven = proven_md5(seen)
    if not proven or (proven[0], seen.size) != (given.sums.md5, given.size):
        return False
    # The same bytes have the same ETag: then only what is told of them says whether they were stored anew.
    said = {name.removeprefix(_META): value for name, value in given.headers.items() if name.startswith(_META)}
    return seen.etag != given.replaces or said.items() <= seen.metadata.items()


def _etag(seen: Observation) -> str | None:
    return seen.etag if isinstance(seen, Present) else None


def _changed(given: Given) -> FileChanged:
    return FileChanged(given.key, "the file was changed since it was compared; run it again")
