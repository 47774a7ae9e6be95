"""Where each fact of an entry comes from: the answer to a HEAD, made into an entry."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header
from typing import NamedTuple
from urllib.parse import quote

from s3_manifest.collections import Collection
from s3_manifest.model import Entry, Md5Source, Sidecar, Source, Timestamp, timestamp
from s3_manifest.sidecars import Description
from s3_manifest.store import Listed, Present

UNDECLARED_GENERATION = 1
"""The generation id of objects that nobody declared; their generation's type is their source."""

_MD5 = re.compile(r"[0-9a-f]{32}")
_S3CMD_MD5 = re.compile(r"(?:^|/)md5:([0-9a-f]{32})(?:/|$)")
# User metadata of objects that their clients encrypted: s3cmd's --encrypt, and the formats of Amazon's S3 Encryption
# Client, which others share. https://docs.aws.amazon.com/amazon-s3-encryption-client/latest/developerguide/
_ENCRYPTED_BY_A_CLIENT = frozenset(
    {
        "s3tools-gpgenc",
        "x-amz-key",
        "x-amz-key-v2",
        "x-amz-iv",
        "x-amz-matdesc",
        "x-amz-wrap-alg",
        "x-amz-cek-alg",
        "x-amz-tag-len",
        "x-amz-unencrypted-content-length",
        "x-amz-unencrypted-content-md5",
        "x-amz-3",
        "x-amz-c",
        "x-amz-d",
        "x-amz-i",
        "x-amz-m",
        "x-amz-t",
        "x-amz-w",
        "client-side-encryption-key",
        "client-side-encryption-start",
    }
)
# User metadata that ends in fields of its own; the rest stays under ``metadata``.
_CONSUMED = frozenset({"prompt", "generated-at", "generation-id", "generation-type", "local-path"})


class Seen(NamedTuple):
    """What a key was when it was looked at: a file or a caption, a sidecar, or neither (absent, or a folder).

    ``description`` is what a sidecar says. An entry says only what the object itself does. ``unread`` says why the
    bytes of one that describes others cannot be read now: what they say is known only if they were read before, for
    the same ETag.
    """

    key: str
    what: Entry | Sidecar | None
    description: Description | None = None
    unread: str | None = None


class Location(NamedTuple):
    """Where a bucket is, as far as a URL needs it: an endpoint of its own, or a region of AWS.

    ``suffix`` is the partition's (``amazonaws.com``, ``amazonaws.com.cn``); CloudFormation knows it
    as ``AWS::URLSuffix``.
    """

    bucket: str
    region: str
    suffix: str = "amazonaws.com"
    endpoint: str | None = None


