"""A bucket of S3, through boto3. Translates boto3's errors with ``aws_errors``."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from s3_manifest.manifest.model import timestamp
from s3_manifest.storage.aws_errors import AWS_ERRORS, parse_fault
from s3_manifest.storage.store import (
    Absent,
    Archived,
    Conflict,
    Fault,
    Folders,
    HeadResult,
    ListedObject,
    Listing,
    NotModified,
    OutcomeUnknown,
    Present,
    ReadFailed,
    StoredObject,
    StoreError,
    WriteRefused,
    user_metadata,
)

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import (
        HeadObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
        ObjectIdentifierTypeDef,
        ObjectTypeDef,
    )

Result = TypeVar("Result")
Expected = TypeVar("Expected")

_CHECKSUM_HEADER, _NO_ALGORITHMS = "x-amz-checksum-", frozenset({"type", "mode", "algorithm"})
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_BLOCK = 1 << 20
_JSON = "application/json"

_ARCHIVED = "InvalidObjectState"
_OTHER_REGION = frozenset({"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"})
_OTHER_OBJECT = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})

_PUT_PARAMETERS = {"Content-MD5": "ContentMD5", "Content-Type": "ContentType", "If-None-Match": "IfNoneMatch"}


class S3Store:
    """One bucket. The client ``reads`` may retry, the client ``writes`` must not (see ``aws.s3_client``)."""

    def __init__(self, bucket: str, reads: "S3Client", writes: "S3Client") -> None:
        self.bucket = bucket
        self._reads = reads
        self._writes = writes

    def get(self, key: str) -> StoredObject | None:
        return self._read(key, lambda: self._get(key), {404: None})

    def get_if_changed(self, key: str, etag: str) -> StoredObject | NotModified | None:
        return self._read(key, lambda: self._get(key, IfNoneMatch=f'"{etag}"'), {404: None, 304: NotModified(etag)})

    def head(self, key: str) -> HeadResult:
        def describe() -> Present:
            return _present(key, self._reads.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED"))

        return self._read(key, describe, {404: Absent(key)})

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        condition: dict[str, Any] = {"IfMatch": f'"{replaces}"'} if replaces else {"IfNoneMatch": "*"}
        with self._writing(key, absence_is_conflict=replaces is not None):
            answer = self._writes.put_object(
                Bucket=self.bucket, Key=key, Body=body, ContentType=_JSON, Metadata=dict(metadata), **condition
            )
            return _unquoted(answer["ETag"])

    def add(self, key: str, body: bytes) -> None:
        with self._writing(key):
            self._reads.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=_JSON)

    def delete(self, keys: Sequence[str]) -> None:
        self._delete([{"Key": key} for key in keys])

    def delete_if_match(self, key: str, etag: str) -> bool:
        try:
            self._reads.delete_object(Bucket=self.bucket, Key=key, IfMatch=f'"{etag}"')
        except AWS_ERRORS as error:
            if _is_absence(fault := parse_fault(error)):
                return False  # also for a retry after a lost response, where it means the same
            raise _write_error(self.bucket, key, fault) from error
        return True

    def delete_if_unchanged(self, objects: Sequence[ListedObject]) -> Sequence[str]:
        return self._delete([{"Key": listed.key, "ETag": f'"{listed.etag}"'} for listed in objects])

    def presigned_put(self, key: str, headers: Mapping[str, str], seconds: int) -> str:
        """A URL that accepts a PUT of the object with exactly these headers, for ``seconds``. Sends no request.

        S3 refuses the upload if a header differs or is missing, an ``x-amz-`` header is added, the ``Content-MD5`` is
        not that of the bytes, or the headers have ``If-None-Match: *`` and the object exists. The URL expires with the
        credentials that signed it, if that is sooner:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
        """
        parameters: dict[str, Any] = {"Bucket": self.bucket, "Key": key, "Metadata": user_metadata(headers)}
        parameters["ContentLength"] = int(headers["Content-Length"])
        parameters |= {parameter: headers[name] for name, parameter in _PUT_PARAMETERS.items() if name in headers}
        return self._reads.generate_presigned_url("put_object", Params=parameters, ExpiresIn=seconds)

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        answer = self._list(prefix, limit, StartAfter=after)
        return Listing(tuple(_listed(item) for item in answer.get("Contents", ())), answer["IsTruncated"])

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        # "0" is the character after "/": this skips what is below the folder ``after``, and no more.
        start = after.removesuffix("/") + "0" if after else ""
        answer = self._list(prefix, limit, StartAfter=start, Delimiter="/")
        while answer["IsTruncated"] and not answer.get("CommonPrefixes"):
            # A response with only objects beside the folders.
            answer = self._list(prefix, limit, ContinuationToken=answer["NextContinuationToken"], Delimiter="/")
        return Folders(tuple(item["Prefix"] for item in answer.get("CommonPrefixes", ())), answer["IsTruncated"])

    def _delete(self, objects: "Sequence[ObjectIdentifierTypeDef]") -> Sequence[str]:
        """Deletes the objects; returns the keys of those with another ETag, which stay."""
        if not objects:
            return ()
        with self._writing(objects[0]["Key"]):
            answer = self._reads.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})
        changed = []
        for failure in answer.get("Errors", ()):
            # These errors come in a response with status 200: only their codes tell them apart.
            if failure["Code"] in _OTHER_OBJECT:
                changed.append(failure["Key"])
            elif failure["Code"] != "NoSuchKey":
                reason = f"S3 refused to delete it: {failure['Code']} {failure['Message']}"
                raise WriteRefused(failure["Key"], reason, bucket=self.bucket)
        return changed

    def _list(self, prefix: str, limit: int, **more: str) -> "ListObjectsV2OutputTypeDef":
        # boto3 requests URL-encoded keys and decodes them, so keys that XML cannot hold are exact too.
        try:
            answer = self._reads.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=limit, **more)  # type: ignore[arg-type]  # a keyword each
            _ = answer["IsTruncated"]  # every listing of S3 has it; without it, another server answered
            return answer
        except AWS_ERRORS as error:
            raise _read_error(self.bucket, prefix, parse_fault(error)) from error

    def md5(self, key: str, etag: str) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for block in self.blocks(key, etag):
            digest.update(block)
        return digest.hexdigest()

    def blocks(self, key: str, etag: str) -> Iterator[bytes]:
        """The object's bytes, one MiB at a time. Raises as ``md5``, also midway."""
        try:
            answer = self._reads.get_object(Bucket=self.bucket, Key=key, IfMatch=f'"{etag}"')
            if _unquoted(answer["ETag"]) != etag:  # some servers silently ignore conditions
                raise Conflict(key, "the object has been replaced", bucket=self.bucket)
            yield from answer["Body"].iter_chunks(_BLOCK)
        except AWS_ERRORS as error:
            fault = parse_fault(error)
            if _is_absence(fault) or fault.status == 412:
                raise Conflict(key, "the object has been replaced or deleted", bucket=self.bucket) from error
            raise _read_error(self.bucket, key, fault) from error

    def _get(self, key: str, **condition: str) -> StoredObject:
        answer = self._reads.get_object(Bucket=self.bucket, Key=key, **condition)  # type: ignore[arg-type]  # a keyword each
        return StoredObject(answer["Body"].read(), _unquoted(answer["ETag"]), metadata_of(answer["Metadata"]))

    def _read(self, key: str, request: Callable[[], Result], expected: Mapping[int, Expected]) -> Result | Expected:
        """The result of a request, or what a response with one of the ``expected`` statuses means."""
        try:
            return request()
        except AWS_ERRORS as error:
            fault = parse_fault(error)
            if fault.status in expected and (fault.status != 404 or _is_absence(fault)):
                return expected[fault.status]
            raise _read_error(self.bucket, key, fault) from error

    @contextmanager
    def _writing(self, key: str, *, absence_is_conflict: bool = False) -> Iterator[None]:
        """Translates the errors of a write."""
        try:
            yield
        except AWS_ERRORS as error:
            fault = parse_fault(error)
            raise _write_error(self.bucket, key, fault, absence_is_conflict=absence_is_conflict) from error


