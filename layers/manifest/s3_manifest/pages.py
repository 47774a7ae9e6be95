"""Pages, and copies of sidecars, in a store: read as a head refers to them."""

from collections.abc import Sequence

from pydantic import ValidationError

from s3_manifest import heads
from s3_manifest.collections import Collection
from s3_manifest.descriptions import Descriptions, copies_of, described
from s3_manifest.model import PageRef, UnreadableManifest, first_problem
from s3_manifest.runs import Run, decode_page
from s3_manifest.sidecars import Description, decode_copy
from s3_manifest.store import Conflict, Store
from s3_manifest.world import Each


def read(store: Store, each: Each, collection: Collection, loaded: heads.Loaded, refs: Sequence[PageRef]) -> list[Run]:
    """What these pages of a loaded head hold, in order.

    Raises ``Conflict`` where a page is gone because the head is another one by now, and
    ``UnreadableManifest`` where it is gone or broken and the head still refers to it.
    """
    return each(lambda ref: decode_page(_body(store, collection, loaded, ref.key), ref), refs)


def read_descriptions(store: Store, each: Each, collection: Collection, loaded: heads.Loaded) -> Descriptions:
    """What the files of a loaded head go by of what its sidecars say. Raises as ``read``."""
    sidecars = loaded.head.sidecars if loaded.head else ()
    keys = copies_of(sidecars)

    def read_copy(key: str) -> Description:
        try:
            return decode_copy(_body(store, collection, loaded, key))
        except ValidationError as error:
            raise UnreadableManifest(f"{key}: {first_problem(error)}") from error

    return described(collection, sidecars, dict(zip(keys, each(read_copy, keys), strict=True)))


def _body(store: Store, collection: Collection, loaded: heads.Loaded, key: str) -> bytes:
    stored = store.get(key)
    if stored:
        return stored.body
    current = store.get(collection.head_key)
    if current is None or current.etag != loaded.etag:
        raise Conflict(key, "it was collected; read the manifest again")
    raise UnreadableManifest(
        f"{collection.head_key}: {key}, which it refers to, is not there. Ask for a rebuild: the manifest is set"
        " aside, and a new one is made from S3"
    )
