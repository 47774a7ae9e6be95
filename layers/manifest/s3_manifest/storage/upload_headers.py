"""The headers of an upload: its media type and its user metadata."""

from collections.abc import Mapping
from typing import NamedTuple

from s3_manifest.storage.store import METADATA_PREFIX
from s3_manifest.storage.user_metadata import fit_metadata

_CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heic": "image/heic",
    "jxl": "image/jxl",
    "txt": "text/plain; charset=utf-8",
    "caption": "text/plain; charset=utf-8",
    "mp4": "video/mp4",
}


class UploadMetadata(NamedTuple):
    """The user metadata of an uploaded file; None for what is unknown."""

    prompt: str | None = None
    local_path: str | None = None
    generated_at: str | None = None
    generation_id: str | None = None
    generation_type: str | None = None


class UploadHeaders(NamedTuple):
    """The headers, and the names of the metadata fields that exceed S3's limit."""

    headers: Mapping[str, str]
    left_out: tuple[str, ...]


def upload_headers(key: str, md5: str, metadata: UploadMetadata = UploadMetadata()) -> UploadHeaders:  # noqa: B008  # it is immutable
    """The headers of an upload, with as much user metadata as S3 accepts.

    They include the MD5 in hex, because the ETag of a multipart upload, or of an object encrypted with a customer key,
    is not the MD5. The prompt comes last: it is the longest field, and a sidecar can hold it.
    """
    fitted = fit_metadata(
        {
            "md5": md5,
            "generation-id": metadata.generation_id,
            "generated-at": metadata.generated_at,
            "generation-type": metadata.generation_type,
            "local-path": metadata.local_path,
            "prompt": metadata.prompt,
        }
    )
    values = {METADATA_PREFIX + name: value for name, value in fitted.values.items()}
    return UploadHeaders({"Content-Type": content_type(key)} | values, fitted.left_out)


def content_type(key: str) -> str:
    """The media type for the suffix of a key, case-insensitive."""
    stem, _, suffix = key.rpartition("/")[2].rpartition(".")
    return _CONTENT_TYPES.get(suffix.lower() if stem else "", "application/octet-stream")
