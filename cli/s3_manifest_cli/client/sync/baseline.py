"""What a folder and a collection agreed on when they were last seen to be the same: by that a sync tells who changed.

Kept on this machine. Where it is lost, a sync takes for a conflict what it could have decided.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.local.state_files import name_of, replace
from s3_manifest_cli.client.sync.plan import Agreed

_SHAPE = TypeAdapter(dict[str, Agreed])


def load(cache: Path, folder: Path, deployment: str, collection: Collection) -> Mapping[str, Agreed]:
    """By filename; empty where nothing is known."""
    try:
        return _SHAPE.validate_json(_path(cache, folder, deployment, collection).read_bytes())
    except (OSError, ValidationError):
        return {}


def save(cache: Path, folder: Path, deployment: str, collection: Collection, agreed: Mapping[str, Agreed]) -> None:
    """Keeps it instead of what was kept."""
    # Without a cache, as on a read-only home, syncs ask more often.
    with contextlib.suppress(OSError):
        replace(_path(cache, folder, deployment, collection), _SHAPE.dump_json(dict(agreed)))


def _path(cache: Path, folder: Path, deployment: str, collection: Collection) -> Path:
    return cache / f"base-{name_of(folder.resolve(), deployment, collection.head_key)}.json"
