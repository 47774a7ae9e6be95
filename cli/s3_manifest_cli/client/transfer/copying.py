"""Makes an older version of an object the newest: S3 copies it, with its metadata."""

import contextlib
from typing import TYPE_CHECKING, Any

from s3_manifest.storage.s3 import metadata_of
from s3_manifest.storage.store import Conflict, Present, StoreError
from s3_manifest_cli.client.access.s3_errors import (
    OBJECT_CHANGED,
    REQUEST_ERRORS,
    VERSION_NOT_FOUND,
    fault_of,
    write_error,
)
from s3_manifest_cli.client.transfer import multipart
from s3_manifest_cli.client.transfer.multipart import Part
from s3_manifest_cli.client.transfer.objects import Objects

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CopySourceTypeDef

_MAX_WHOLE = 5 << 30
"""S3 copies larger objects only in parts: https://docs.aws.amazon.com/AmazonS3/latest/userguide/CopyingObjectsMPUExamples.html"""
_PART = 1 << 30
_COPIED_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Metadata",
    "StorageClass",
)


def copy_version(objects: Objects, key: str, version_id: str, size: int, replaces: str | None) -> str:
    """Copies the version over the current object, if its ETag is ``replaces`` (None: if there is none).

    Returns the new ETag. A repeat with the same ``replaces`` recognizes a finished copy, unless it was made in parts.
    Raises ``Conflict`` if the object changed, and then stays, or the version is gone; ``WriteRefused``,
    ``OutcomeUnknown``, ``ReadFailed``.
    """
    current = objects.head(key)
    # S3 checks the condition of the copy itself; on servers that do not, only this check remains.
    if (current and current.etag) != replaces:
        if current and _is_copy(objects, current, version_id):
            return current.etag
        raise Conflict(key, OBJECT_CHANGED)
    source: CopySourceTypeDef = {"Bucket": objects.bucket, "Key": key, "VersionId": version_id}
    try:
        if size > _MAX_WHOLE:
            return _copy_in_parts(objects, source, size, replaces)
        copied = objects.writes.copy_object(
            Bucket=objects.bucket,
            Key=key,
            CopySource=source,
            MetadataDirective="COPY",
            TaggingDirective="COPY",
            **multipart.condition(replaces),
        )
    except REQUEST_ERRORS as error:
        fault = fault_of(error)
        if fault.code == "NoSuchVersion":
            raise Conflict(key, VERSION_NOT_FOUND) from error
        raise write_error(key, fault, is_conditional=True) from error
    return copied["CopyObjectResult"]["ETag"].strip('"')


def _is_copy(objects: Objects, current: Present, version_id: str) -> bool:
    """Whether the current object equals the version."""
    try:
        version = objects.client.head_object(Bucket=objects.bucket, Key=current.key, VersionId=version_id)
    except REQUEST_ERRORS:
        return False
    metadata = metadata_of(version["Metadata"])
    etag, size = version["ETag"].strip('"'), version["ContentLength"]
    return (etag, size, metadata) == (current.etag, current.size, current.metadata)


def _copy_in_parts(objects: Objects, source: "CopySourceTypeDef", size: int, replaces: str | None) -> str:
    client, key = objects.client, source["Key"]
    target: dict[str, Any] = {"Bucket": objects.bucket, "Key": key}
    head: dict[str, Any] = dict(client.head_object(**target, VersionId=source["VersionId"]))
    headers = {name: head[name] for name in _COPIED_HEADERS if name in head}
    upload_id = client.create_multipart_upload(**target, **headers)["UploadId"]
    target |= {"UploadId": upload_id, "CopySource": source}
    try:
        parts: dict[int, Part] = {}
        for number, start in enumerate(range(0, size, _PART), 1):
            end = min(start + _PART, size)
            answer = client.upload_part_copy(**target, PartNumber=number, CopySourceRange=f"bytes={start}-{end - 1}")
            parts[number] = Part(end - start, answer["CopyPartResult"]["ETag"].strip('"'))
        return multipart.complete(objects, key, upload_id, parts, replaces)
    except BaseException:
        with contextlib.suppress(StoreError):  # the first error matters
            multipart.abort(objects, key, upload_id)
        raise