def metadata_of(answer: Mapping[str, str]) -> Mapping[str, str]:
    """User metadata from a boto3 response, as it was sent; ``entries.decode_metadata`` decodes RFC 2047 words.

    Header values are bytes, and Python's HTTP library decodes them as Latin-1. Some clients send UTF-8 (mc, curl, Go
    programs), and servers other than Amazon's return it unchanged. Latin-1 text is hardly ever valid UTF-8.
    """

    def from_utf8(value: str) -> str:
        try:
            return value.encode("latin-1").decode()
        except UnicodeError:
            return value

    return {name.lower(): value if value.isascii() else from_utf8(value) for name, value in answer.items()}


def _listed(item: "ObjectTypeDef") -> ListedObject:
    return ListedObject(
        key=item["Key"],
        size=item["Size"],
        etag=_unquoted(item["ETag"]),
        last_modified=timestamp(item["LastModified"]),
        storage_class=item.get("StorageClass", "STANDARD"),
    )


def _checksums(facts: Mapping[str, Any]) -> dict[str, str]:
    """All checksums in a response, by algorithm. Those that boto3 does not know yet come from the headers."""
    headers = facts["ResponseMetadata"].get("HTTPHeaders", {})
    sent = {name.removeprefix(_CHECKSUM_HEADER): headers[name] for name in headers if name.startswith(_CHECKSUM_HEADER)}
    known = {name.removeprefix("Checksum").lower(): facts[name] for name in facts if name.startswith("Checksum")}
    return {name: value for name, value in (sent | known).items() if value and name not in _NO_ALGORITHMS}


