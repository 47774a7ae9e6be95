"""Lists that rclone reads."""

import re
from collections.abc import Iterable
from typing import BinaryIO

from s3_manifest.manifest.model import Entry, Facts
from s3_manifest_cli.client.export.exported import CannotHold, Exported, relative, write_each
from s3_manifest_cli.client.export.sums import md5_of

_QUOTE = "\u201b"
_SYMBOLS = {code: chr(0x2400 + code) for code in range(1, 0x20)} | {0x7F: "\u2421"}
_SHOWN = str.maketrans(_SYMBOLS | {ord(symbol): _QUOTE + symbol for symbol in _SYMBOLS.values()})
_UNTOUCHED = re.compile(r"[^\x01-\x1f\x7f\u2401-\u241f\u2421]*")


def write_rclone_md5(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> Exported:
    """What ``rclone md5sum`` writes, and ``rclone checksum md5`` and ``rclone check --checkfile md5`` read."""
    return write_each("rclone-md5", entries, out, lambda entry: f"{md5_of(entry)}  {shown(entry.filename)}\n".encode())


def write_rclone_files(_: Facts, entries: Iterable[Entry], out: BinaryIO) -> Exported:
    """What ``--files-from-raw`` reads.

    Not ``--files-from``, which takes names that begin with ``#`` or ``;`` for comments, and strips blanks.
    """
    return write_each("rclone-files", entries, out, lambda entry: f"{shown(entry.filename)}\n".encode())


def shown(filename: str) -> str:
    """The filename as rclone shows it and wants it. Raises ``CannotHold`` for what rclone cannot name.

    It has symbols for control characters, and quotes such symbols, so that each name is one line. It has no
    name for a key with its own quote. https://rclone.org/overview/#restricted-filenames
    """
    if _QUOTE in relative(filename):
        raise CannotHold(f"rclone cannot name {filename!r}, for its {_QUOTE!r}; copy the object to another key")
    return filename if _UNTOUCHED.fullmatch(filename) else filename.translate(_SHOWN)
