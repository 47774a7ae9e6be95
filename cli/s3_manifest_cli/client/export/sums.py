"""Lists of checksums, as md5sum and sha256sum of the GNU coreutils read them."""

import base64
import binascii
from collections.abc import Iterable
from typing import BinaryIO

from s3_manifest.manifest.model import Entry, Facts
from s3_manifest_cli.client.export.exported import CannotHold, Exported, relative, write_each

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})


def write_md5sum(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> Exported:
    """What ``md5sum --check`` reads in the folder that has the files. One without a known MD5 is a problem."""
    return write_each("md5sum", entries, out, lambda entry: _line(md5_of(entry), entry))


def write_sha256sum(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> Exported:
    """What ``sha256sum --check`` reads in the folder that has the files.

    S3 knows the SHA-256 of the objects that were uploaded with one, and in one part; others are problems.
    """
    return write_each("sha256sum", entries, out, lambda entry: _line(_told(sha256_of(entry), "SHA-256"), entry))


def md5_of(entry: Entry) -> str:
    """Its MD5, in hex. Raises ``CannotHold``."""
    return _told(entry.md5_hash, "MD5")


def sha256_of(entry: Entry) -> str | None:
    """Its SHA-256, in hex; None where S3 has none, or one that is made of the parts' checksums."""
    checksum = entry.checksum or {}
    if checksum.get("type") != "FULL_OBJECT":
        return None
    try:
        digest = base64.b64decode(checksum.get("sha256", ""), validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None


def _told(digest: str | None, which: str) -> str:
    if digest is None:
        raise CannotHold(f"its {which} is not known")
    return digest


def _line(digest: str, entry: Entry) -> bytes:
    """https://www.gnu.org/software/coreutils/manual/html_node/md5sum-invocation.html"""
    name = relative(entry.filename)
    escaped = name.translate(_ESCAPES)
    mark = "" if escaped == name else "\\"
    # A file named "-" would be read from standard input.
    return f"{mark}{digest}  {'./-' if name == '-' else escaped}\n".encode()
