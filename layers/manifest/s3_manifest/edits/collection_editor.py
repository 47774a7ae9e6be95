"""Edits of a collection in S3: files are deleted, hidden and described. No manifest is written.

Each edit returns the change that a manifest has to reflect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from s3_manifest.edits import prompt_metadata
from s3_manifest.edits.prompt_metadata import Fields
from s3_manifest.edits.sidecar_editor import RetryPolicy, SidecarEdit, SidecarEditor
from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection, Collections
from s3_manifest.manifest.lenient_json import SURROGATE
from s3_manifest.query.change_token import ChangeToken
from s3_manifest.reconcile.entries import is_folder
from s3_manifest.sidecars.captions import is_caption
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.storage.store import Conflict, ListedObject, ParallelMap, Present, Store, iter_listings

MAX_HIDDEN = 20_000
"""The limit of files hidden in one edit, whatever their names: the size of a readable sidecar is limited."""

# Listing and deleting a thousand objects takes a few seconds at most.
_RESERVE_SECONDS = 8.0


class NoSuchFile(Exception):
    """The collection has no such file."""


class NewerUpload(Exception):
    """The object was replaced during the request; nothing was deleted."""


class EtagMismatch(Exception):
    """The object has another ETag than the request names; nothing was changed."""


class TooManyFiles(Exception):
    """The collection has more files than one edit can describe; nothing was changed."""


class DeletionResult(NamedTuple):
    """How far the deletion of a collection's objects has come.

    ``kept`` are the keys of objects that were replaced during the deletion and, if there are any, of the sidecars.
    ``complete``: every listed object is deleted; only then is there a ``change_token``.
    """

    deleted: int
    kept: tuple[str, ...]
    complete: bool
    change_token: ChangeToken | None


@dataclass(frozen=True)
class CollectionEditor:
    """Edits one collection. All methods may raise ``StoreError``; edits of sidecars raise as ``SidecarEditor``."""

    store: Store
    collections: Collections
    collection: Collection
    parallel_map: ParallelMap
    retry_policy: RetryPolicy

    @property
    def sidecars(self) -> SidecarEditor:
        """The editor of the collection's sidecars."""
        return SidecarEditor(self.store, self.collection, self.retry_policy)

    def find_object(self, filename: str) -> Present:
        """The object of that name. Raises ``NoSuchFile``, also for a folder and for another collection's object."""
        key = self.collection.prefix + filename
        is_valid = "\0" not in key and not SURROGATE.search(key) and len(key.encode()) <= MAX_KEY_BYTES
        if is_valid and self.collections.contains(self.collection, key):
            present = self.store.head(key)
            if isinstance(present, Present) and not is_folder(present):
                return present
        raise NoSuchFile(f"there is no {filename} in {self.collection.kind} {self.collection.id}")

    def delete_file(self, filename: str, etags: frozenset[str]) -> tuple[bool, ChangeToken | None]:
        """Deletes an object and its description; whether the object still existed. A caption beside it stays.

        The object is deleted first: after a crash the description remains, which a repeat removes, and never an image
        without its prompt. Raises ``EtagMismatch`` where ``etags`` are given and the object has none of them
        (``*`` is any), ``NewerUpload``, and ``NoSuchFile`` where neither object nor description exists.
        """
        if filename in SIDECARS:
            raise _not_a_file(filename)
        descriptions = prompt_metadata.read_descriptions(self.sidecars, [filename])
        try:
            present = self.find_object(filename)
        except NoSuchFile:
            if edit := prompt_metadata.remove_descriptions(self.sidecars, descriptions):
                return False, edit.token
            raise
        _check_etag(present, etags)
        try:
            is_deleted = self.store.delete_if_match(present.key, present.etag)
        except Conflict as error:
            raise NewerUpload(f"{filename} was replaced by a newer upload; nothing was deleted") from error
        prompt_metadata.remove_descriptions(self.sidecars, descriptions)
        return is_deleted, ChangeToken(s3_key=present.key, deleted_etag=present.etag)

    def update_files(self, updates: Mapping[str, Fields], etags: frozenset[str] = frozenset()) -> SidecarEdit:
        """Sets fields of files in one edit; null removes a field.

        Raises ``NoSuchFile`` for the first that does not exist, and ``EtagMismatch`` as ``delete_file``.
        """
        for filename in updates:
            if _is_sidecar(filename):
                raise _not_a_file(filename)
        for present in self.parallel_map(self.find_object, updates):
            _check_etag(present, etags)
        return prompt_metadata.update_descriptions(self.sidecars, updates)

    def hide_all(self) -> tuple[int, SidecarEdit]:
        """Hides every present file; the number of files. Raises ``TooManyFiles``."""
        updates: dict[str, Fields] = {}
        for own in self._listings():
            names = (self.collection.filename(listed.key) for listed in own if not is_folder(listed))
            updates |= {name: {"hidden": True} for name in names if not _is_sidecar(name)}
            if len(updates) > MAX_HIDDEN:
                raise TooManyFiles(f"one request hides at most {MAX_HIDDEN} files; hide them in batches with PATCH")
        return len(updates), prompt_metadata.update_descriptions(self.sidecars, updates)

    def delete_all(self) -> DeletionResult:
        """Deletes the collection's objects as they are listed, the sidecars last, for as long as time allows.

        Objects of nested collections stay. A repeat continues. After a ``StoreError`` some objects are deleted.
        """
        deleted, latest = 0, ""
        remaining: list[str] = []
        sidecars: list[ListedObject] = []
        for own in self._listings():
            if self.retry_policy.seconds_left() < _RESERVE_SECONDS:
                return DeletionResult(deleted, tuple(remaining), complete=False, change_token=None)
            files = [listed for listed in own if self.collection.filename(listed.key) not in SIDECARS]
            sidecars += (listed for listed in own if self.collection.filename(listed.key) in SIDECARS)
            replaced = self.store.delete_if_unchanged(files)
            remaining += replaced
            deleted += len(files) - len(replaced)
            latest = max([latest, *(listed.last_modified for listed in own)])
        # A file that stays keeps its description.
        replaced = [listed.key for listed in sidecars] if remaining else self.store.delete_if_unchanged(sidecars)
        remaining += replaced
        deleted += len(sidecars) - len(replaced)
        token = ChangeToken(s3_key=self.collection.prefix, deleted_until=latest) if latest and not remaining else None
        return DeletionResult(deleted, tuple(remaining), complete=not remaining, change_token=token)

    def _listings(self) -> Iterator[list[ListedObject]]:
        """The collection's objects, folders included, a listing at a time. Those of nested collections are not."""
        prefix, is_nested = self.collection.prefix, self.collections.is_nested(self.collection)

        def is_own(key: str) -> bool:
            return not is_nested or key == prefix or self.collections.contains(self.collection, key)

        for listing in iter_listings(self.store, prefix):
            yield [listed for listed in listing.objects if is_own(listed.key)]


def _is_sidecar(filename: str) -> bool:
    return filename in SIDECARS or is_caption(filename)


def _not_a_file(filename: str) -> NoSuchFile:
    return NoSuchFile(f"{filename} is not a file of the manifest: it describes other files")


def _check_etag(present: Present, etags: frozenset[str]) -> None:
    if etags and not etags & {present.etag, "*"}:
        reason = f"{present.key} has the ETag {present.etag}, so another object is stored there; nothing was changed"
        raise EtagMismatch(reason)
