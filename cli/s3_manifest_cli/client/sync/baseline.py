"""The state at the last sync of a folder with a collection, used to tell which side changed since.

It is stored on this machine. Without it, a sync reports conflicts that it could have decided.
"""

import contextlib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.local.state_files import stable_name, write_atomically
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.plan import BaselineEntry

_ENTRIES = TypeAdapter(dict[str, BaselineEntry])


class Baseline:
    """The baseline of a folder and a collection: ``entries`` by filename, none if nothing is stored."""

    def __init__(self, deployment: Deployment, collection: Collection, folder: Path) -> None:
        name = stable_name(folder.resolve(), deployment.name, collection.head_key)
        self._path = deployment.cache / f"base-{name}.json"
        self.entries: dict[str, BaselineEntry] = {}
        with contextlib.suppress(OSError, ValidationError):
            self.entries = _ENTRIES.validate_json(self._path.read_bytes())

    def save(self) -> None:
        """Stores the entries. Without a writable cache, as in a read-only home, syncs report more conflicts."""
        with contextlib.suppress(OSError):
            write_atomically(self._path, _ENTRIES.dump_json(self.entries))
