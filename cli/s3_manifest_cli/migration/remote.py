"""Reads what S3 has of a collection, and uploads images to it."""

import os
from collections.abc import Callable, KeysView, Mapping
from typing import BinaryIO, NamedTuple

from s3_manifest.aws.threads import parallel_map
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Facts
from s3_manifest.query.reads import retry_on_conflict
from s3_manifest.sidecars.content import SidecarContent
from s3_manifest.sidecars.formats import COLLECTION_JSON, PROMPT_METADATA_JSON, read_sidecar
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import METADATA_PREFIX, Absent, Conflict, Store
from s3_manifest.storage.upload_headers import content_type, fit_metadata
from s3_manifest_cli.client.local.reading import FileChanged
from s3_manifest_cli.client.transfer.checksums import compute_checksums
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.client.transfer.resumable_uploads import UnfinishedUploads
from s3_manifest_cli.client.transfer.upload import UploadRequest, upload


class RemoteObject(NamedTuple):
    """An object in S3; ``md5`` is None if it is unknown."""

    etag: str
    md5: str | None


class RemoteCollection(NamedTuple):
    """What S3 has of one collection: objects by filename, and the content of the sidecars that are written."""

    objects: Mapping[str, RemoteObject] = {}
    sidecars: SidecarContent = SidecarContent()


class ImageUpload(NamedTuple):
    """A file to upload in place of the object with the ETag ``replaces`` (None: if there is no object)."""

    path: str
    md5: str
    replaces: str | None


UploadImage = Callable[[str, BinaryIO, ImageUpload], None]
"""Uploads an open file to a key as planned. Raises ``StoreError``, ``OSError``."""


def load_manifest(store: Store, collection: Collection) -> tuple[Facts | None, Mapping[str, Entry]]:
    """The facts of a manifest, if there is one, and its entries by filename.

    Raises ``StoreError``, ``UnreadableManifest``.
    """

    def read(snapshot: Snapshot) -> tuple[Facts | None, Mapping[str, Entry]]:
        return snapshot.head, {entry.filename: entry for entry in snapshot.entries()}

    return retry_on_conflict(Snapshot.load(store, parallel_map, collection), read)


def observe_collection(store: Store, collection: Collection, filenames: KeysView[str]) -> RemoteCollection:
    """What S3 has of these files. Raises ``StoreError``, ``UnreadableManifest``."""
    _, entries = load_manifest(store, collection)
    objects = {
        filename: RemoteObject(entry.etag, entry.md5_hash)
        for filename in filenames
        if (entry := entries.get(filename)) and entry.md5_hash
    }
    # The others may be newer than the manifest, which is some seconds late.
    unknown = [filename for filename in filenames if filename not in objects]
    observations = parallel_map(lambda name: observe_object(store, collection.prefix + name), unknown)
    objects |= {filename: observed for filename, observed in zip(unknown, observations, strict=True) if observed}
    prompts, about = (
        read_sidecar(name, sidecar.body) if (sidecar := store.get(collection.prefix + name)) else SidecarContent()
        for name in (PROMPT_METADATA_JSON, COLLECTION_JSON)
    )
    return RemoteCollection(objects, about.model_copy(update={"files": prompts.files}))


def observe_object(store: Store, key: str) -> RemoteObject | None:
    """The object of a key; its MD5 is computed from its bytes if S3 does not return it. Raises ``StoreError``."""
    current = store.head(key)
    if isinstance(current, Absent):
        return None
    proven = proven_md5(current)
    return RemoteObject(current.etag, proven[0] if proven else store.md5(key, current.etag))


def upload_image(objects: Objects, unfinished: UnfinishedUploads, key: str, file: BinaryIO, image: ImageUpload) -> None:
    """An ``UploadImage``. Does nothing if the same bytes are there already.

    Raises ``Conflict`` if the file or the object changed since the plan.
    """
    size = os.fstat(file.fileno()).st_size
    checksums = compute_checksums(file, size)
    if checksums.md5 != image.md5:
        raise Conflict(image.path, "the file changed since the plan; run the command again")
    metadata = fit_metadata({"local-path": image.path}).values
    headers = {METADATA_PREFIX + name: value for name, value in metadata.items()} | {"Content-Type": content_type(key)}
    try:
        upload(objects, file, UploadRequest(key, size, checksums, image.replaces, headers), unfinished)
    except FileChanged as error:
        raise Conflict(key, str(error)) from error
