"""Names the local path of each collection from a template such as ``data/{id}``.

Ids are untrusted input: anybody who may upload chooses them. An id never leads out of the template's folder, and no two
collections get the same path.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.bulk.patterns import ID, KIND
from s3_manifest_cli.client.local.file_system import FileSystem
from s3_manifest_cli.client.local.names import invalid_name_reason, normalize_name
from s3_manifest_cli.errors import Invalid

_HAS_FOLDING = sys.platform in {"darwin", "win32"}
_FOLDING = FileSystem(ignores_case=True, ignores_unicode_form=True)
_RULES = FileSystem(windows_names=sys.platform == "win32")


def local_paths(template: str | Path, collections: Iterable[Collection]) -> dict[Collection, Path | Invalid]:
    """The path of each collection: the template with its ``{id}`` and ``{kind}``, or why its id cannot be a name here.

    Raises ``Invalid`` if two collections would share a path, as they may without ``{id}``.
    """
    text = os.fspath(template)
    if ID not in text:
        raise Invalid(
            f"Several collections cannot share {text}.",
            remedy=f"Write {ID} where it differs, as in {text.rstrip('/')}/{ID}.",
        )
    paths: dict[Collection, Path | Invalid] = {}
    for collection in collections:
        try:
            paths[collection] = local_path(text, collection)
        except Invalid as error:
            paths[collection] = error
    _check_distinct(text, {collection: path for collection, path in paths.items() if isinstance(path, Path)})
    return paths


def local_path(template: str | Path, collection: Collection) -> Path:
    """The path of one collection. Raises ``Invalid`` if its id cannot be a name here."""
    name = f"{collection.kind}/{collection.id}"
    reason = invalid_name_reason(collection.id, _RULES)
    if collection.id.startswith("."):
        reason = reason or "it begins with a dot"  # such as .git, where the files would be settings of other programs
    if reason:
        raise Invalid(
            f"The id of {name} is not used as a local name: {reason.partition(';')[0]}.",
            remedy="Run the command for this collection alone, with a LOCAL of its own.",
        )
    return Path(os.fspath(template).replace(KIND, collection.kind).replace(ID, collection.id))


def _check_distinct(template: str, paths: dict[Collection, Path]) -> None:
    owners: dict[str, Collection] = {}
    for collection, path in paths.items():
        key = str(path)
        folded = normalize_name(key, _FOLDING)
        other = owners.setdefault(folded, collection)
        if other is collection or (paths[other] != path and not _is_folding(path, paths[other])):
            continue
        names = f"{other.kind}/{other.id} and {collection.kind}/{collection.id}"
        if other.kind != collection.kind and KIND not in template:
            remedy = f"Write {KIND} too, as in {template.replace(ID, f'{KIND}/{ID}')}."
        else:
            remedy = "Run the command for one of them alone, with a LOCAL of its own."
        raise Invalid(f"{names} would share {path}.", remedy=remedy)


def _is_folding(path: Path, other: Path) -> bool:
    """Whether the disk treats both as the same: tried with their names in a new folder beside them."""
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with TemporaryDirectory(prefix="probe-", dir=parent) as probe:
            for name, respelled in zip(path.parts, other.parts, strict=True):
                if name != respelled:
                    (Path(probe) / name).mkdir(exist_ok=True)
                    if not (Path(probe) / respelled).exists():
                        return False
    except OSError:
        return _HAS_FOLDING
    return True
