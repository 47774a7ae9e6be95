"""What is changed in S3 on somebody's behalf: objects are deleted, and sidecars edited. No manifest is written.

Each says what a manifest has to show before it reflects the change.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from s3_manifest.edits import edits
from s3_manifest.edits.edits import RetryPolicy, SidecarEdit
from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection, Collections
from s3_manifest.manifest.lenient_json import SURROGATE
from s3_manifest.query.change_token import ChangeToken
from s3_manifest.reconcile.entries import is_folder
from s3_manifest.sidecars.formats import SIDECARS, is_caption
from s3_manifest.storage.store import Conflict, Each, Listed, Present, Store, listings

MAX_HIDDEN = 20_000
"""So many files can be hidden in one edit, whatever their names: a sidecar is read up to a limit."""

# One listing and one request that deletes a thousand objects take a few seconds at most.
_RESERVE_SECONDS = 8.0


class NoSuchFile(Exception):
    """There is no object of that name in the collection; the text says so."""


class NewerUpload(Exception):
    """While it was to be deleted the object was written anew; nothing was deleted."""


class EtagMismatch(Exception):
    """The object is not the one that was to be deleted or hidden, by its ETag; nothing was changed."""


class TooManyFiles(Exception):
    """The collection has more files than one edit describes; nothing was changed."""


class DeletionResult(NamedTuple):
    """How far the deletion of a collection's objects came.

    ``kept`` are the keys of what was written anew meanwhile, and then of the sidecars. ``complete``:
    nothing is left of what was listed; ``change_token`` only then.
    """

    deleted: int
    kept: tuple[str, ...]
    complete: bool
    change_token: ChangeToken | None


def find_object(store: Store, collections: Collections, collection: Collection, filename: str) -> Present:
    """The object of that name. Raises ``NoSuchFile``, also for what is another collection's, or a folder."""
    key = collection.prefix + filename
    possible = "\0" not in key and not SURROGATE.search(key)
    if possible and len(key.encode()) <= MAX_KEY_BYTES and collections.of(key) == collection:
        seen = store.head(key)
        if isinstance(seen, Present) and not is_folder(seen):
            return seen
    raise NoSuchFile(f"there is no {filename} in {collection.kind} {collection.id}")


def delete_file(
    store: Store,
    collections: Collections,
    collection: Collection,
    filename: str,
    only: frozenset[str],
    retry_policy: RetryPolicy,
) -> tuple[bool, ChangeToken | None]:
    """Deletes an object, and takes out what is said of it; whether it was still there.

    In this order, so that a crash in between leaves words about nothing, which a repeat takes out,
    and never an image without its prompt. A caption beside it stays. Raises ``EtagMismatch``
    where its ETag is none of ``only`` (empty: any will do), ``NewerUpload``, ``NoSuchFile`` where
    there is neither it nor a word about it, and as ``edits.remove_descriptions``.
    """
    if filename in SIDECARS:
        raise NoSuchFile(f"{filename} is not one of the files: it describes others")
    said = edits.read_descriptions(store, collection, [filename])
    try:
        seen = find_object(store, collections, collection, filename)
    except NoSuchFile:
        if edited := edits.remove_descriptions(store, collection, said, retry_policy):
            return False, edit_token(edited)
        raise
    _check(seen, only)
    try:
        deleted = store.delete_if(seen.key, seen.etag)
    except Conflict as conflict:
        raise NewerUpload(f"a newer upload of {filename} is there; nothing was deleted") from conflict
    edits.remove_descriptions(store, collection, said, retry_policy)
    return deleted, ChangeToken(s3_key=seen.key, gone=seen.etag)


def hide_file(
    store: Store,
    collections: Collections,
    collection: Collection,
    filename: str,
    only: frozenset[str],
    retry_policy: RetryPolicy,
) -> SidecarEdit:
    """Hides a file; the object stays. Raises ``EtagMismatch``, ``NoSuchFile``, and as ``edits.update_descriptions``."""
    _check_is_file(filename)
    _check(find_object(store, collections, collection, filename), only)
    return edits.update_descriptions(store, collection, {filename: {"hidden": True}}, retry_policy)


