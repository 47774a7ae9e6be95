"""The bookkeeping of uploads in parts: begun, looked at, completed where nobody else wrote meanwhile, or aborted.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_plus

from s3_manifest.storage.store import user_metadata
from s3_manifest_cli.client.access.s3_errors import REQUEST_ERRORS, fault_of, read_error, write_error
from s3_manifest_cli.client.transfer.objects import Objects

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef, ListMultipartUploadsOutputTypeDef

MAX_PARTS = 10_000
_MIB = 1 << 20


class Part(NamedTuple):
    """A part that S3 has. ``etag`` is the MD5 of its bytes in hex, unless it is encrypted with a customer's key.

    ``crc`` is their CRC-64/NVME as S3 writes it, of an upload that was begun with CRCs.
    """

    size: int
    etag: str
    crc: str | None = None


def part_size_of(size: int, usual: int) -> int:
    """The size of the parts that so many bytes are cut into: whole MiB, so many that there are not too many parts."""
    return max(usual, -(-size // MAX_PARTS // _MIB) * _MIB)


def begin(objects: Objects, key: str, headers: Mapping[str, str], *, by_crc: bool) -> str:
    """The id of a new upload, whose parts S3 compares with their CRCs, or with MD5s.

    Raises ``OutcomeUnknown``, ``WriteRefused``.
    """
    # S3 keeps the CRC of the whole then, too: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    algorithm: dict[str, Any] = {"ChecksumAlgorithm": "CRC64NVME"} if by_crc else {}
    metadata = user_metadata(headers)
    try:
        answer = objects.writes.create_multipart_upload(
            Bucket=objects.bucket, Key=key, ContentType=headers["Content-Type"], Metadata=metadata, **algorithm
        )
    except REQUEST_ERRORS as error:
        raise write_error(key, fault_of(error), is_known=False) from error
    return answer["UploadId"]


class Listed(NamedTuple):
    """The uploads to a key that are not finished, anybody's, by their ids: when each was begun.

    ``asked_at`` is when S3 was asked for them. All times are of S3's own clock, in seconds since 1970.
    """

    asked_at: float
    begun_at: Mapping[str, float]


def uploads(objects: Objects, key: str) -> Listed:
    """The uploads to a key that are not finished. Raises ``ReadFailed``."""
    try:
        pages = list(_pages(objects, key))
    except REQUEST_ERRORS as error:
        raise read_error(key, fault_of(error), is_known=False) from error
    date = pages[0]["ResponseMetadata"]["HTTPHeaders"].get("date")
    asked_at = parsedate_to_datetime(date).timestamp() if date else time.time()
    found = [one for page in pages for one in page.get("Uploads", ()) if _decoded(page, one["Key"]) == key]
    return Listed(asked_at, {one["UploadId"]: one["Initiated"].timestamp() for one in found})


def _pages(objects: Objects, key: str) -> "Iterator[ListMultipartUploadsOutputTypeDef]":
    """The pages of the listing of uploads to keys that begin with ``key``.

    Keys come url-encoded, as XML cannot hold every character of a key. For listings of objects botocore asks for that
    and decodes them, and for this one it does neither.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
    """
    after: dict[str, Any] = {}
    while True:
        page = objects.client.list_multipart_uploads(Bucket=objects.bucket, Prefix=key, EncodingType="url", **after)
        yield page
        if not page.get("IsTruncated"):
            return
        after = {"KeyMarker": _decoded(page, page["NextKeyMarker"]), "UploadIdMarker": page["NextUploadIdMarker"]}


def _decoded(page: "ListMultipartUploadsOutputTypeDef", key: str) -> str:
    return unquote_plus(key) if page.get("EncodingType") == "url" else key


def parts(objects: Objects, key: str, upload_id: str) -> Mapping[int, Part] | None:
    """The parts that S3 has of an upload, by number; None where there is no such upload. Raises ``ReadFailed``."""
    try:
        pages = objects.client.get_paginator("list_parts").paginate(Bucket=objects.bucket, Key=key, UploadId=upload_id)
        found = [part for page in pages for part in page.get("Parts", ())]
    except REQUEST_ERRORS as error:
        fault = fault_of(error)
        if fault.status == 404 and fault.code != "NoSuchBucket":
            return None
        raise read_error(key, fault, is_known=False) from error
    return {
        part["PartNumber"]: Part(part["Size"], part["ETag"].strip('"'), part.get("ChecksumCRC64NVME")) for part in found
    }


def complete(objects: Objects, key: str, upload_id: str, parts: Mapping[int, Part], replaces: str | None) -> str:
    """Makes the parts the object, if the ETag of the one there is ``replaces`` (None: if there is none); its new ETag.

    Raises ``Conflict``, also where the upload is gone; ``OutcomeUnknown``, ``WriteRefused``. Is never retried in here.
    """
    condition: dict[str, Any] = {"IfMatch": f'"{replaces}"'} if replaces else {"IfNoneMatch": "*"}
    listed: list[CompletedPartTypeDef] = []
    for number, part in sorted(parts.items()):
        listed.append({"PartNumber": number, "ETag": f'"{part.etag}"'})
        if part.crc:
            listed[-1]["ChecksumCRC64NVME"] = part.crc
    try:
        answer = objects.writes.complete_multipart_upload(
            Bucket=objects.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": listed}, **condition
        )
    except REQUEST_ERRORS as error:
        raise write_error(key, fault_of(error), is_known=True) from error
    return answer["ETag"].strip('"')


def abort(objects: Objects, key: str, upload_id: str) -> None:
    """Drops an upload and its parts; one that is gone does not matter. Raises ``OutcomeUnknown``, ``WriteRefused``."""
    try:
        objects.client.abort_multipart_upload(Bucket=objects.bucket, Key=key, UploadId=upload_id)
    except REQUEST_ERRORS as error:
        fault = fault_of(error)
        if fault.status != 404:
            raise write_error(key, fault, is_known=False) from error
