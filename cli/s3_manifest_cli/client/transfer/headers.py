"""What the headers of an upload tell of it: its media type, and what its user metadata says."""

from collections.abc import Mapping
from typing import NamedTuple

from s3_manifest.edits.uploads import CONTENT_TYPES
from s3_manifest.storage.store import METADATA_PREFIX
from s3_manifest.storage.user_metadata import Fitted, fit

_CONTENT_TYPES = {**CONTENT_TYPES, "mp4": "video/mp4"}


class Told(NamedTuple):
    """What is told of a file beside its bytes, each where somebody knows it."""

    prompt: str | None = None
    local_path: str | None = None
    generated_at: str | None = None
    generation_id: str | None = None
    generation_type: str | None = None


def of(key: str, values: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of an upload to that key with this user metadata."""
    return {"Content-Type": content_type(key)} | {METADATA_PREFIX + name: value for name, value in values.items()}


def content_type(key: str) -> str:
    """The media type that a file's name tells, in any case of letters."""
    stem, _, suffix = key.rpartition("/")[2].rpartition(".")
    return _CONTENT_TYPES.get(suffix.lower() if stem else "", "application/octet-stream")


def metadata(md5: str, told: Told = Told()) -> Fitted:  # noqa: B008  # it is immutable
    """The user metadata of an upload: the MD5 of its bytes in hex, and what is told of it, as far as S3 takes so much.

    The MD5 is among it because the ETag of an object that is uploaded in parts, or encrypted with a customer's key, is
    none. The prompt is the longest, and has a sidecar for it: it yields to all other fields.
    """
    return fit(
        {
            "md5": md5,
            "generation-id": told.generation_id,
            "generated-at": told.generated_at,
            "generation-type": told.generation_type,
            "local-path": told.local_path,
            "prompt": told.prompt,
        }
    )
