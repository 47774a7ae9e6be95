"""Pages in a store: read as a head refers to them."""

from collections.abc import Sequence

from s3_manifest import heads
from s3_manifest.collections import Collection
from s3_manifest.model import PageRef, UnreadableManifest
from s3_manifest.runs import Run, decode_page
from s3_manifest.store import Conflict, Store
from s3_manifest.world import Each


def read(store: Store, each: Each, collection: Collection, loaded: heads.Loaded, refs: Sequence[PageRef]) -> list[Run]:
    """What these pages of a loaded head hold, in order.

    Raises ``Conflict`` where a page is gone because the head is another one by now, and
    ``UnreadableManifest`` where it is gone or broken and the head still refers to it.
    """

    def run(ref: PageRef) -> Run:
        stored = store.get(ref.key)
        if stored:
            return decode_page(stored.body, ref)
        current = store.get(collection.head_key)
        if current is None or current.etag != loaded.etag:
            raise Conflict(ref.key, "the page was collected; read the manifest again")
        raise UnreadableManifest(
            f"{collection.head_key}: its page {ref.key} is not there. Ask for a rebuild: the manifest is set"
            " aside, and a new one is made from S3"
        )

    return each(run, refs)
