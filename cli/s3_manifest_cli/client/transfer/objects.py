"""Concurrent requests for the objects of one bucket."""

import base64
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO, IOBase
from queue import SimpleQueue
from typing import Any, NamedTuple, Self

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
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.client.transfer.checksums import Checksums, encode_crc
from s3_manifest_cli.client.transfer.concurrency import MemoryBudget
from s3_manifest_cli.client.transfer.crt import Request, Requests, Response, endpoint_of, in_bucket_region
from s3_manifest_cli.client.transfer.ranges import Range

_MEMORY = 128 << 20
_BLOCK = 1 << 20
_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")

OnDone = Callable[[str, Exception | None], None]
"""Called once at the end of a request with the ETag, and the error: a ``StoreError``, ``Cancelled``, or any other."""

OnBytes = Callable[[int], None]
"""Called with the size of transferred bytes, also of those from an earlier run; from several threads."""


class PartUpload(NamedTuple):
    """A part of an upload in parts. S3 refuses bytes without its MD5, or, if ``md5`` is empty, its CRC."""

    key: str
    upload_id: str
    number: int
    body: IOBase
    size: int
    checksums: Checksums


class Objects:
    """The objects of one bucket. Methods may be called from any thread.

    Credentials are the session's, renewed as they expire. ``endpoint`` is that of an S3 other than Amazon's. The
    ``cancellation`` ends all requests: these, and later ones, raise ``Cancelled``. ``budget`` is the memory for the
    bytes that callers hold. A context manager: at the end of its block no request is in progress.
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
        """Raises ``Unavailable`` without credentials."""
        self.bucket = bucket
        self.cancellation = cancellation or Cancellation()
        self.budget = MemoryBudget(memory, self.cancellation)
        self.client = s3_client(endpoint, session=session)
        """For rare requests that may be repeated."""
        self.writes = s3_client(endpoint, retries=False, session=session)
        """For rare requests that must not be repeated: it never retries."""
        self._store = ExplainingStore(bucket, self.client, self.writes)
        client = self.client if endpoint else in_bucket_region(self.client, session, bucket)
        bucket_endpoint = endpoint_of(client, bucket)
        self.compares_crcs = bucket_endpoint.host.endswith(_AWS_DOMAINS)
        """Whether S3 compares parts with their CRC, as Amazon's does. Every S3 compares MD5s."""
        self._repeated = Requests(bucket_endpoint, session, self.cancellation, retries=True)
        self._once = Requests(bucket_endpoint, session, self.cancellation, retries=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for requests in (self._repeated, self._once):
            requests.cancel()
            requests.wait()

    def head(self, key: str) -> HeadResult:
        """The current object of a key. Raises ``ReadFailed``."""
        try:
            return self._store.head(key)
        except ReadFailed as error:
            raise read_error(key, error.fault or Fault(), is_conditional=False) from error

    def delete(self, key: str, etag: str) -> bool:
        """Deletes the object with that ETag; returns False if there is no object, as after an earlier deletion.

        In a versioned bucket it becomes an old version. Raises ``Conflict`` if the object changed; it stays;
        ``OutcomeUnknown``, ``WriteRefused``.
        """
        try:
            return self._store.delete_if_match(key, etag)
        except StoreError as error:
            raise write_error(key, error.fault or Fault(), is_conditional=True) from error

    def get(self, key: str, etag: str, version_id: str | None = None) -> bytes:
        """The bytes of the object with that ETag, in one request.

        Raises ``Conflict`` if the object changed or is gone; ``ReadFailed``, ``Cancelled``.
        """
        results: SimpleQueue[tuple[bytes, Exception | None]] = SimpleQueue()
        self.begin_get_all(key, etag, version_id, lambda body, error: results.put((body, error)))
        body, error = results.get()
        if error:
            raise error
        return body

    def begin_get_all(
        self, key: str, etag: str, version_id: str | None, on_done: Callable[[bytes, Exception | None], None]
    ) -> None:
        """Begins to fetch an object as ``get`` does; ``on_done`` gets its bytes, or the error that ``get`` raises.

        The runtime calls it in one of its few threads: it should do next to nothing. Raises ``Cancelled``.
        """
        blocks: list[bytes] = []

        def on_end(response: Response) -> None:
            if error := response.error or _changed_object(key, etag, response):
                on_done(b"", _read_error(key, error, version_id))
            else:
                on_done(blocks[0] if len(blocks) == 1 else b"".join(blocks), None)

        request = Request("GetObject", "GET", key, *_condition_and_version(etag, version_id))
        self._repeated.begin(request, on_end, lambda _, block, __: blocks.append(block))

    def begin_get(
        self,
        key: str,
        etag: str,
        version_id: str | None,
        part: Range,
        write: Callable[[bytes, int], None],
        on_done: OnDone,
    ) -> None:
        """Begins to fetch a range of the object with that ETag: ``write`` gets its bytes, in order, with their offset.

        The runtime calls both in its few threads: ``write`` should only write to a disk. Raises ``Cancelled``;
        ``on_done`` gets any other error, also those of ``write``.
        """
        offset = part.start

        def on_body(response: Response, block: bytes, block_offset: int) -> None:
            nonlocal offset
            if error := _changed_object(key, etag, response):
                raise error
            if block_offset != offset or offset + len(block) > part.end:
                raise NoRangeSupport(key, "the server sent other bytes than requested")
            write(block, offset)
            offset += len(block)

        def on_end(response: Response) -> None:
            error = response.error
            if error is None and offset != part.end:
                error = ReadFailed(key, "the server sent fewer bytes than requested")
            on_done(response.etag, error and _read_error(key, error, version_id))

        def repeat_or_end(response: Response) -> None:
            nonlocal offset
            if response.error and is_retryable(response.error):
                offset = part.start
                try:
                    self._repeated.begin(request, on_end, on_body)
                except Cancelled as cancelled:
                    on_done("", cancelled)
            else:
                on_end(response)

        headers, query = _condition_and_version(etag, version_id)
        headers = {**headers, "Range": f"bytes={part.start}-{part.end - 1}"}
        request = Request("GetObject", "GET", key, headers, query, range_size=part.size)
        # With retries, the runtime would repeat the answer of a server without ranges for many seconds.
        self._once.begin(request, repeat_or_end, on_body)

    def stream(self, key: str, etag: str, version_id: str | None = None) -> Iterator[bytes]:
        """The bytes of the object with that ETag, in blocks, from a server without ranges. Raises as ``get``."""
        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key, IfMatch=f'"{etag}"', **version)
            if answer["ETag"].strip('"') != etag:
                raise Conflict(key, OBJECT_CHANGED)
            for block in answer["Body"].iter_chunks(_BLOCK):
                self.cancellation.check()
                yield block
        except REQUEST_ERRORS as error:
            raise _read_error(key, error, version_id) from error

    def first_part(self, key: str, etag: str, version_id: str | None = None) -> int | None:
        """The size of the first part of an object that was uploaded in parts; None if S3 does not return it."""
        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        try:
            # Not every server returns it for a HEAD.
            part = self.client.get_object(Bucket=self.bucket, Key=key, PartNumber=1, IfMatch=f'"{etag}"', **version)
        except REQUEST_ERRORS:
            return None
        part["Body"].close()
        return part["ContentLength"]

    def put(self, key: str, body: bytes, md5: str, *, replaces: str | None, headers: Mapping[str, str]) -> str:
        """Stores an object if the current one has the ETag ``replaces`` (None: if there is none); returns its ETag.

        S3 refuses bytes without this MD5. The request is never repeated. Raises ``Conflict``, ``OutcomeUnknown``,
        ``WriteRefused``, ``Cancelled``.
        """
        condition = {"If-Match": f'"{replaces}"'} if replaces else {"If-None-Match": "*"}
        headers = {**_body_headers(len(body), Checksums(md5, 0)), **headers, **condition}
        response = self._once.send(Request("PutObject", "PUT", key, headers, body=BytesIO(body)))
        if response.error:
            raise _write_error(key, response.error, is_conditional=replaces is not None) from response.error
        return response.etag

    def begin_part(self, part: PartUpload, on_done: OnDone) -> None:
        """Begins to store a part, in place of the part with its number. ``on_done`` is called as for ``begin_get``.

        The body is read once, before ``on_done``.
        """

        def on_end(response: Response) -> None:
            on_done(response.etag, response.error and _write_error(part.key, response.error, is_conditional=True))

        query = {"partNumber": str(part.number), "uploadId": part.upload_id}
        headers = _body_headers(part.size, part.checksums)
        self._repeated.begin(Request("UploadPart", "PUT", part.key, headers, query, part.body), on_end)


def _condition_and_version(etag: str, version_id: str | None) -> tuple[dict[str, str], dict[str, str]]:
    return {"If-Match": f'"{etag}"'}, {"versionId": version_id} if version_id else {}


def _body_headers(size: int, checksums: Checksums) -> dict[str, str]:
    if checksums.md5:
        checksum = {"Content-MD5": base64.b64encode(bytes.fromhex(checksums.md5)).decode()}
    else:
        checksum = {"x-amz-checksum-crc64nvme": encode_crc(checksums.crc)}
    return {"Content-Length": str(size), **checksum}


def _changed_object(key: str, etag: str, response: Response) -> Conflict | None:
    # Some servers silently ignore conditions.
    return None if response.etag in ("", etag) else Conflict(key, OBJECT_CHANGED)


def _read_error(key: str, error: Exception, version_id: str | None) -> Exception:
    if not isinstance(error, REQUEST_ERRORS):
        return error
    return read_error(key, fault_of(error), is_conditional=True, has_version=version_id is not None)


def _write_error(key: str, error: Exception, *, is_conditional: bool) -> Exception:
    return (
        write_error(key, fault_of(error), is_conditional=is_conditional) if isinstance(error, REQUEST_ERRORS) else error
    )