def object_url(location: Location, key: str) -> str:
    """The https URL of a key, without a signature.

    A bucket name with dots does not match S3's wildcard certificate, so it goes into the path.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    bucket, path = location.bucket, quote(key, safe="/~")
    if location.endpoint:
        return f"{location.endpoint.rstrip('/')}/{bucket}/{path}"
    if "." in bucket:
        return f"https://s3.{location.region}.{location.suffix}/{bucket}/{path}"
    return f"https://{bucket}.s3.{location.region}.{location.suffix}/{path}"


def proven_md5(present: Present) -> tuple[str, Md5Source] | None:
    """The object's MD5 in hex and its proof, as far as a HEAD tells; None where it does not.

    An ETag is the MD5 unless the object was uploaded in parts or encrypted with SSE-KMS or SSE-C. Of its checksums that
    of the whole object is, a composite one is not. What the uploader declares counts unless a client encrypted the
    object: then it is the MD5 of the plain file, which is not what S3 stores.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    """
    if _MD5.fullmatch(present.etag) and present.encryption in (None, "AES256"):
        return present.etag, "etag"
    checksum = present.checksum or {}
    if checksum.get("type") == "FULL_OBJECT" and (md5 := as_hex(checksum.get("md5", ""))):
        return md5, "checksum"
    return _declared_md5(present.metadata) if _ENCRYPTED_BY_A_CLIENT.isdisjoint(present.metadata) else None


def _declared_md5(metadata: Mapping[str, str]) -> tuple[str, Md5Source] | None:
    if md5 := as_hex(metadata.get("md5", "")):
        return md5, "md5"
    if md5 := as_hex(metadata.get("md5chksum", "")):
        return md5, "md5chksum"
    if found := _S3CMD_MD5.search(metadata.get("s3cmd-attrs", "")):
        return found[1], "s3cmd-attrs"
    return None


def is_folder(found: Present | Listed) -> bool:
    """Whether this is a folder as the S3 console makes them: an empty object whose key ends in ``/``."""
    return found.size == 0 and found.key.endswith("/")


def entry_of(
    present: Present,
    collection: Collection,
    location: Location,
    source: Source,
    computed_md5: str | None = None,
) -> Entry:
    """What the manifest says of an object, from what a HEAD says of it.

    ``computed_md5`` is the last rung of the ladder, for an object whose MD5 the HEAD does not prove.
    """
    metadata = {name: decode_metadata(value) for name, value in present.metadata.items()}
    md5, md5_source = proven_md5(present) or ((computed_md5, "computed") if computed_md5 else (None, None))
    generated_at = _as_timestamp(metadata.get("generated-at"))
    consumed = _CONSUMED if generated_at else _CONSUMED - {"generated-at"}
    generation_id = metadata.get("generation-id")
    declared = generation_id is not None or "generation-type" in metadata
    return Entry(
        filename=collection.filename(present.key),
        s3_key=present.key,
        s3_url=object_url(location, present.key),
        size_bytes=present.size,
        md5_hash=md5,
        md5_source=md5_source,
        etag=present.etag,
        checksum=present.checksum,
        content_type=present.content_type,
        storage_class=present.storage_class,
        version_id=present.version_id,
        uploaded_at=present.last_modified,
        last_modified=present.last_modified,
        local_path=metadata.get("local-path"),
        prompt=metadata.get("prompt"),
        generated_at=generated_at,
        generation_id=as_id(generation_id) if generation_id else UNDECLARED_GENERATION,
        generation_type=metadata.get("generation-type", "declared") if declared else source,
        source=source,
        good=True,
        metadata={name: value for name, value in metadata.items() if name not in consumed},
    )


def decode_metadata(value: str) -> str:
    """A user metadata value as its author wrote it: S3 hands out non-ASCII ones as RFC 2047 words.

    What only looks like an encoded word, or names an unknown charset, is left as it is.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    if "=?" not in value:
        return value
    try:
        parts = decode_header(value)
        text = "".join(part if isinstance(part, str) else part.decode(charset or "ascii") for part, charset in parts)
        text.encode()  # some charsets can spell half a character, which no JSON can hold
        return text
    except (HeaderParseError, binascii.Error, LookupError, ValueError):
        return value


def as_hex(text: str) -> str | None:
    """An MD5 given in hex or, as rclone does, in base64."""
    text = text.strip()
    if _MD5.fullmatch(text.lower()):
        return text.lower()
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return digest.hex() if len(digest) == 16 else None


def _as_timestamp(text: str | None) -> Timestamp | None:
    """A time in any ISO 8601 form; one without a zone is UTC."""
    if not text:
        return None
    try:
        return timestamp(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def as_id(text: str) -> int | str:
    """A generation's id from text: a number where that is how numbers are written."""
    # "007" and numbers past 64 bits would not come out of JSON as they went in.
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,17}", text) else text


def settled(before: Entry, now: Entry) -> Entry:
    """The entry for a key that had one before: ``before`` itself if nothing else is to be said.

    Looking again at the same object does not change where we know it from.
    """
    if (now.etag, now.size_bytes, now.last_modified, now.version_id) == (
        before.etag,
        before.size_bytes,
        before.last_modified,
        before.version_id,
    ):
        undeclared = now.generation_type == now.source and before.generation_type == before.source
        kept = {"source": before.source} | ({"generation_type": before.source} if undeclared else {})
        now = now.model_copy(update=kept)
    return before if now == before else now
