"""Whether there is anything of a collection."""

from s3_manifest.collections import Collection, Collections
from s3_manifest.store import Present, Store, listings


def is_there(store: Store, collections: Collections, collection: Collection) -> bool:
    """Whether there is a manifest of it, or any object to make one of. Raises ``StoreError``."""
    return isinstance(store.head(collection.head_key), Present) or holds_objects(store, collections, collection)


def holds_objects(store: Store, collections: Collections, collection: Collection) -> bool:
    """Whether there is any object of the collection's own. Raises ``StoreError``."""
    if collections.is_nested(collection):
        found = listings(store, collection.prefix)
        return any(collections.own_keys(collection, listing.keys) for listing in found)
    # Of two one is another than the folder.
    return bool(collections.own_keys(collection, store.list(collection.prefix, limit=2).keys))
