"""Where what a legacy file names lies: in which collection, under which filename, and where in the tree.

Pure. Nothing that a legacy file says is believed: a filename must be one of its collection, and a
local path only ever finds a file that the walk of the tree has found.
"""

import posixpath
import re
import unicodedata
from collections.abc import Collection as Group
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection, Collections
from s3_manifest.manifest.filenames import unusable
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord

ACTORS = "data/actors/"
TRAINING = "training_data/"
_FULL_NAME = re.compile(r"\d+_.+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class InvalidReference(ValueError):
    """What is named cannot be taken for a file of the collection, or of the tree; the text says why."""


class Files:
    """The files of a tree, found by paths as people write them.

    A path that differs only in case or in the form of its accents finds its file too, if just one
    does: file systems differ in that.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._folded: dict[str, list[str]] = {}
        for path in sorted(self._paths):
            self._folded.setdefault(_fold(path), []).append(path)

    def find(self, path: str) -> str | None:
        """The file at that path, as the tree has it."""
        if path in self._paths:
            return path
        alike = self._folded.get(_fold(path), ())
        return alike[0] if len(alike) == 1 else None


class FileLocation(NamedTuple):
    """Where the file of a claim is: ``path`` in the tree (None: nowhere), ``named`` the first place it may be."""

    path: str | None
    named: str | None


def collection_of(document: Document, collections: Collections, actors: Group[str]) -> Collection:
    """The collection that a manifest speaks of.

    Its S3 keys decide where they agree; else its names do: of an actor the one that is a full name
    (``0042_european_30_male``), or the full name among ``actors`` with that number. Raises ``InvalidReference``.
    """
    kind = document.kind
    keys = (key for claim in document.claims for key in _keys(claim))
    by_keys = {found for key in keys if (found := collections.of(key)) and found.kind == kind}
    if len(by_keys) == 1:
        return by_keys.pop()
    for name in _names(document, actors):
        if found := collections.named(kind, name):
            return found
    raise InvalidReference(f"it is not known which {kind} it is of: it has no {kind}_id that can be one")


def _names(document: Document, actors: Group[str]) -> Iterator[str]:
    if document.format is not Format.STYLE:
        yield from (name for name in document.ids if _FULL_NAME.fullmatch(name))
        for number in (name for name in document.ids if name.isdecimal()):
            alike = [actor for actor in actors if _number(actor) == int(number)]
            if len(alike) > 1:
                raise InvalidReference(f"{number} may be any of {', '.join(sorted(alike))}")
            yield from alike
    yield from document.ids


def _number(actor: str) -> int | None:
    number = actor.partition("_")[0]
    return int(number) if _FULL_NAME.fullmatch(actor) and number.isdecimal() else None


def filename_of(claim: ImageRecord, collection: Collection, collections: Collections) -> str:
    """The filename, below the collection's prefix, of the image that a claim is about. Raises ``InvalidReference``."""
    for key in _keys(claim):
        if key.startswith(collection.prefix):
            return checked(collection.filename(key), collection, collections)
        if key == claim.key:
            raise InvalidReference(f"its key {key!r} is outside of {collection.prefix}; copy the object there")
    for path in (claim.filename, *claim.paths):
        if path:
            return checked(_below_training(path, claim), collection, collections)
    raise InvalidReference("it names no file")


def _below_training(path: str, claim: ImageRecord) -> str:
    _, found, below = path.replace("\\", "/").rpartition(f"/{TRAINING}")
    if found:
        return below
    return path if path == claim.filename else path.replace("\\", "/").rpartition("/")[2]


def checked(filename: str, collection: Collection, collections: Collections) -> str:
    """The filename, if the collection can have a file of that name. Raises ``InvalidReference``."""
    if reason := unusable(filename):
        raise InvalidReference(
            f"{filename!r} is not the name of a file below {collection.prefix}: {reason}; rename the file"
        )
    key = collection.prefix + filename
    if len(key.encode(errors="replace")) > MAX_KEY_BYTES:
        raise InvalidReference(f"{filename[:60]!r}… is too long for a key of S3")
    if filename in SIDECARS:
        raise InvalidReference(f"{filename} is the name of a sidecar")
    if collections.of(key) != collection:
        raise InvalidReference(f"{filename!r} would belong to another collection")
    return filename


def _keys(claim: ImageRecord) -> Iterator[str]:
    """The keys that it may mean: of a URL with the bucket in its host, or in its path."""
    if claim.key:
        yield claim.key.removeprefix("/")
    if claim.url:
        try:
            parts = urlsplit(claim.url)
        except ValueError:
            return
        path = unquote(parts.path).removeprefix("/")
        yield path
        if parts.scheme != "s3":
            yield path.partition("/")[2]


def local_file(
    claim: ImageRecord, document: Document, filename: str, collection: Collection, files: Files
) -> FileLocation:
    """The file of the tree that a claim is about: where it says, else where such files lie.

    Raises ``InvalidReference`` where a path leads out of the tree.
    """
    folder = posixpath.dirname(document.path)
    places = [place for path in claim.paths for place in within(path, folder)]
    named = places[0] if places else None
    if collection.kind == "actor":
        places += [f"{folder}/{filename}"] if document.format is Format.ACTOR else []
        places.append(f"{ACTORS}{collection.id}/{TRAINING}{filename}")
    return FileLocation(next((found for place in places if (found := files.find(place))), None), named)


def within(path: str, folder: str) -> list[str]:
    """The places below the root that a path may mean: from the root, from the folder, or from a ``data/`` in it.

    An absolute path of another machine means only the last of these. Raises ``InvalidReference`` for one that
    leads out of the tree.
    """
    path = path.replace("\\", "/")
    if _CONTROL.search(path):
        raise InvalidReference(f"{path!r} is not a path")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        _, found, rest = path.partition("/data/")
        readings = [f"data/{rest}"] if found else []
    else:
        readings = [path, f"{folder}/{path}"]
    places = [place for place in map(posixpath.normpath, readings) if not _leaves(place)]
    if readings and not places:
        raise InvalidReference(f"{path!r} leads out of the tree, and is not read")
    return places


def _leaves(path: str) -> bool:
    return path in (".", "..") or path.startswith("../")


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
