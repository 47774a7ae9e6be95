"""Requests for uploads: which filenames are valid, and the headers with which S3 accepts only these bytes."""

import base64
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, JsonValue, StrictBool, StrictInt, StrictStr
from pydantic_core import to_json

from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection, Collections
from s3_manifest.manifest.filenames import filename_problem, path_conflicts
from s3_manifest.manifest.lenient_json import SURROGATE, read_json
from s3_manifest.manifest.model import Frozen
from s3_manifest.query.cursors import BadParameter
from s3_manifest.reconcile.entries import parse_id
from s3_manifest.sidecars.captions import is_caption, is_image
from s3_manifest.sidecars.content import MAX_PROMPT_BYTES, MAX_TEXT_BYTES, GenerationDeclaration, Moment
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.storage.md5 import parse_md5
from s3_manifest.storage.upload_headers import UploadMetadata, upload_headers

MAX_IMAGES = 250
"""The limit of one request: signed URLs have some kilobytes each and have to fit into one answer of Lambda."""

MAX_SIZE_BYTES = 5 << 30
"""The limit of one PUT: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html"""

_MAX_GENERATION_METADATA = 4096
# Control characters, lone surrogates, and separators of lines and paragraphs.
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
# S3 lists keys in XML, which excludes these: https://www.w3.org/TR/xml/#charsets
_NO_CONTROLS = "must not contain control characters or characters that XML excludes"
_NO_XML = frozenset("\ufffe\uffff")
# https://www.rfc-editor.org/rfc/rfc6838#section-4.2, with parameters whose values are tokens
_NAME, _TOKEN = "[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*", "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_CONTENT_TYPE = rf"^{_NAME}/{_NAME}(; ?{_TOKEN}={_TOKEN})*$"


def _md5(text: str) -> str:
    if md5 := parse_md5(text):
        return md5
    raise ValueError("an MD5 is 32 hex digits, or the base64 of 16 bytes")


