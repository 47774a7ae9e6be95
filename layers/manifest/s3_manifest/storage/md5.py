"""The MD5 of an object, if the response to a HEAD proves it. Pure."""

import base64
import re

from s3_manifest.manifest.model import Md5Source
from s3_manifest.storage.store import Present

_MD5 = re.compile(r"[0-9a-f]{32}")
_S3CMD_MD5 = re.compile(r"(?:^|/)md5:([0-9a-f]{32})(?:/|$)")
# User metadata of objects that a client encrypted: s3cmd's --encrypt, and the formats of Amazon's S3 Encryption
# Client, which other clients share. https://docs.aws.amazon.com/amazon-s3-encryption-client/latest/developerguide/
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


def proven_md5(present: Present) -> tuple[str, Md5Source] | None:
    """The object's MD5 in hex and its proof; None if the HEAD proves none.

    An ETag is the MD5 unless the object was uploaded in parts or encrypted with SSE-KMS or SSE-C. A checksum counts if
    it covers the whole object; a composite one does not. The uploader's metadata counts unless a client encrypted the
    object: then it is the MD5 of the plain file, not of the stored bytes.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    """
    if _MD5.fullmatch(present.etag) and present.encryption in (None, "AES256"):
        return present.etag, "etag"
    checksum = present.checksum or {}
    if checksum.get("type") == "FULL_OBJECT" and (md5 := parse_md5(checksum.get("md5", ""))):
        return md5, "checksum"
    if not _ENCRYPTED_BY_A_CLIENT.isdisjoint(present.metadata):
        return None
    for name in ("md5", "md5chksum"):
        if md5 := parse_md5(present.metadata.get(name, "")):
            return md5, name
    match = _S3CMD_MD5.search(present.metadata.get("s3cmd-attrs", ""))
    return (match[1], "s3cmd-attrs") if match else None


def parse_md5(text: str) -> str | None:
    """The MD5 in hex, from hex or (as rclone writes it) base64; None for other text."""
    text = text.strip()
    if _MD5.fullmatch(text.lower()):
        return text.lower()
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return digest.hex() if len(digest) == 16 else None