def _present(key: str, answer: "HeadObjectOutputTypeDef") -> Present:
    facts: Mapping[str, Any] = answer
    checksum = _checksums(facts)
    if checksum:
        # A composite checksum ends with "-" and the number of parts; base64 has no "-".
        is_composite = any("-" in value for value in checksum.values())
        checksum["type"] = facts.get("ChecksumType", "COMPOSITE" if is_composite else "FULL_OBJECT")
    # S3 omits the header for STANDARD.
    storage_class = facts.get("StorageClass", "STANDARD")
    restored = 'ongoing-request="false"' in facts.get("Restore", "")
    return Present(
        key=key,
        size=answer["ContentLength"],
        etag=_unquoted(answer["ETag"]),
        last_modified=timestamp(answer["LastModified"]),
        content_type=facts.get("ContentType"),
        storage_class=storage_class,
        version_id=facts.get("VersionId"),
        encryption="SSE-C" if "SSECustomerAlgorithm" in facts else facts.get("ServerSideEncryption"),
        archived=(storage_class in _ARCHIVES or "ArchiveStatus" in facts) and not restored,
        checksum=checksum or None,
        metadata=metadata_of(answer["Metadata"]),
    )


def _write_error(bucket: str, key: str, fault: Fault, *, absence_is_conflict: bool = False) -> StoreError:
    """The error for a failed write, by its HTTP status alone: S3-compatible servers differ in their error codes.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    if fault.status in (409, 412) or (_is_absence(fault) and absence_is_conflict):
        return Conflict(key, f"another writer wrote it first ({fault.status})", fault, bucket)
    if 400 <= fault.status < 500:
        return WriteRefused(key, f"S3 refused to write it: {fault.words}", fault, bucket)
    if not fault.is_sent:
        return WriteRefused(key, f"not written: {fault.words}", fault, bucket)
    return OutcomeUnknown(key, f"the write may or may not have happened: {fault.words}", fault, bucket)


def _read_error(bucket: str, key: str, fault: Fault) -> ReadFailed:
    if fault.code == _ARCHIVED:
        return Archived(key, f"its bytes are in an archive; restore or copy it ({fault.words})", fault, bucket)
    return ReadFailed(key, f"not read: {fault.words}{_remedy(fault)}", fault, bucket)


def _remedy(fault: Fault) -> str:
    """What to do about a refused read, by its error code: one status has many causes.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """
    if fault.code == "AccessDenied" or (fault.status == 403 and not fault.code):
        return "; allow s3:GetObject and s3:ListBucket on it, and kms:Decrypt with its key"
    if fault.code == "InvalidRequest" or (fault.status == 400 and not fault.code):
        return "; it may be encrypted with a customer-provided key (SSE-C), and such objects cannot be read"
    if fault.region and (fault.status in (301, 307) or fault.code in _OTHER_REGION):
        return f"; the bucket is in {fault.region}"
    return ""


def _is_absence(fault: Fault) -> bool:
    # A missing bucket is a wrong setting. If it counted as the absence of its objects, every manifest would be emptied.
    return fault.status == 404 and fault.code != "NoSuchBucket"


def _unquoted(etag: str) -> str:
    return etag.strip('"')