def _usable(value: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Short, and accepted by every reader of JSON."""
    try:
        written = to_json(value, inf_nan_mode="constants")
    except ValueError as error:
        raise ValueError(f"it cannot be written as JSON: {error}") from error
    if len(written) > _MAX_GENERATION_METADATA:
        raise ValueError(f"at most {_MAX_GENERATION_METADATA} bytes of JSON")
    if problems := read_json(written).problems:
        raise ValueError(problems[0])
    return value


def _text(value: str) -> str:
    if SURROGATE.search(value):
        raise ValueError("it has a lone surrogate, which UTF-8 cannot encode")
    return value


def _at_most(most: int) -> AfterValidator:
    """The limit of bytes for text that may go into a sidecar, where longer text is not read."""

    def check(value: str) -> str:
        if (size := len(_text(value).encode())) > most:
            raise ValueError(f"it has {size} bytes in UTF-8; the limit is {most}")
        return value

    return AfterValidator(check)


Md5 = Annotated[StrictStr, AfterValidator(_md5)]
Id = (
    Annotated[StrictInt, Field(ge=0, lt=10**18)]
    | Annotated[StrictStr, Field(min_length=1, max_length=200), AfterValidator(_text), AfterValidator(parse_id)]
)
Text = Annotated[StrictStr, AfterValidator(_text)]
Prompt = Annotated[StrictStr, Field(max_length=20_000), _at_most(MAX_PROMPT_BYTES)]


class ImageUpload(Frozen):
    """One file to be uploaded; ``md5`` in hex or base64."""

    filename: StrictStr = Field(description="The path below the collection's prefix")
    size: StrictInt = Field(ge=0, le=MAX_SIZE_BYTES, description="Bytes")
    md5: Md5 = Field(description="In hex or base64; S3 refuses other bytes")
    content_type: Annotated[StrictStr, Field(pattern=_CONTENT_TYPE, max_length=200)] | None = Field(
        default=None, description="Default: by the suffix of the filename"
    )
    prompt: Prompt | None = None
    generated_at: Moment | None = None
    local_path: Annotated[StrictStr, Field(max_length=1000), _at_most(MAX_TEXT_BYTES)] | None = None


class GenerationRequest(Frozen):
    """The run that made the files. Without an id it gets the next number."""

    generation_id: Id | None = None
    type: Annotated[Text, Field(min_length=1, max_length=200)] = "declared"
    generated_at: Moment | None = None
    metadata: Annotated[Mapping[str, JsonValue], AfterValidator(_usable)] | None = None


class UploadRequest(Frozen):
    """Files to upload."""

    images: tuple[ImageUpload, ...] = Field(min_length=1, max_length=MAX_IMAGES)
    generation: GenerationRequest | None = None
    overwrite: StrictBool = Field(default=False, description="Whether S3 may replace an existing file")
    expires_in: StrictInt = Field(default=3600, ge=1, le=43_200, description="Seconds for which the URLs are valid")


class Headers(NamedTuple):
    """The headers of a PUT, and the fields that did not fit and go into a sidecar."""

    headers: Mapping[str, str]
    left_out: Mapping[str, str]


def check_id(collection: Collection) -> None:
    """Raises ``BadParameter`` unless files can be uploaded to a collection with this id."""
    name = f"{collection.kind} {collection.id}"
    if collection.id in {".", ".."}:
        raise BadParameter("id", f"{name}: clients and gateways remove '.' and '..' from the path of a URL")
    if _has_controls(collection.id):
        raise BadParameter("id", f"{name}: it {_NO_CONTROLS}")


def invalid_filenames(collections: Collections, collection: Collection, filenames: Sequence[str]) -> dict[int, str]:
    """Why a filename is one that no file of the collection can have, or is repeated; by its position, from 0."""
    invalid: dict[int, str] = {}
    first: dict[str, int] = {}
    blocked = path_conflicts(filenames)
    for position, filename in enumerate(filenames):
        if reason := _problem_with(collections, collection, filename):
            invalid[position] = reason
        elif other := blocked.get(filename):
            invalid[position] = f"it and {other!r} cannot both exist: one name would be a file and a folder"
        elif filename in first:
            invalid[position] = f"it repeats images.{first[filename]}.filename"
        first.setdefault(filename, position)
    return invalid


def _has_controls(text: str) -> bool:
    return any(unicodedata.category(character) in _CONTROLS or character in _NO_XML for character in text)


def _problem_with(collections: Collections, collection: Collection, filename: str) -> str | None:
    key = collection.prefix + filename
    is_path = {"", ".", ".."}.isdisjoint(filename.split("/"))
    has_content = is_image(filename) or is_caption(filename)
    reasons = {
        "it must be a path below the collection's prefix without '.', '..' and empty parts": not is_path,
        "it must not contain a backslash": "\\" in filename,
        f"it {_NO_CONTROLS}": _has_controls(filename),
        f"the key would be longer than {MAX_KEY_BYTES} bytes": len(key.encode(errors="replace")) > MAX_KEY_BYTES,
        "it is a sidecar; edit it with PATCH": filename in SIDECARS,
        "its suffix is neither that of an image nor that of a caption (.txt, .caption)": not has_content,
        "it belongs to another collection": not collections.contains(collection, key),
    }
    return next((reason for reason, applies in reasons.items() if applies), None) or filename_problem(filename)


def image_headers(image: ImageUpload, generation: GenerationDeclaration | None, *, overwrite: bool) -> Headers:
    """The headers of the PUT, and the fields that do not fit into user metadata."""
    metadata = UploadMetadata(
        image.prompt,
        image.local_path,
        image.generated_at,
        str(generation.generation_id) if generation else None,
        generation.type if generation else None,
    )
    fitted = upload_headers(image.filename, image.md5, metadata)
    headers = {
        "Content-Length": str(image.size),
        "Content-MD5": base64.b64encode(bytes.fromhex(image.md5)).decode(),
        **fitted.headers,
        **({"Content-Type": image.content_type} if image.content_type else {}),
        **({} if overwrite else {"If-None-Match": "*"}),
    }
    left_out = (name.replace("-", "_") for name in fitted.left_out)
    return Headers(headers, {name: str(getattr(metadata, name)) for name in left_out})
