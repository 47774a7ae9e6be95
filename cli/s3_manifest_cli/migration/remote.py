"""What S3 has of a collection: by its manifest, and by looking at what that does not have."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from s3_manifest.aws.threads import each
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Facts
from s3_manifest.query import reads, views
from s3_manifest.sidecars.formats import COLLECTION, PROMPTS, FileDescription, GenerationDeclaration, read_sidecar
from s3_manifest.storage import heads
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import Absent, Store


class Object(NamedTuple):
    """An object in S3; ``md5`` is None where nobody asked for it and S3 does not tell."""

    etag: str
    md5: str | None


class RemoteCollection(NamedTuple):
    """What S3 has of one collection: objects by filename, and what this project's sidecars say already."""

    objects: Mapping[str, Object] = {}
    files: Mapping[str, FileDescription] = {}
    title: str | None = None
    generations: tuple[GenerationDeclaration, ...] = ()


class Manifest(NamedTuple):
    """A manifest, read whole: its facts and its entries by filename."""

    facts: Facts
    entries: Mapping[str, Entry]


def manifest(store: Store, collection: Collection) -> Manifest | None:
    """The collection's manifest; None where there is none. Raises ``StoreError``, ``UnreadableManifest``."""

    def read(now: heads.Loaded) -> Manifest | None:
        if now.head is None:
            return None
        past = reads.read_revision(store, each, collection, now)
        entries = [entry for run in views.runs(store, each, collection, past) for entry in run.entries()]
        return Manifest(past.facts, {entry.filename: entry for entry in entries})

    return reads.retry_on_conflict(store, collection, heads.load(store, collection), read)


def observe_collection(store: Store, collection: Collection, filenames: Iterable[str]) -> RemoteCollection:
    """What S3 has of these files. Raises ``StoreError``, ``UnreadableManifest``."""
    found = manifest(store, collection)
    objects: dict[str, Object] = {}
    unknown: list[str] = []
    for filename in filenames:
        entry = found.entries.get(filename) if found else None
        if entry and entry.md5_hash:
            objects[filename] = Object(entry.etag, entry.md5_hash)
        else:
            # What a manifest does not have may have come since: it is some seconds late.
            unknown.append(filename)
    looked = each(lambda name: observe_object(store, collection.prefix + name), unknown)
    objects |= {filename: seen for filename, seen in zip(unknown, looked, strict=True) if seen}
    prompts, about = (store.get(collection.prefix + name) for name in (PROMPTS, COLLECTION))
    declared = read_sidecar(COLLECTION, about.body) if about else None
    return RemoteCollection(
        objects,
        read_sidecar(PROMPTS, prompts.body).files if prompts else {},
        declared.title if declared else None,
        declared.generations if declared else (),
    )


def observe_object(store: Store, key: str) -> Object | None:
    """The object at a key, its MD5 computed from its bytes where S3 does not tell. Raises ``StoreError``."""
    seen = store.head(key)
    if isinstance(seen, Absent):
        return None
    proven = proven_md5(seen)
    return Object(seen.etag, proven[0] if proven else store.md5(key, seen.etag))
