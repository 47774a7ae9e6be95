"""What the rest of the package asks of an object store, and how it says no.

Two stores answer: ``s3.S3Store`` and ``memory.MemoryStore``. Both keep what the commit protocol
rests on, which ``tests/contract`` asks of each: reads see the last finished write, and of two
conditional writes with the same condition one is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

METADATA_PREFIX = "x-amz-meta-"
"""What the names of headers begin with that are user metadata."""


class Fault(NamedTuple):
    """Why a request was not answered with a fact.

    ``status`` is HTTP's, 0 where no answer came. ``code`` is the server's, or the name of the client library's error;
    empty where the server gave none, as with every HEAD. ``region`` is where the server says that the bucket is.
    ``is_sent`` is False where the request surely never left this machine.
    """

    status: int = 0
    code: str = ""
    message: str = ""
    region: str | None = None
    is_sent: bool = True

    @property
    def words(self) -> str:
        """All that the answer says, on one line."""
        status = " ".join(filter(None, (str(self.status or ""), self.code if self.status else "")))
        return ": ".join(filter(None, (status, self.message))) or "no answer"


class StoreError(Exception):
    """A request that was not answered with a fact. ``key`` is what it was about, ``fault`` the answer, if one came."""

    def __init__(self, key: str, reason: str, fault: Fault | None = None) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.fault = fault


class ReadFailed(StoreError):
    """Nothing is known of the key: it was refused, throttled, or timed out. Never an absence."""


class Archived(ReadFailed):
    """The object is there, but its bytes are in an archive: nobody can read them until it is restored."""


class OutOfTime(ReadFailed):
    """The key was not looked at for want of time; nothing is wrong with it."""


class WriteRefused(StoreError):
    """The write surely did not happen, and would not the next time: a permission, a missing bucket."""


class Conflict(StoreError):
    """Somebody else wrote first; nothing was written. Read again and try again."""


class OutcomeUnknown(StoreError):
    """The answer to a write was lost: it may have happened, or may yet. Read again to see."""


class Present(NamedTuple):
    """An object, as a HEAD of it answered. ``etag`` has no quotes, ``size`` is bytes.

    ``encryption`` is S3's name for it (``AES256``, ``aws:kms`` …) or ``SSE-C``; ``archived`` objects answer a
    HEAD but their bytes cannot be read until somebody restores them. ``checksum`` has all that S3 gives, by the
    lower-case names of their algorithms, and their ``type``. ``metadata`` has values as text, as they were sent.
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
    """No object has this key. Only a 404 says so."""

    key: str


HeadResult = Present | Absent


class StoredObject(NamedTuple):
    """An object that was read whole, with its user metadata."""

    body: bytes
    etag: str
    metadata: Mapping[str, str] = {}


class NotModified(NamedTuple):
    """The object is still the one the caller has."""

    etag: str


class ListedObject(NamedTuple):
    """An object, as a listing tells of it: less than a HEAD would, and from an earlier moment."""

    key: str
    size: int
    etag: str
    last_modified: str
    storage_class: str = "STANDARD"


class Listing(NamedTuple):
    """A run of objects by key, in UTF-8 order. ``truncated``: there are more, after the last of these."""

    objects: tuple[ListedObject, ...]
    truncated: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """The objects' keys."""
        return tuple(listed.key for listed in self.objects)


class Folders(NamedTuple):
    """A run of prefixes that end in ``/``. ``truncated``: there are more, after the last of these."""

    prefixes: tuple[str, ...]
    truncated: bool


class Store(Protocol):
    """One bucket. Any method may raise ``StoreError``; a repeat of a read changes nothing."""

    def get(self, key: str) -> StoredObject | None:
        """The object, or None where there is none. Raises ``Archived`` where its bytes are in an archive."""
        ...

    def get_if_changed(self, key: str, etag: str) -> StoredObject | NotModified | None:
        """Like ``get``, but ``NotModified``, without the body, if that is still its ETag."""
        ...

    def head(self, key: str) -> HeadResult:
        """What is at ``key`` now."""
        ...

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        """Writes JSON if the object's ETag is ``replaces`` (None: if there is no object); its new ETag.

        Raises ``Conflict``, ``OutcomeUnknown`` or ``WriteRefused``. Is never retried in here: a
        retry of a write that did happen would be answered as a conflict with itself.
        """
        ...

    def add(self, key: str, body: bytes) -> None:
        """Writes JSON under a name that was never used before, and will not be again.

        So it needs no condition, and may be retried in here. Raises ``OutcomeUnknown``, ``WriteRefused``.
        """
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Deletes the objects, at most 1000; those that are not there do not matter.

        Raises ``OutcomeUnknown``, ``WriteRefused``; some may be deleted then, and some not.
        """
        ...

    def delete_if_match(self, key: str, etag: str) -> bool:
        """Deletes the object if that is its ETag; False where there is none, as after a deletion before.

        Raises ``Conflict``: another object is there now, and stays. ``OutcomeUnknown``, ``WriteRefused``.
        """
        ...

    def delete_if_unchanged(self, objects: Sequence[ListedObject]) -> Sequence[str]:
        """Deletes the objects, at most 1000, each if it is the one that was listed; the keys of those that are not.

        They stay. Those that are not there do not matter. Raises as ``delete``.
        """
        ...

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        """At most ``limit`` objects below ``prefix``, those after the key ``after``."""
        ...

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        """Like ``list``, but up to the next ``/`` after ``prefix``: ``<prefix><the rest of a path segment>/``."""
        ...

    def md5(self, key: str, etag: str) -> str:
        """The MD5 of the object's bytes in hex, by reading them all.

        Raises ``Conflict`` if the object is not the one with that ETag any more.
        """
        ...


def user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The user metadata among an upload's headers, by their names without ``METADATA_PREFIX``."""
    return {
        name.removeprefix(METADATA_PREFIX): value for name, value in headers.items() if name.startswith(METADATA_PREFIX)
    }


def iter_listings(store: Store, prefix: str, after: str = "") -> Iterator[Listing]:
    """All listings of what is below ``prefix``, from after the key ``after`` on. Raises ``StoreError``."""
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


Item = TypeVar("Item")
Result = TypeVar("Result")


class ParallelMap(Protocol):
    """``work`` of every item, several at once; its results in order, when all is done.

    Nothing goes on in the background after it returns or raises.
    """

    def __call__(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:  # noqa: D102
        ...
