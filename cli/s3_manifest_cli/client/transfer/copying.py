"""A version of an object, made the newest one: copied by S3 itself, with its metadata."""

import contextlib
from typing import TYPE_CHECKING, Any

from s3_manifest.storage.s3 import metadata_of
from s3_manifest.storage.store import Conflict, Present
from s3_manifest_cli.client.access.s3_errors import (
    OBJECT_CHANGED,
    OBJECT_VERSION_GONE,
    REQUEST_ERRORS,
    fault_of,
    write_error,
)
from s3_manifest_cli.client.transfer.objects import Objects

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

_MAX_WHOLE = 5 << 30
"""Larger objects S3 copies in parts only: https://docs.aws.amazon.com/AmazonS3/latest/userguide/CopyingObjectsMPUExamples.html"""
_PART = 1 << 30
_KEPT = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Metadata",
    "StorageClass",
)


def copy_version(objects: Objects, key: str, version_id: str, size: int, replaces: str | None) -> str:
    """Makes the version the newest one of its key, in place of the object with that ETag (None: of none); its new ETag.

    Raises ``Conflict`` where another object is there by now, which stays, or the version is gone; ``WriteRefused``,
    ``OutcomeUnknown``, ``ReadFailed``. A repeat with the same ``replaces`` finds it done, where it was copied whole.
    """
    seen = objects.head(key)
    # S3 heeds the condition of the copy itself; some servers do not, and there this look is what there is.
    if (seen.etag if isinstance(seen, Present) else None) != replaces:
        if isinstance(seen, Present) and _is_it(objects, seen, version_id):
            return seen.etag
        raise Conflict(key, OBJECT_CHANGED)
    condition: dict[str, Any] = {"IfMatch": f'"{replaces}"'} if replaces else {"IfNoneMatch": "*"}
    source: CopySourceTypeDef = {"Bucket": objects.bucket, "Key": key, "VersionId": version_id}
    try:
        copy = _whole if size <= _MAX_WHOLE else _in_parts
        return copy(objects, key, source, size, condition).strip('"')
    except REQUEST_ERRORS as error:
        fault = fault_of(error)
        if fault.code == "NoSuchVersion":
            raise Conflict(key, OBJECT_VERSION_GONE) from error
        raise write_error(key, fault, is_known=True) from error


def _is_it(objects: Objects, seen: Present, version_id: str) -> bool:
    """Whether the newest version is already like that one."""
    try:
        was = objects.client.head_object(Bucket=objects.bucket, Key=seen.key, VersionId=version_id)
    except REQUEST_ERRORS:
        return False
    metadata = metadata_of(was["Metadata"])
    return (was["ETag"].strip('"'), was["ContentLength"], metadata) == (seen.etag, seen.size, seen.metadata)


def _whole(objects: Objects, key: str, source: "CopySourceTypeDef", _size: int, condition: dict[str, Any]) -> str:
    answer = objects.writes.copy_object(
        Bucket=objects.bucket,
        Key=key,
        CopySource=source,
        MetadataDirective="COPY",
        TaggingDirective="COPY",
        **condition,
    )
    return answer["CopyObjectResult"]["ETag"]


def _in_parts(objects: Objects, key: str, source: "CopySourceTypeDef", size: int, condition: dict[str, Any]) -> str:
    client = objects.client
    place: dict[str, Any] = {"Bucket": objects.bucket, "Key": key}
    told: dict[str, Any] = dict(client.head_object(**place, VersionId=source["VersionId"]))
    begun = client.create_multipart_upload(**place, **{name: told[name] for name in _KEPT if name in told})
    upload = place | {"UploadId": begun["UploadId"]}
    try:
        parts: list[CompletedPartTypeDef] = []
        for number, start in enumerate(range(0, size, _PART), 1):
            span = f"bytes={start}-{min(start + _PART, size) - 1}"
            answer = client.upload_part_copy(**upload, PartNumber=number, CopySource=source, CopySourceRange=span)
            parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
        done = objects.writes.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
        return done["ETag"]
    except BaseException:
        with contextlib.suppress(*REQUEST_ERRORS):  # what went wrong before is what counts
            client.abort_multipart_upload(**upload)
        raise
