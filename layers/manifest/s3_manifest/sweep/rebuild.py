"""Manifests that cannot be read: set aside, never deleted, so that new ones can be made."""

from pydantic import ValidationError

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.manifest.runs import sha256_of, verified_page
from s3_manifest.sidecars.formats import decode_content
from s3_manifest.storage import heads
from s3_manifest.storage.store import Archived, Store


def set_aside(store: Store, collection: Collection) -> str | None:
    """Copies an unreadable head to ``set-aside/<ETag>.json``; its ETag, by which it can be replaced.

    None where the head is readable, with all of its pages, or where there is none. A repeat makes
    the same copy. Raises ``StoreError``.
    """
    stored = store.get(collection.head_key)
    if stored is None or _is_readable(store, collection, stored.body):
        return None
    store.add(f"{collection.folder}set-aside/{stored.etag}.json", stored.body)
    return stored.etag


def _is_readable(store: Store, collection: Collection, body: bytes) -> bool:
    try:
        head = heads.decode(collection, body)
        for copy in (copy for sidecar in head.sidecars for copy in sidecar.copies):
            stored = store.get(copy.key)
            if stored is None or copy.sha256 not in (None, sha256_of(stored.body)):
                return False
            decode_content(stored.body)
        for page in head.pages:
            stored = store.get(page.key)
            if stored is None:
                return False
            for _ in verified_page(stored.body, page).entries():
                pass
    except (UnreadableManifest, ValidationError, Archived):
        return False
    return True
