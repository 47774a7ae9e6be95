"""The bytes of one bucket, fetched and stored many at once."""

import base64
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from queue import SimpleQueue
from typing import Any, Self

import boto3

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.store import Conflict, Fault, HeadResult, ReadFailed, StoreError
from s3_manifest_cli.client.access.explaining_store import ExplainingStore
from s3_manifest_cli.client.access.s3_errors import (
    OBJECT_CHANGED,
    REQUEST_ERRORS,
    NoRangeSupport,
    fault_of,
    is_retryable,
    read_error,
    write_error,
)
from s3_manifest_cli.client.transfer.budget import Budget
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.client.transfer.checksums import Checksums, encoded
from s3_manifest_cli.client.transfer.crt import Answer, Body, Request, Requests, in_its_region, place_of
from s3_manifest_cli.client.transfer.ranges import Range

_MEMORY = 128 << 20
_BLOCK = 1 << 20
_AMAZONS = (".amazonaws.com", ".amazonaws.com.cn")

Done = Callable[[str, Exception | None], None]
"""Called once at the end of a request with the ETag, and the error: a ``StoreError``, ``Cancelled``, or any other."""


class Objects:
    """One bucket, with a session's credentials, which are asked for anew as they expire.

    ``endpoint`` is another S3's than Amazon's. ``cancellation`` ends all requests: these, and later ones, raise
    ``Cancelled``. ``budget`` is for the bytes that callers have in memory, ``memory`` of them.

    Methods may be called from many threads. A context manager: when its block ends nothing is under way.
    """

    def __init__(
        self,
        bucket: str,
        session: boto3.Session,
        endpoint: str | None = None,
        *,
        cancellation: Cancellation | None = None,
        memory: int = _MEMORY,
    ) -> None:
        """Raises ``Unavailable`` where there are no credentials."""
        self.bucket = bucket
        self.cancellation = cancellation or Cancellation()
        self.budget = Budget(memory, self.cancellation)
        self.client = s3_client(endpoint, session=session)
        """For what is rare, and may be repeated."""
        self.writes = s3_client(endpoint, retries=False, session=session)
        """For what is rare, and must not be: it never does so by itself."""
        self._store = ExplainingStore(bucket, self.client, self.writes)
        place = place_of(self.client if endpoint else in_its_region(self.client, session, bucket), bucket)
        self.compares_crcs = place.host.endswith(_AMAZONS)
        """Whether it is known to compare parts with their CRC, as Amazon's does; MD5s every S3 compares."""
        self._repeated = Requests(place, session, self.cancellation, retries=True)
        self._once = Requests(place, session, self.cancellation, retries=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for requests in (self._repeated, self._once):
            requests.cancel()
            requests.wait()

    def head(self, key: str) -> HeadResult:
        """What is at ``key`` now. Raises ``ReadFailed``."""
        try:
            return self._store.head(key)
        except ReadFailed as error:
            raise read_error(key, error.fault or Fault(), is_known=False) from error

    def delete(self, key: str, etag: str) -> bool:
        """Deletes the object if that is its ETag; False where there is none, as after a deletion before.

        In a versioned bucket it becomes an old version. Raises ``Conflict``: another object is there now, and stays;
        ``OutcomeUnknown``, ``WriteRefused``.
        """
        try:
            return self._store.delete_if(key, etag)
        except StoreError as error:
            raise write_error(key, error.fault or Fault(), is_known=True) from error

    def get(self, key: str, etag: str, version_id: str | None = None) -> bytes:
        """All bytes of the object with that ETag, in one request.

        Raises ``Conflict`` where it is another, or gone; ``ReadFailed``, ``Cancelled``.
        """
        ended: SimpleQueue[tuple[bytes, Exception | None]] = SimpleQueue()
        self.begin_get_all(key, etag, version_id, lambda body, error: ended.put((body, error)))
        body, error = ended.get()
        if error:
            raise error
        return body

    def begin_get_all(
        self, key: str, etag: str, version_id: str | None, done: Callable[[bytes, Exception | None], None]
    ) -> None:
        """Begins to fetch all bytes of the object with that ETag; ``done`` gets them, or an error as ``get`` raises it.

        It is called in a thread of the runtime, of which there are few: it should do next to nothing. Raises
        ``Cancelled``.
        """
        blocks: list[bytes] = []

        def ended(answer: Answer) -> None:
            if error := answer.error or _other(key, etag, answer):
                done(b"", _of_read(key, error, version_id))
            else:
                done(blocks[0] if len(blocks) == 1 else b"".join(blocks), None)

        request = Request("GetObject", "GET", key, *_which(etag, version_id))
        self._repeated.begin(request, ended, lambda _, block, __: blocks.append(block))

    def begin_get(
        self, key: str, etag: str, version_id: str | None, part: Range, sink: Callable[[bytes, int], None], done: Done
    ) -> None:
        """Begins to fetch a part of the object with that ETag: ``sink`` gets its bytes, in order, and their offset.

        Both are called in threads of the runtime, of which there are few: ``sink`` should write to a disk and no more.
        Raises ``Cancelled``; all else is told to ``done``, as is what ``sink`` raises.
        """
        at = part.start

        def received(answer: Answer, block: bytes, offset: int) -> None:
            nonlocal at
            if error := _other(key, etag, answer):
                raise error
            if offset != at or at + len(block) > part.end:
                raise NoRangeSupport(key, "the server sent other bytes of it than those that were asked for")
            sink(block, offset)
            at += len(block)

        def ended(answer: Answer) -> None:
            error = answer.error
            if error is None and at != part.end:
                error = ReadFailed(key, "the server sent fewer bytes of it than were asked for")
            done(answer.etag, error and _of_read(key, error, version_id))

        def ended_once(answer: Answer) -> None:
            nonlocal at
            if answer.error and is_retryable(answer.error):
                at = part.start
                try:
                    self._repeated.begin(request, ended, received)
                except Cancelled as stopped:
                    done("", stopped)
            else:
                ended(answer)

        headers, query = _which(etag, version_id)
        headers = {**headers, "Range": f"bytes={part.start}-{part.end - 1}"}
        request = Request("GetObject", "GET", key, headers, query, whole=part.size)
        # The runtime would repeat for many seconds what a server that knows no ranges answers.
        self._once.begin(request, ended_once, received)

    def stream(self, key: str, etag: str, version_id: str | None = None) -> Iterator[bytes]:
        """The bytes of the object with that ETag, in blocks: for servers that know no ranges. Raises as ``get``."""
        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key, IfMatch=f'"{etag}"', **version)
            if answer["ETag"].strip('"') != etag:
                raise _other_object(key)
            for block in answer["Body"].iter_chunks(_BLOCK):
                self.cancellation.check()
                yield block
        except REQUEST_ERRORS as error:
            raise _of_read(key, error, version_id) from error

    def first_part(self, key: str, etag: str, version_id: str | None = None) -> int | None:
        """The size of the first part of an object that was uploaded in parts; None where S3 does not tell."""
        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        try:
            # A HEAD tells it too, but not everywhere.
            found = self.client.get_object(Bucket=self.bucket, Key=key, PartNumber=1, IfMatch=f'"{etag}"', **version)
        except REQUEST_ERRORS:
            return None
        found["Body"].close()
        return found["ContentLength"]

    def put(self, key: str, body: bytes, md5: str, *, replaces: str | None, headers: Mapping[str, str]) -> str:
        """Stores an object if the ETag of the one there is ``replaces`` (None: if there is none); its new ETag.

        S3 refuses bytes that have not the MD5, in hex. Raises ``Conflict``, ``OutcomeUnknown``, ``WriteRefused``,
        ``Cancelled``. Is never retried in here.
        """
        condition = {"If-Match": f'"{replaces}"'} if replaces else {"If-None-Match": "*"}
        request = Request(
            "PutObject", "PUT", key, {**_said(len(body), _by_md5(md5)), **headers, **condition}, body=BytesIO(body)
        )
        answer = self._once.answer(request)
        if answer.error:
            raise _of_write(key, answer.error, is_known=replaces is not None) from answer.error
        return answer.etag

    def begin_part(
        self, key: str, upload_id: str, number: int, body: Body, size: int, checksums: Checksums, done: Done
    ) -> None:
        """Begins to store a part of an upload in parts, which replaces the part of that number. As ``begin_get``.

        S3 refuses bytes that have not that MD5, or that CRC where ``md5`` is empty. ``body`` is read once, before
        ``done`` is called.
        """

        def ended(answer: Answer) -> None:
            done(answer.etag, answer.error and _of_write(key, answer.error, is_known=True))

        proof = _by_md5(checksums.md5) if checksums.md5 else {"x-amz-checksum-crc64nvme": encoded(checksums.crc)}
        query = {"partNumber": str(number), "uploadId": upload_id}
        self._repeated.begin(Request("UploadPart", "PUT", key, _said(size, proof), query, body), ended)


def _which(etag: str, version_id: str | None) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return {"If-Match": f'"{etag}"'}, {"versionId": version_id} if version_id else {}


def _said(size: int, proof: Mapping[str, str]) -> Mapping[str, str]:
    return {"Content-Length": str(size), **proof}


def _by_md5(md5: str) -> Mapping[str, str]:
    return {"Content-MD5": base64.b64encode(bytes.fromhex(md5)).decode()}


def _other(key: str, etag: str, answer: Answer) -> Conflict | None:
    # Some servers ignore conditions without a word.
    return None if answer.etag in ("", etag) else _other_object(key)


def _other_object(key: str) -> Conflict:
    return Conflict(key, OBJECT_CHANGED)


def _of_read(key: str, error: Exception, version_id: str | None) -> Exception:
    if not isinstance(error, REQUEST_ERRORS):
        return error
    return read_error(key, fault_of(error), is_known=True, is_version=version_id is not None)


def _of_write(key: str, error: Exception, *, is_known: bool) -> Exception:
    return write_error(key, fault_of(error), is_known=is_known) if isinstance(error, REQUEST_ERRORS) else error