def update_files(
    store: Store,
    collections: Collections,
    each: Each,
    collection: Collection,
    said: Mapping[str, Mapping[str, JsonValue]],
    retry_policy: RetryPolicy,
) -> SidecarEdit:
    """Sets fields of files that are there, all in one edit; null takes a field out.

    Raises ``NoSuchFile``, naming the first that is not there or is none: nothing is edited then. Else
    as ``edits.update_descriptions``.
    """
    for filename in said:
        _check_is_file(filename)
    each(lambda filename: find_object(store, collections, collection, filename), said)
    return edits.update_descriptions(store, collection, said, retry_policy)


def hide_all(
    store: Store, collections: Collections, collection: Collection, retry_policy: RetryPolicy
) -> tuple[int, SidecarEdit]:
    """Hides every file there is now; their number. Raises ``TooManyFiles``, and as ``edits.update_descriptions``."""
    names: list[str] = []
    for listing in listings(store, collection.prefix):
        own = _own_objects(collections, collection, listing.objects)
        found = (collection.filename(one.key) for one in own if not is_folder(one))
        names += (name for name in found if name not in SIDECARS and not is_caption(name))
        if len(names) > MAX_HIDDEN:
            raise TooManyFiles(f"more than {MAX_HIDDEN} files are not hidden at once; PATCH them in batches")
    said: dict[str, dict[str, JsonValue]] = {name: {"hidden": True} for name in names}
    return len(names), edits.update_descriptions(store, collection, said, retry_policy)


def delete_all(
    store: Store, collections: Collections, collection: Collection, retry_policy: RetryPolicy
) -> DeletionResult:
    """Deletes all objects of the collection, each as it was listed, the sidecars last, for as long as time allows.

    A nested collection's stay. A repeat goes on where this stopped. Raises ``StoreError``; some are
    deleted then.
    """
    deleted, latest = 0, ""
    kept: list[str] = []
    sidecars: list[Listed] = []
    for listing in listings(store, collection.prefix):
        if retry_policy.seconds_left() < _RESERVE_SECONDS:
            return DeletionResult(deleted, tuple(kept), complete=False, change_token=None)
        own = _own_objects(collections, collection, listing.objects)
        sidecars += (one for one in own if collection.filename(one.key) in SIDECARS)
        rest = [one for one in own if collection.filename(one.key) not in SIDECARS]
        others = store.delete_listed(rest)
        kept += others
        deleted += len(rest) - len(others)
        latest = max([latest, *(one.last_modified for one in own)])
    # What describes a file that was kept is kept with it.
    others = [one.key for one in sidecars] if kept else store.delete_listed(sidecars)
    kept += others
    deleted += len(sidecars) - len(others)
    change_token = ChangeToken(s3_key=collection.prefix, emptied=latest) if latest and not kept else None
    return DeletionResult(deleted, tuple(kept), complete=not kept, change_token=change_token)


def _check_is_file(filename: str) -> None:
    if filename in SIDECARS or is_caption(filename):
        raise NoSuchFile(f"{filename} is not one of the files: it describes others")


def _check(seen: Present, only: frozenset[str]) -> None:
    if only and seen.etag not in only:
        raise EtagMismatch(f"{seen.key} has the ETag {seen.etag}: it is another object; nothing was changed")


def _own_objects(collections: Collections, collection: Collection, objects: Iterable[Listed]) -> Sequence[Listed]:
    """Those of the objects below its prefix that are not a nested collection's. Folders count: they are objects."""
    if not collections.is_nested(collection):
        return list(objects)
    return [one for one in objects if one.key == collection.prefix or collections.of(one.key) == collection]


def edit_token(edited: SidecarEdit) -> ChangeToken:
    """What a manifest has to show of an edit."""
    return ChangeToken(s3_key=edited.s3_key, edit=edited.edit)
