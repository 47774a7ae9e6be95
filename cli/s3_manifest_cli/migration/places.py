"""Resolves what a legacy file names: the collection, the filename in it, and the file in the tree. Pure.

Legacy files are untrusted: a filename must belong to its collection, and a local path only finds files of the tree.
"""

import posixpath
import re
import unicodedata
from collections.abc import Collection as Group
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection, Collections
from s3_manifest.manifest.filenames import filename_problem
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord

ACTORS = "data/actors/"
TRAINING = "training_data/"
_FULL_NAME = re.compile(r"\d+_.+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class InvalidReference(ValueError):
    """A name or path that is no file of the collection or of the tree; the message states the reason."""


class Files:
    """Finds the files of a tree by path.

    A path that differs in case or Unicode form finds a file too, if it is the only one: file systems differ in that.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._folded: dict[str, list[str]] = {}
        for path in sorted(self._paths):
            self._folded.setdefault(_fold(path), []).append(path)

    def find(self, path: str) -> str | None:
        """The path of the file in the tree."""
        if path in self._paths:
            return path
        similar = self._folded.get(_fold(path), ())
        return similar[0] if len(similar) == 1 else None


def place_of(collection: Collection) -> str:
    """The collection's place in S3, for reports."""
    return f"s3://{collection.bucket}/{collection.prefix}"


class Mention(NamedTuple):
    """One record of one document.

    ``path`` is the image's file in the tree, None if there is none; ``declared`` is the first path where it may be.
    """

    document: Document
    record: ImageRecord
    path: str | None
    declared: str | None


def collection_of(document: Document, collections: Collections, actors: Group[str]) -> Collection:
    """The collection of a manifest.

    Its S3 keys decide if they agree; otherwise its names do. For an actor that is the full name
    (``0042_european_30_male``), or the full name among ``actors`` with its number. Raises ``InvalidReference``.
    """
    kind = document.kind
    keys = (key for record in document.records for key in _keys(record))
    buckets = collections.buckets
    places = (collections.collection_of(bucket, key) for key in keys for bucket in buckets)
    by_keys = {collection for collection in places if collection and collection.kind == kind}
    if len(by_keys) == 1:
        return by_keys.pop()
    for name in _names(document, actors):
        if collection := collections.lookup(kind, name):
            return collection
    raise InvalidReference(f"unknown {kind}: the file has no valid {kind}_id")


def _names(document: Document, actors: Group[str]) -> Iterator[str]:
    if document.format is not Format.STYLE:
        yield from (name for name in document.ids if _FULL_NAME.fullmatch(name))
        for number in (name for name in document.ids if name.isdecimal()):
            similar = [actor for actor in actors if _number(actor) == int(number)]
            if len(similar) > 1:
                raise InvalidReference(f"{number} is ambiguous: {', '.join(sorted(similar))}")
            yield from similar
    yield from document.ids


def _number(actor: str) -> int | None:
    number = actor.partition("_")[0]
    return int(number) if _FULL_NAME.fullmatch(actor) and number.isdecimal() else None


def filename_of(record: ImageRecord, collection: Collection, collections: Collections) -> str:
    """The filename of an image below the collection's prefix. Raises ``InvalidReference``."""
    for key in _keys(record):
        if key.startswith(collection.prefix):
            return check_filename(collection.filename(key), collection, collections)
        if key == record.key:
            raise InvalidReference(f"its key {key!r} is outside {collection.prefix}; copy the object there")
    path = record.filename or record.path
    if path is None:
        raise InvalidReference("names no file")
    _, is_training, filename = path.replace("\\", "/").rpartition(f"/{TRAINING}")
    if not is_training:
        filename = path if path == record.filename else posixpath.basename(filename)
    return check_filename(filename, collection, collections)


def check_filename(filename: str, collection: Collection, collections: Collections) -> str:
    """The filename, if the collection can have it. Raises ``InvalidReference``."""
    if reason := filename_problem(filename):
        place = f"below {collection.prefix}"
        raise InvalidReference(f"{filename!r} cannot be a filename {place}: {reason}; rename the file")
    key = collection.prefix + filename
    if len(key.encode(errors="replace")) > MAX_KEY_BYTES:
        raise InvalidReference(f"{filename[:60]!r}… is too long for an S3 key")
    if filename in SIDECARS:
        raise InvalidReference(f"{filename} is the name of a sidecar")
    if not collections.contains(collection, key):
        raise InvalidReference(f"{filename!r} would belong to another collection")
    return filename


def _keys(record: ImageRecord) -> Iterator[str]:
    """The keys that a record may mean; a URL has its bucket in the host or in the path."""
    if record.key:
        yield record.key.removeprefix("/")
    if record.url:
        try:
            parts = urlsplit(record.url)
        except ValueError:
            return
        path = unquote(parts.path).removeprefix("/")
        yield path
        if parts.scheme != "s3":
            yield path.partition("/")[2]


def locate(record: ImageRecord, document: Document, filename: str, collection: Collection, files: Files) -> Mention:
    """The record with its file in the tree: at its path, else in the usual folder.

    Raises ``InvalidReference`` for a path that leaves the tree.
    """
    folder = posixpath.dirname(document.path)
    places = candidate_paths(record.path, folder) if record.path else []
    declared = places[0] if places else None
    if collection.kind == "actor":
        places += [f"{folder}/{filename}"] if document.format is Format.ACTOR else []
        places.append(f"{ACTORS}{collection.id}/{TRAINING}{filename}")
    path = next((file for place in places if (file := files.find(place))), None)
    return Mention(document, record, path, declared)


def candidate_paths(path: str, folder: str) -> list[str]:
    """The paths below the root that a path may mean: relative to the root, to the folder, or to a ``data/`` in it.

    An absolute path comes from another machine, so only the last applies. Raises ``InvalidReference`` for a path that
    leaves the tree.
    """
    path = path.replace("\\", "/")
    if _CONTROL.search(path):
        raise InvalidReference(f"{path!r} is not a valid path")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        _, separator, below = path.partition("/data/")
        readings = [f"data/{below}"] if separator else []
    else:
        readings = [path, f"{folder}/{path}"]
    places = [place for place in map(posixpath.normpath, readings) if place.split("/")[0] not in (".", "..")]
    if readings and not places:
        raise InvalidReference(f"{path!r} is outside the tree, so it is not read")
    return places


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
