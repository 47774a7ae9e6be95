"""Lists for command-line tools: checksums for the GNU coreutils and rclone, and filenames for rclone."""

import base64
import binascii
from collections.abc import Iterable
from typing import BinaryIO

from s3_manifest.manifest.model import Entry, Facts
from s3_manifest_cli.client.export.writer import ExportResult, UnsupportedFile, relative, write_each

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})

_QUOTE = "\u201b"
_SYMBOLS = {code: chr(0x2400 + code) for code in range(1, 0x20)} | {0x7F: "\u2421"}
_QUOTED = str.maketrans(_SYMBOLS | {ord(symbol): _QUOTE + symbol for symbol in _SYMBOLS.values()})


def write_md5sum(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> ExportResult:
    """Writes what ``md5sum --check`` reads in the folder of the files. A file without a known MD5 is a problem."""
    return write_each("md5sum", entries, out.write, lambda entry: _line(_known(entry.md5_hash, "MD5"), entry))


def write_sha256sum(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> ExportResult:
    """Writes what ``sha256sum --check`` reads in the folder of the files.

    S3 knows the SHA-256 only of objects that were uploaded with it and in one part; other files are problems.
    """
    return write_each("sha256sum", entries, out.write, lambda entry: _line(_known(sha256_of(entry), "SHA-256"), entry))


def write_rclone_md5(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> ExportResult:
    """Writes what ``rclone md5sum`` prints, and ``rclone checksum md5`` and ``rclone check --checkfile md5`` read."""
    return write_each(
        "rclone-md5", entries, out.write, lambda entry: _known(entry.md5_hash, "MD5") + b"  " + _rclone_line(entry)
    )


def write_rclone_files(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> ExportResult:
    """Writes what ``--files-from-raw`` reads; ``--files-from`` strips blanks, and ignores names with ``#`` or ``;``."""
    return write_each("rclone-files", entries, out.write, _rclone_line)


def sha256_of(entry: Entry) -> str | None:
    """The SHA-256 of the whole file in hex; None if S3 has none, or a composite one of an upload in parts."""
    checksum = entry.checksum or {}
    if checksum.get("type") != "FULL_OBJECT":
        return None
    try:
        digest = base64.b64decode(checksum.get("sha256", ""), validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None


def _known(digest: str | None, algorithm: str) -> bytes:
    if digest is None:
        raise UnsupportedFile(f"its {algorithm} is not known")
    return digest.encode()


def _line(digest: bytes, entry: Entry) -> bytes:
    """https://www.gnu.org/software/coreutils/manual/html_node/md5sum-invocation.html"""
    name = relative(entry.filename)
    escaped = name.translate(_ESCAPES)
    mark = b"" if escaped == name else b"\\"
    # "-" alone means standard input.
    return mark + digest + f"  {'./-' if name == '-' else escaped}\n".encode()


def _rclone_line(entry: Entry) -> bytes:
    """The filename as rclone prints and reads it. Raises ``UnsupportedFile`` for a name that rclone cannot express.

    rclone replaces control characters by symbols, and quotes such symbols, so that each name is one line. It cannot
    express a key that contains its quote. https://rclone.org/overview/#restricted-filenames
    """
    name = relative(entry.filename)
    if _QUOTE in name:
        raise UnsupportedFile(f"rclone cannot name {name!r}, for its {_QUOTE!r}; copy the object to another key")
    return name.translate(_QUOTED).encode() + b"\n"
