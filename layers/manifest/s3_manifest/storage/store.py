"""The interface of an object store, and its errors.

``s3.S3Store`` and ``memory.MemoryStore`` implement it. Both give what the commit protocol relies on, and
``tests/contract`` tests both: a read returns the last completed write, and of two conditional writes with the same
condition one fails.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

METADATA_PREFIX = "x-amz-meta-"
"""The prefix of the headers that are user metadata."""


class Fault(NamedTuple):
    """Why a request failed.

    ``status`` is the HTTP status, 0 without a response. ``code`` is the server's error code, or the name of the client
    library's error; it is empty if the server sent none, as for every HEAD. ``region`` is the bucket's region, if the
    server names it. ``is_sent`` is False if the request certainly never left this machine.
    """

    status: int = 0
    code: str = ""
    message: str = ""
    region: str | None = None
    is_sent: bool = True

    @property
    def words(self) -> str:
        """The status, code and message on one line."""
        status = " ".join(filter(None, (str(self.status or ""), self.code if self.status else "")))
        return ": ".join(filter(None, (status, self.message))) or "no response"


class StoreError(Exception):
    """A request failed. ``key`` is the object or prefix it was for, ``fault`` the response, if there was one.

    ``place`` is the key with its bucket, where the bucket is known: a deployment may have several.
    """

    def __init__(self, key: str, reason: str, fault: Fault | None = None, bucket: str = "") -> None:
        self.place = f"s3://{bucket}/{key}" if bucket else key
        super().__init__(f"{self.place}: {reason}")
        self.key = key
        self.fault = fault


class ReadFailed(StoreError):
    """A read was refused, throttled, or timed out. It never means that the object does not exist."""


class Archived(ReadFailed):
    """The object exists, but is archived: its bytes cannot be read until it is restored."""


class OutOfTime(ReadFailed):
    """The time ran out before the key was read. Nothing is known to be wrong with it."""


class WriteRefused(StoreError):
    """The write certainly did not happen, and a retry would fail too: a missing permission or bucket."""


class Conflict(StoreError):
    """Another writer wrote first; nothing was written. Read again, then retry."""


class OutcomeUnknown(StoreError):
    """The response to a write was lost: it may have happened, or may still happen. Read again to see."""


class Present(NamedTuple):
    """An object, as the response to a HEAD describes it. ``etag`` has no quotes, ``size`` is in bytes.

    ``encryption`` is S3's name for it (``AES256``, ``aws:kms`` …) or ``SSE-C``. The bytes of an ``archived`` object
    cannot be read until it is restored. ``checksum`` has all that S3 returns, by the lower-case names of the
    algorithms, and their ``type``. ``metadata`` has the values as the text that was sent.
    """

    key: str
    size: int
    etag: str
    last_modified: str
    content_type: str | None = None
    storage_class: str = "STANDARD"
    version_id: str | None = None
    encryption: str | None = None
    archived: bool = False
    checksum: Mapping[str, str] | None = None
    metadata: Mapping[str, str] = {}


class Absent(NamedTuple):
    """No object has this key. Only a 404 proves that."""

    key: str


HeadResult = Present | Absent


class StoredObject(NamedTuple):
    """A whole object, with its user metadata."""

    body: bytes
    etag: str
    metadata: Mapping[str, str] = {}


class NotModified(NamedTuple):
    """The object still has the caller's ETag."""

    etag: str


class ListedObject(NamedTuple):
    """An object in a listing: less than a HEAD returns, and possibly older."""

    key: str
    size: int
    etag: str
    last_modified: str
    storage_class: str = "STANDARD"


class Listing(NamedTuple):
    """A range of objects, in UTF-8 order of their keys. ``truncated``: more follow."""

    objects: tuple[ListedObject, ...]
    truncated: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """The objects' keys."""
        return tuple(listed.key for listed in self.objects)


class Folders(NamedTuple):
    """A range of prefixes that end in ``/``. ``truncated``: more follow."""

    prefixes: tuple[str, ...]
    truncated: bool


class Store(Protocol):
    """One bucket. Any method may raise ``StoreError``; reads may be repeated."""

    def get(self, key: str) -> StoredObject | None:
        """The object; None if it does not exist. Raises ``Archived``."""

    def get_if_changed(self, key: str, etag: str) -> StoredObject | NotModified | None:
        """As ``get``, but returns ``NotModified``, without the body, if the object still has this ETag."""

    def head(self, key: str) -> HeadResult:
        """The object's description, without its bytes."""

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        """Writes JSON if the object's ETag is ``replaces`` (None: if it does not exist); returns the new ETag.

        Raises ``Conflict``, ``OutcomeUnknown`` or ``WriteRefused``. The store never retries it: the retry of a write
        that did happen would conflict with that write.
        """

    def add(self, key: str, body: bytes) -> None:
        """Writes JSON under a key that no other object ever has, so without a condition. The store may retry it.

        Raises ``OutcomeUnknown``, ``WriteRefused``.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Deletes at most 1000 objects; ignores keys that do not exist.

        Raises ``OutcomeUnknown``, ``WriteRefused``; some of the objects may be deleted then.
        """

    def delete_if_match(self, key: str, etag: str) -> bool:
        """Deletes the object if it has this ETag; returns False if it does not exist, e.g. when repeated.

        Raises ``Conflict`` if it has another ETag (it stays), ``OutcomeUnknown``, ``WriteRefused``.
        """

    def delete_if_unchanged(self, objects: Sequence[ListedObject]) -> Sequence[str]:
        """Deletes at most 1000 objects, each if it still has its listed ETag; returns the keys of the others.

        The others stay. Ignores keys that do not exist. Raises as ``delete``.
        """

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """At most ``limit`` objects below ``prefix``, after the key ``after``."""

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        """The folders below ``prefix``, as prefixes: ``<prefix><the rest of a path segment>/``."""

    def md5(self, key: str, etag: str) -> str:
        """The MD5 of the object's bytes in hex; reads them all.

        Raises ``Conflict`` if the object no longer has this ETag.
        """


def user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The user metadata in an upload's headers, by name without ``METADATA_PREFIX``."""
    return {
        name.removeprefix(METADATA_PREFIX): value for name, value in headers.items() if name.startswith(METADATA_PREFIX)
    }


def iter_listings(store: Store, prefix: str, after: str = "") -> Iterator[Listing]:
    """All listings of ``prefix``, from after the key ``after`` on. Raises ``StoreError``."""
    truncated = True
    while truncated:
        listing = store.list(prefix, after=after)
        yield listing
        truncated = listing.truncated
        after = listing.objects[-1].key if listing.objects else after


def iter_objects(store: Store, prefix: str) -> Iterator[ListedObject]:
    """All objects below ``prefix``. Raises ``StoreError``."""
    for listing in iter_listings(store, prefix):
        yield from listing.objects


def iter_folders(store: Store, prefix: str, after: str = "", limit: int = 1000) -> Iterator[list[str]]:
    """The folders below a prefix, relative to it and in S3's order, at most ``limit`` at a time.

    ``after`` is the name of a folder, without its ``/``. Raises ``StoreError``.
    """
    start, truncated = f"{prefix}{after}/" if after else "", True
    while truncated:
        folders, truncated = store.folders(prefix, after=start, limit=limit)
        yield [folder.removeprefix(prefix) for folder in folders]
        start = folders[-1] if folders else start


Item = TypeVar("Item")
Result = TypeVar("Result")


class ParallelMap(Protocol):
    """Calls ``work`` for every item, several in parallel; returns the results in order.

    When it returns or raises, nothing runs in the background.
    """

    def __call__(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:  # noqa: D102
        ...
