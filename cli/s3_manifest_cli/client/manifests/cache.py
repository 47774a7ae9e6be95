"""What is kept on this machine of manifests that were read: asked for again, one that is still the same is not fetched.

Nothing depends on it but time and requests: what is broken, or of another version, is as good as not there.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.encoding import facts_from, facts_json
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest_cli.client.local.state_files import stable_name, write_atomically
from s3_manifest_cli.client.manifests.manifests import Index, Manifests, RemoteFile, Segment

_VERSION = 3


def index(manifests: Manifests, collection: Collection, folder: Path, deployment: str) -> Index:
    """The manifest as it is now, fetched only where the one that ``folder`` keeps is another.

    ``deployment`` tells collections of the same name apart. Raises ``NotFound``, ``Unavailable``.
    """
    path = folder / f"manifest-{stable_name(deployment, collection.head_key)}.json"
    known = _load(path)
    found = manifests.index(collection, known)
    if found is not known:
        _save(path, found)
    return found


def _load(path: Path) -> Index | None:
    try:
        kept: Mapping[str, Any] = from_json(path.read_bytes(), cache_strings="keys")
        if kept["version"] != _VERSION:
            return None
        segments = [Segment(one["key"], _files(one["files"])) for one in kept["segments"]]
        return Index(facts_from(kept["facts"]), kept["etag"], tuple(segments))
    except (OSError, ValueError, TypeError, KeyError, UnreadableManifest):
        return None


def _save(path: Path, found: Index) -> None:
    kept = {
        "version": _VERSION,
        "etag": found.etag,
        "facts": facts_json(found.facts),
        "segments": [{"key": segment.key, "files": _columns(segment.files)} for segment in found.segments],
    }
    # A cache that cannot be written, as on a read-only home, is done without.
    with contextlib.suppress(OSError):
        write_atomically(path, to_json(kept))


def _columns(files: Sequence[RemoteFile]) -> dict[str, list[Any]]:
    """The files, field by field: half as long to read as file by file. An ETag that is the MD5 is not told again."""
    columns = {name: [getattr(one, name) for one in files] for name in RemoteFile._fields}
    return columns | {"etag": [None if one.etag == one.md5 else one.etag for one in files]}


def _files(columns: Mapping[str, list[Any]]) -> tuple[RemoteFile, ...]:
    told = [columns[name] for name in RemoteFile._fields]
    etags = [etag or md5 for etag, md5 in zip(columns["etag"], columns["md5"], strict=True)]
    told[RemoteFile._fields.index("etag")] = etags
    return tuple(map(RemoteFile._make, zip(*told, strict=True)))
