"""Caches indexes of manifests on this machine, so that an unchanged manifest is not fetched again.

The cache saves time and requests and nothing else: a broken entry, or one of another version, is ignored.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from s3_manifest.manifest.encoding import decode_facts, facts_json
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest_cli.client.local.state_files import write_atomically
from s3_manifest_cli.client.manifests.manifests import Admit, Index, RemoteFile, Segment, admit_all

_VERSION = 3
_BYTES_PER_FILE = 200
"""About what each file takes in the cache."""


def load(path: Path, admit: Admit = admit_all) -> Index | None:
    """The cached index; None where there is none that this version can read."""
    try:
        admit(path.stat().st_size // _BYTES_PER_FILE)
        document: Mapping[str, Any] = from_json(path.read_bytes(), cache_strings="keys")
        if document["version"] != _VERSION:
            return None
        segments = [Segment(segment["key"], _files(segment["files"])) for segment in document["segments"]]
        return Index(decode_facts(document["facts"]), document["etag"], tuple(segments))
    except (OSError, ValueError, TypeError, KeyError, UnreadableManifest):
        return None


def save(path: Path, current: Index) -> None:
    """Caches an index, unless the file cannot be written: a read-only home has no cache."""
    document = {
        "version": _VERSION,
        "etag": current.etag,
        "facts": facts_json(current.facts),
        "segments": [{"key": segment.key, "files": _columns(segment.files)} for segment in current.segments],
    }
    with contextlib.suppress(OSError):
        write_atomically(path, to_json(document))


def _columns(files: Sequence[RemoteFile]) -> dict[str, list[Any]]:
    """The files by field, which loads twice as fast as file by file. An ETag that is the MD5 is stored once."""
    columns = {name: [getattr(file, name) for file in files] for name in RemoteFile._fields}
    return columns | {"etag": [None if file.etag == file.md5 else file.etag for file in files]}


def _files(columns: Mapping[str, list[Any]]) -> tuple[RemoteFile, ...]:
    values = [columns[name] for name in RemoteFile._fields]
    etags = [etag or md5 for etag, md5 in zip(columns["etag"], columns["md5"], strict=True)]
    values[RemoteFile._fields.index("etag")] = etags
    return tuple(map(RemoteFile._make, zip(*values, strict=True)))
