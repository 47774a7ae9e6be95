"""Concurrent requests for the objects of one bucket."""

import base64
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO, RawIOBase
from typing import Any, NamedTuple, Self

import boto3

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.store import Conflict, Fault, Present, ReadFailed, StoreError
from s3_manifest_cli.client.access.s3_errors import (
    OBJECT_CHANGED,
    REQUEST_ERRORS,
    ExplainingStore,
    NoRangeSupport,
    fault_of,
    is_retryable,
    read_error,
    write_error,
)
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.client.transfer.checksums import Checksums, crc_of, encode_crc
from s3_manifest_cli.client.transfer.concurrency import MEMORY, MemoryBudget, OnDone
from s3_manifest_cli.client.transfer.crt import Request, Requests, Response, endpoint_of, in_bucket_region
from s3_manifest_cli.client.transfer.ranges import Range, read_into

_BLOCK = 1 << 20
_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")

OnBytes = Callable[[int], None]
"""Called with the size of transferred bytes, also of those from an earlier run; from several threads."""


class ObjectVersion(NamedTuple):
    """The object of a key with this ETag; ``version_id`` is None if it is the current one."""

    key: str
    etag: str
    version_id: str | None = None

    def request(self, part: Range | None = None) -> Request:
        """The request for its bytes, or for a range of them."""
        headers = {"If-Match": f'"{self.etag}"'}
        if part:
            headers["Range"] = f"bytes={part.start}-{part.end - 1}"
        query = {"versionId": self.version_id} if self.version_id else {}
        return Request("GetObject", "GET", self.key, headers, query, range_size=part.size if part else None)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the same request with boto3."""
        version = {"VersionId": self.version_id} if self.version_id else {}
        return {"Key": self.key, "IfMatch": f'"{self.etag}"', **version}

    def conflict(self, etag: str) -> Conflict | None:
        """The error if the response has another ETag: some servers silently ignore conditions."""
        return None if etag in ("", self.etag) else Conflict(self.key, OBJECT_CHANGED)

    def read_error(self, error: Exception) -> Exception:
        """The error for the caller: a ``StoreError`` if a request failed."""
        if not isinstance(error, REQUEST_ERRORS):
            return error
        return read_error(self.key, fault_of(error), is_conditional=True, has_version=self.version_id is not None)


class PartBody(RawIOBase):
    """Bytes of a file: ``remaining`` counts those not read yet, ``crc`` is that of the others."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self.size = self.remaining = size
        self.crc = 0
        self._fd, self._offset = fd, start

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401  # a memoryview
        """Reads the bytes that follow, and returns how many."""
        count = read_into(self._fd, buffer[: self.remaining], self._offset) if self.remaining else 0
        self.crc = crc_of(buffer[:count], self.crc)
        self._offset += count
        self.remaining -= count
        return count


class PartUpload(NamedTuple):
    """A part of an upload in parts. S3 refuses bytes without its MD5, or, if ``md5`` is empty, its CRC."""

    key: str
    upload_id: str
    number: int
    body: PartBody
    checksums: Checksums


