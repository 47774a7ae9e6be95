"""A complete and correct manifest of a synthetic bucket of any size, without a HEAD of each object.

The package's own functions make its head from the responses that HEADs would have. Its pages are generated when they
are read, so that a million files need no memory.
"""

from functools import lru_cache

from benchmarks.handlers import COLLECTIONS, LOCATION
from benchmarks.synthetic import SyntheticObjects, md5_of
from benchmarks.wire import BUCKET
from s3_manifest.manifest import digests
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.layout import MAX_INLINE, Layout
from s3_manifest.manifest.model import Entry, Generation, Head, PageRef
from s3_manifest.manifest.runs import Run
from s3_manifest.reconcile.delta import CommitFacts, Delta, apply
from s3_manifest.reconcile.entries import entry_of
from s3_manifest.storage import heads
from s3_manifest.storage.memory import EPOCH
from s3_manifest.storage.store import Present, StoredObject
from s3_manifest.sweep.compare import digest_of_listed

PAGE = 1000
"""Files in a page: pages above ``layout.MAX_PAGE`` are split, and no longer grow at their end."""

COLLECTION = Collection("style", "16", "styles/16/", COLLECTIONS.root, BUCKET)

_PAGES = f"{COLLECTION.folder}pages/synthetic-"
_OTHER = 1
"""A number other than 0, to check that all lines are like the first."""


class SyntheticCollection(SyntheticObjects):
    """``count`` objects of one collection, and its manifest."""

    def __init__(self, count: int) -> None:
        super().__init__(COLLECTION.prefix, count)
        head = _head(count)
        for ref in head.pages:
            self.uploaded.upload(ref.key, b"", etag=ref.digest, size=_page_size(ref.total_files))
        heads.save(self, COLLECTION, head, replaces=None)

    def get(self, key: str) -> StoredObject | None:
        if not key.startswith(_PAGES):
            return super().get(key)
        present = self.head(key)
        return StoredObject(_page(*_range_of(key)), present.etag) if isinstance(present, Present) else None


@lru_cache
def _head(count: int) -> Head:
    objects = SyntheticObjects(COLLECTION.prefix, count)
    files: tuple[Entry, ...] = ()
    pages: tuple[PageRef, ...] = ()
    if count <= MAX_INLINE:
        files = tuple(_entry(objects, number) for number in range(count))
    else:
        starts = range(0, count, PAGE)
        pages = tuple(_ref(objects, start, min(PAGE, count - start)) for start in starts)
    nothing = Delta((), (), None, None, ())
    layout = Layout(files, pages, ())
    head = apply(None, COLLECTION, nothing, layout, CommitFacts("synthetic", EPOCH, covers_all=True))
    generation = Generation(generation_id=1, type="s3_scan", generated_at=EPOCH, image_count=count)
    return head.model_copy(update={"generations": (generation,)})


def _ref(objects: SyntheticObjects, start: int, count: int) -> PageRef:
    listed = objects.list(objects.prefix, after=objects.key(start - 1) if start else "", limit=count).objects
    names = [COLLECTION.filename(item.key) for item in listed]
    return PageRef(
        key=f"{_PAGES}{start:08d}-{count}.json",
        first=names[0],
        last=names[-1],
        total_files=count,
        total_size_bytes=sum(item.size for item in listed),
        digest=digests.to_hex(digests.combine(map(digest_of_listed, listed, names))),
    )


def _range_of(key: str) -> tuple[int, int]:
    start, _, count = key.removeprefix(_PAGES).removesuffix(".json").partition("-")
    return int(start), int(count)


@lru_cache
def _page_size(count: int) -> int:
    """All lines have the same length."""
    return len(_page(0, count))


@lru_cache(50)
def _page(start: int, count: int) -> bytes:
    """The bytes of a page."""
    template = _template()
    lines = [_line(template, number) for number in range(start, start + count)]
    return Run(lines).page


def _line(template: bytes, number: int) -> bytes:
    return template % {b"number": number, b"md5": md5_of(number).encode()}


@lru_cache
def _template() -> bytes:
    """The common part of all lines; encoding each with pydantic would take minutes for a million."""
    objects = SyntheticObjects(COLLECTION.prefix, _OTHER + 1)
    first, other = (next(Run([_entry(objects, number)]).lines()) for number in (0, _OTHER))
    name, md5 = objects.key(0).removeprefix(objects.prefix)[:8].encode(), md5_of(0).encode()
    template = first.replace(b"%", b"%%").replace(name, b"%(number)08d").replace(md5, b"%(md5)s")
    assert _line(template, _OTHER) == other
    return template


def _entry(objects: SyntheticObjects, number: int) -> Entry:
    present = objects.head(objects.key(number))
    assert isinstance(present, Present)
    return entry_of(present, COLLECTION, LOCATION, "s3_scan")
