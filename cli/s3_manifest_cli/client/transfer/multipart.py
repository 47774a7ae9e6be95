"""S3's operations for uploads in parts: begin, list, complete (only if the object is as expected), and abort.

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
    from types_boto3_s3.type_defs import ListMultipartUploadsOutputTypeDef

MAX_PARTS = 10_000
_MIB = 1 << 20


class Part(NamedTuple):
    """A part in S3. ``etag`` is the MD5 of its bytes in hex, unless it is encrypted with a customer's key.

    ``crc`` is their CRC-64/NVME as S3 writes it, if the upload was begun with CRCs.
    """

    size: int
    etag: str
    crc: str | None = None


def condition(replaces: str | None) -> dict[str, Any]:
    """The parameter that makes S3 replace only the object with this ETag, or none."""
    return {"IfMatch": f'"{replaces}"'} if replaces else {"IfNoneMatch": "*"}


def part_size_of(size: int, preferred: int) -> int:
    """The size of the parts of an object: the preferred one, or as many whole MiB as ``MAX_PARTS`` requires."""
    return max(preferred, -(-size // MAX_PARTS // _MIB) * _MIB)


def begin(objects: Objects, key: str, headers: Mapping[str, str], *, by_crc: bool) -> str:
    """The id of a new upload; S3 compares its parts with CRCs or MD5s. Raises ``OutcomeUnknown``, ``WriteRefused``."""
    # With CRCs S3 also keeps that of the whole: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    algorithm: dict[str, Any] = {"ChecksumAlgorithm": "CRC64NVME"} if by_crc else {}
    metadata = user_metadata(headers)
    try:
        answer = objects.writes.create_multipart_upload(
            Bucket=objects.bucket, Key=key, ContentType=headers["Content-Type"], Metadata=metadata, **algorithm
        )
    except REQUEST_ERRORS as error:
        raise write_error(key, fault_of(error), is_conditional=False) from error
    return answer["UploadId"]


class UploadListing(NamedTuple):
    """When each unfinished upload to a key began, by id, and the time of the listing, by S3's clock in seconds."""

    listed_at: float
    started_at: Mapping[str, float]


def uploads(objects: Objects, key: str) -> UploadListing:
    """Lists the unfinished uploads to a key. Raises ``ReadFailed``."""
    try:
        pages = list(_pages(objects, key))
    except REQUEST_ERRORS as error:
        raise read_error(key, fault_of(error), is_conditional=False) from error
    date = pages[0]["ResponseMetadata"]["HTTPHeaders"].get("date")
    listed_at = parsedate_to_datetime(date).timestamp() if date else time.time()
    matching = [upload for page in pages for upload in page.get("Uploads", ()) if _decode(page, upload["Key"]) == key]
    return UploadListing(listed_at, {upload["UploadId"]: upload["Initiated"].timestamp() for upload in matching})


def _pages(objects: Objects, key: str) -> "Iterator[ListMultipartUploadsOutputTypeDef]":
    """The pages of the listing of uploads to keys that begin with ``key``.

    Keys are url-encoded, as XML cannot hold every character of a key. botocore requests and decodes that for listings
    of objects, but not for this one. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
    """
    markers: dict[str, Any] = {}
    while True:
        page = objects.client.list_multipart_uploads(Bucket=objects.bucket, Prefix=key, EncodingType="url", **markers)
        yield page
        if not page.get("IsTruncated"):
            return
        markers = {"KeyMarker": _decode(page, page["NextKeyMarker"]), "UploadIdMarker": page["NextUploadIdMarker"]}


def _decode(page: "ListMultipartUploadsOutputTypeDef", key: str) -> str:
    return unquote_plus(key) if page.get("EncodingType") == "url" else key


def parts(objects: Objects, key: str, upload_id: str) -> Mapping[int, Part] | None:
    """The parts of an upload that S3 has, by number; None if there is no such upload. Raises ``ReadFailed``."""
    try:
        pages = objects.client.get_paginator("list_parts").paginate(Bucket=objects.bucket, Key=key, UploadId=upload_id)
        listed = [part for page in pages for part in page.get("Parts", ())]
    except REQUEST_ERRORS as error:
        fault = fault_of(error)
        if fault.status == 404 and fault.code != "NoSuchBucket":
            return None
        raise read_error(key, fault, is_conditional=False) from error
    return {
        part["PartNumber"]: Part(part["Size"], part["ETag"].strip('"'), part.get("ChecksumCRC64NVME"))
        for part in listed
    }


def complete(objects: Objects, key: str, upload_id: str, parts: Mapping[int, Part], replaces: str | None) -> str:
    """Turns the parts into the object if the current one has the ETag ``replaces`` (None: if there is none).

    Returns the new ETag. The request is never repeated. Raises ``Conflict``, also if the upload is gone;
    ``OutcomeUnknown``, ``WriteRefused``.
    """
    completed: list[Any] = [
        {"PartNumber": number, "ETag": f'"{part.etag}"'} | ({"ChecksumCRC64NVME": part.crc} if part.crc else {})
        for number, part in sorted(parts.items())
    ]
    try:
        answer = objects.writes.complete_multipart_upload(
            Bucket=objects.bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": completed},
            **condition(replaces),
        )
    except REQUEST_ERRORS as error:
        raise write_error(key, fault_of(error), is_conditional=True) from error
    return answer["ETag"].strip('"')


def abort(objects: Objects, key: str, upload_id: str) -> None:
    """Deletes an upload and its parts, if it exists. Raises ``OutcomeUnknown``, ``WriteRefused``."""
    try:
        objects.client.abort_multipart_upload(Bucket=objects.bucket, Key=key, UploadId=upload_id)
    except REQUEST_ERRORS as error:
        fault = fault_of(error)
        if fault.status != 404:
            raise write_error(key, fault, is_conditional=False) from error
