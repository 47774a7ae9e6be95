"""What is asked of uploads: names checked, and the headers by which S3 takes these bytes and no others."""

import base64
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, JsonValue, StrictBool, StrictInt, StrictStr
from pydantic_core import to_json

from s3_manifest.collections import MAX_KEY_BYTES, Collection, Collections
from s3_manifest.facts import as_hex, as_id
from s3_manifest.model import Frozen
from s3_manifest.sidecars import SIDECARS, Declared, Moment, is_caption, is_image
from s3_manifest.store import METADATA_PREFIX
from s3_manifest.user_metadata import fit

MAX_IMAGES = 250
"""Of one request: so many signed URLs, each of some kilobytes, surely fit into one answer of Lambda."""

MAX_SIZE_BYTES = 5 << 30
"""Of one PUT: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html"""

CONTENT_TYPES = {
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
}
"""Media types by the suffixes of images and captions."""

_MAX_GENERATION_METADATA = 4096
# Control characters, halves of characters, and what ends a line or a paragraph.
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})


def _md5(text: str) -> str:
    if md5 := as_hex(text):
        return md5
    raise ValueError("an MD5 is 32 hex digits, or the base64 of 16 bytes")


def _short(value: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    if len(to_json(value)) > _MAX_GENERATION_METADATA:
        raise ValueError(f"at most {_MAX_GENERATION_METADATA} bytes of JSON")
    return value


Md5 = Annotated[StrictStr, AfterValidator(_md5)]
Id = (
    Annotated[StrictInt, Field(ge=0, lt=10**18)]
    | Annotated[StrictStr, Field(min_length=1, max_length=200), AfterValidator(as_id)]
)


class Image(Frozen):
    """One file to be uploaded; ``md5`` in hex or base64."""

    filename: StrictStr = Field(description="The path below the collection's prefix")
    size: StrictInt = Field(ge=0, le=MAX_SIZE_BYTES, description="Bytes")
    md5: Md5 = Field(description="In hex or base64; S3 refuses other bytes")
    content_type: (
        Annotated[StrictStr, Field(pattern=r"^[\w.+-]+/[\w.+-]+(; ?[\w.-]+=[\w.-]+)*$", max_length=200)] | None
    ) = Field(default=None, description="Else it follows from the suffix")
    prompt: Annotated[StrictStr, Field(max_length=20_000)] | None = None
    generated_at: Moment | None = None
    local_path: Annotated[StrictStr, Field(max_length=1000)] | None = None


class Generation(Frozen):
    """The run that made the files; without an id it gets the next number."""

    generation_id: Id | None = None
    type: Annotated[StrictStr, Field(min_length=1, max_length=200)] = "declared"
    generated_at: Moment | None = None
    metadata: Annotated[Mapping[str, JsonValue], AfterValidator(_short)] | None = None


class Uploads(Frozen):
    """What is to be uploaded."""

    images: tuple[Image, ...] = Field(min_length=1, max_length=MAX_IMAGES)
    generation: Generation | None = None
    overwrite: StrictBool = Field(default=False, description="Else S3 refuses to replace a file")
    expires_in: StrictInt = Field(default=3600, ge=1, le=43_200, description="Seconds that the URLs are good for")


class BadName(NamedTuple):
    """A filename that cannot be uploaded to: which of the images it is, from 0, and why."""

    at: int
    reason: str


class Headers(NamedTuple):
    """What a PUT has to say, and what did not fit: the fields that go into a sidecar."""

    headers: Mapping[str, str]
    left: Mapping[str, str]


def bad_names(collections: Collections, collection: Collection, filenames: Sequence[str]) -> Iterator[BadName]:
    """Those that no file of the collection can have, or that are named before."""
    before: dict[str, int] = {}
    for index, filename in enumerate(filenames):
        if reason := _wrong_with(collections, collection, filename):
            yield BadName(index, reason)
        elif filename in before:
            yield BadName(index, f"it is named before, at {before[filename]}")
        before.setdefault(filename, index)


def _wrong_with(collections: Collections, collection: Collection, filename: str) -> str | None:
    key = collection.prefix + filename
    wrong = {
        "it is a path below the collection's prefix, without '.', '..' and empty parts": any(
            part in ("", ".", "..") for part in filename.split("/")
        ),
        "it must not hold a backslash or control characters": "\\" in filename
        or any(unicodedata.category(sign) in _CONTROLS for sign in filename),
        f"the key would be longer than {MAX_KEY_BYTES} bytes": len(key.encode(errors="replace")) > MAX_KEY_BYTES,
        "it is a sidecar's, and those are edited by PATCH": filename in SIDECARS,
        "it is neither an image nor a .txt caption, by its suffix": not (is_image(filename) or is_caption(filename)),
        "it is another collection's": collections.of(key) != collection,
    }
    return next((reason for reason, is_so in wrong.items() if is_so), None)


def headers_of(image: Image, generation: Declared | None, *, overwrite: bool) -> Headers:
    """The headers of its PUT, and the fields for which user metadata has no room: the prompt first.

    The MD5 is among the user metadata too: the ETag of an object that is encrypted with a customer key is none.
    """
    fields = {
        "md5": image.md5,
        "generation-id": None if generation is None else str(generation.generation_id),
        "generated-at": image.generated_at,
        "generation-type": None if generation is None else generation.type,
        "local-path": image.local_path,
        "prompt": image.prompt,
    }
    fitted = fit(fields)
    suffix = image.filename.rpartition(".")[2].lower()
    headers = {
        "Content-Length": str(image.size),
        "Content-MD5": base64.b64encode(bytes.fromhex(image.md5)).decode(),
        "Content-Type": image.content_type or CONTENT_TYPES.get(suffix, "application/octet-stream"),
        **{METADATA_PREFIX + name: value for name, value in fitted.values.items()},
    }
    left = {name.replace("-", "_"): str(fields[name]) for name in fitted.left_out}
    return Headers(headers if overwrite else headers | {"If-None-Match": "*"}, left)