class Objects:
    """The objects of one bucket. Methods may be called from any thread.

    Credentials are the session's, renewed as they expire. ``endpoint`` is that of an S3 other than Amazon's. The
    ``cancellation`` ends all requests: these, and later ones, raise ``Cancelled``. ``budget`` is the memory for the
    bytes that callers hold; several buckets may share it. A context manager: at the end of its block no request is in
    progress.
    """

    def __init__(
        self,
        bucket: str,
        session: boto3.Session,
        endpoint: str | None = None,
        *,
        cancellation: Cancellation | None = None,
        budget: MemoryBudget | None = None,
    ) -> None:
        """Raises ``Unavailable`` without credentials."""
        self.bucket = bucket
        self.cancellation = cancellation or Cancellation()
        self.budget = budget or MemoryBudget(MEMORY, self.cancellation)
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
        self._repeated.close()
        self._once.close()

    def head(self, key: str) -> Present | None:
        """The current object of a key; None if there is none. Raises ``ReadFailed``."""
        current = self._store.head(key)
        return current if isinstance(current, Present) else None

    def delete(self, key: str, etag: str) -> bool:
        """Deletes the object with that ETag; returns False if there is no object, as after an earlier deletion.

        In a versioned bucket it becomes an old version. Raises ``Conflict`` if the object changed; it stays;
        ``OutcomeUnknown``, ``WriteRefused``.
        """
        try:
            return self._store.delete_if_match(key, etag)
        except StoreError as error:
            raise write_error(key, error.fault or Fault(), is_conditional=True) from error

    def begin_get_all(self, version: ObjectVersion, on_done: OnDone[bytes]) -> None:
        """Begins to fetch an object in one request; ``on_done`` gets its bytes.

        The runtime calls it in one of its few threads: it should do next to nothing. Its error is ``Conflict`` if the
        object changed or is gone; ``ReadFailed``, ``Cancelled``. Raises ``Cancelled`` before it begins.
        """
        blocks: list[bytes] = []

        def on_end(response: Response) -> None:
            if error := response.error or version.conflict(response.etag):
                on_done(b"", version.read_error(error))
            else:
                on_done(blocks[0] if len(blocks) == 1 else b"".join(blocks), None)

        self._repeated.begin(version.request(), on_end, lambda _, block, __: blocks.append(block))

    def begin_get(
        self, version: ObjectVersion, write: Callable[[bytes, int], None], part: Range, on_done: OnDone[Range]
    ) -> None:
        """Begins to fetch a range of an object: ``write`` gets its bytes, in order, with their offset.

        The runtime calls ``write`` in its few threads too: it should only write to a disk, and its error is passed on.
        Other errors are those of ``begin_get_all``.
        """
        request = version.request(part)
        offset = part.start

        def on_body(response: Response, block: bytes, block_offset: int) -> None:
            nonlocal offset
            if conflict := version.conflict(response.etag):
                raise conflict
            if block_offset != offset or offset + len(block) > part.end:
                raise NoRangeSupport(version.key, "the server sent other bytes than requested")
            write(block, offset)
            offset += len(block)

        def on_end(response: Response) -> None:
            error = response.error
            if error is None and offset != part.end:
                error = ReadFailed(version.key, "the server sent fewer bytes than requested")
            on_done(part, error and version.read_error(error))

        def repeat_or_end(response: Response) -> None:
            nonlocal offset
            if response.error and is_retryable(response.error):
                offset = part.start
                try:
                    self._repeated.begin(request, on_end, on_body)
                except Cancelled as cancelled:
                    on_done(part, cancelled)
            else:
                on_end(response)

        # With retries, the runtime would repeat the answer of a server without ranges for many seconds.
        self._once.begin(request, repeat_or_end, on_body)

    def stream(self, version: ObjectVersion) -> Iterator[bytes]:
        """The bytes of an object, in blocks, from a server without ranges. Raises the errors of ``begin_get_all``."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, **version.parameters)
            if conflict := version.conflict(answer["ETag"].strip('"')):
                raise conflict
            for block in answer["Body"].iter_chunks(_BLOCK):
                self.cancellation.check()
                yield block
        except REQUEST_ERRORS as error:
            raise version.read_error(error) from error

    def first_part(self, version: ObjectVersion) -> int | None:
        """The size of the first part of an object that was uploaded in parts; None if S3 does not return it."""
        try:
            # Not every server returns it for a HEAD.
            part = self.client.get_object(Bucket=self.bucket, PartNumber=1, **version.parameters)
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

    def begin_part(self, part: PartUpload, on_done: OnDone[str]) -> None:
        """Begins to store a part, whose body is read once; ``on_done`` gets its ETag. Raises ``Cancelled``."""

        def on_end(response: Response) -> None:
            on_done(response.etag, response.error and _write_error(part.key, response.error, is_conditional=True))

        query = {"partNumber": str(part.number), "uploadId": part.upload_id}
        headers = _body_headers(part.body.size, part.checksums)
        self._repeated.begin(Request("UploadPart", "PUT", part.key, headers, query, part.body), on_end)


def _body_headers(size: int, checksums: Checksums) -> dict[str, str]:
    if checksums.md5:
        checksum = {"Content-MD5": base64.b64encode(bytes.fromhex(checksums.md5)).decode()}
    else:
        checksum = {"x-amz-checksum-crc64nvme": encode_crc(checksums.crc)}
    return {"Content-Length": str(size), **checksum}


def _write_error(key: str, error: Exception, *, is_conditional: bool) -> Exception:
    return (
        write_error(key, fault_of(error), is_conditional=is_conditional) if isinstance(error, REQUEST_ERRORS) else error
    )
