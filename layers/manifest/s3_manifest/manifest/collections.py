"""Which collection a key belongs to, from patterns such as ``style=styles/{style_id}/``."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote

MAX_KEY_BYTES = 1024
"""S3's own limit: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

MAX_BELOW_FOLDER_BYTES = 91
"""The longest key below a collection's folder: a change record, ``changes/<12 digits>-<32>-<32>.json``.

Pages, checkpoints, copies, releases and archived heads have shorter keys.
"""

DEFAULT_COLLECTIONS = "style=styles/{style_id}/,actor=system_actors/training_data/{actor_id}/"
DEFAULT_ROOT = "_manifests/"
"""The template's defaults for its parameters ``Collections`` and ``ManifestRoot``."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class InvalidCollections(ValueError):
    """The collections setting is invalid; the message names the part and the correct form."""


class IdTooLong(ValueError):
    """An id so long that a key of the collection's manifest would exceed S3's limit."""


class Collection(NamedTuple):
    """The objects under one prefix that share one manifest."""

    kind: str
    id: str
    prefix: str
    root: str

    @property
    def folder(self) -> str:
        """The prefix of all objects of its manifest: the root, then the collection's prefix."""
        return f"{self.root}{self.prefix}"

    @property
    def head_key(self) -> str:
        """The key of its manifest."""
        return f"{self.folder}manifest.json"

    def filename(self, key: str) -> str:
        """The path of ``key`` below the prefix."""
        return key.removeprefix(self.prefix)


class Pattern(NamedTuple):
    """One kind of collection: every prefix ``<before><id><after>``, the id one path segment."""

    kind: str
    before: str
    after: str

    def prefix(self, collection_id: str) -> str:
        """The prefix of the collection with this id."""
        return f"{self.before}{collection_id}{self.after}"

    def id_of(self, key: str) -> str | None:
        """The id of the collection of this kind that contains ``key``, or None."""
        if not key.startswith(self.before):
            return None
        collection_id, slash, path = key[len(self.before) :].partition("/")
        filename = (slash + path).removeprefix(self.after)
        if not collection_id or not filename or len(filename) == len(slash + path):
            return None
        return collection_id


class Collections:
    """All kinds of collections of one bucket, and the root of their manifests.

    Patterns may nest (``styles/{style_id}/`` and ``styles/drafts/{draft_id}/``): a key belongs
    only to the deepest collection that contains it.
    """

    def __init__(self, patterns: Iterable[Pattern], root: str) -> None:
        self.root = root
        # Deepest first, so that the first match is the right one.
        self.patterns = tuple(sorted(patterns, key=_depth, reverse=True))

    def collection_of(self, key: str) -> Collection | None:
        """The collection that ``key`` belongs to; None outside all collections and below the root.

        Also None if the id is too long for the keys of its manifest: see ``check_id``.
        """
        if key.startswith(self.root):
            return None
        for pattern in self.patterns:
            if (collection_id := pattern.id_of(key)) is not None:
                return self._valid_collection(pattern, collection_id)
        return None

    def is_nested(self, collection: Collection) -> bool:
        """Whether keys below the collection's prefix may belong to another collection."""
        others = (pattern for pattern in self.patterns if pattern.kind != collection.kind)
        prefix = collection.prefix
        return any(other.before.startswith(prefix) or prefix.startswith(other.before) for other in others)

    def own_keys(self, collection: Collection, keys: Iterable[str]) -> list[str]:
        """The keys below the collection's prefix, without nested collections' keys and the prefix itself."""
        if self.is_nested(collection):
            return [key for key in keys if self.collection_of(key) == collection]
        return [key for key in keys if key != collection.prefix]

    def lookup(self, kind: str, collection_id: str) -> Collection | None:
        """The collection with this kind and id; None if the kind is unknown or the id is impossible."""
        if not collection_id or "/" in collection_id:
            return None
        for pattern in self.patterns:
            if pattern.kind == kind:
                return self._valid_collection(pattern, collection_id)
        return None

    def id_prefix(self, collection: Collection) -> str:
        """The start of its keys up to and including the id, without the rest of the pattern."""
        return next(pattern.before for pattern in self.patterns if pattern.kind == collection.kind) + collection.id

    def check_id(self, kind: str, collection_id: str) -> None:
        """Raises ``IdTooLong`` if the id is valid except for its length."""
        if not collection_id or "/" in collection_id:
            return
        for pattern in self.patterns:
            if pattern.kind == kind and not _fits(collection := _collection(pattern, collection_id, self.root)):
                size = len(collection_id.encode(errors="replace"))
                folder_size = len(collection.folder.encode(errors="replace"))
                limit = MAX_KEY_BYTES - MAX_BELOW_FOLDER_BYTES - folder_size + size
                raise IdTooLong(
                    f"the id of this {kind} has {size} bytes; the limit is {limit}, because S3 allows keys of at most"
                    f" {MAX_KEY_BYTES} bytes for its manifest. Use a shorter id."
                )

    def check_key(self, key: str) -> None:
        """Raises ``IdTooLong`` if the key is in no collection only because the id in it is too long."""
        if key.startswith(self.root):
            return
        for pattern in self.patterns:
            if (collection_id := pattern.id_of(key)) is not None:
                self.check_id(pattern.kind, collection_id)
                return

    def notification_prefixes(self) -> list[str]:
        """The prefixes to subscribe to: each key of a collection is below exactly one of them.

        S3 rejects overlapping prefixes in notification configurations for the same event, so
        a prefix below another prefix is left out.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
        """
        prefixes = sorted({pattern.before for pattern in self.patterns})
        return [p for p in prefixes if not any(p != q and p.startswith(q) for q in prefixes)]

    def _valid_collection(self, pattern: Pattern, collection_id: str) -> Collection | None:
        collection = _collection(pattern, collection_id, self.root)
        return collection if _fits(collection) else None


def _collection(pattern: Pattern, collection_id: str, root: str) -> Collection:
    return Collection(pattern.kind, collection_id, pattern.prefix(collection_id), root)


def _fits(collection: Collection) -> bool:
    """Whether the longest key of the collection's manifest is within S3's limit."""
    return len(collection.folder.encode(errors="replace")) + MAX_BELOW_FOLDER_BYTES <= MAX_KEY_BYTES


def parse_collections(text: str, root: str) -> Collections:
    """Parses a comma-separated list of ``kind=prefix/{kind_id}/`` patterns.

    ``root`` is the prefix of all manifests. Raises ``InvalidCollections``.
    """
    if not root.endswith("/") or root.startswith("/"):
        raise InvalidCollections(f"manifest root {root!r}: must have the form 'name/', for example '_manifests/'")
    patterns = [_parse_pattern(part.strip()) for part in text.split(",") if part.strip()]
    if not patterns:
        raise InvalidCollections("no collections: write at least one, for example 'style=styles/{style_id}/'")
    for problem in _clashes(patterns, root):
        raise InvalidCollections(problem)
    return Collections(patterns, root)


def _parse_pattern(text: str) -> Pattern:
    kind, equals, prefix = text.partition("=")
    if not equals or not _NAME.fullmatch(kind):
        raise InvalidCollections(
            f"collection {text!r}: write 'kind=prefix/{{kind_id}}/', with a kind of lower-case letters, digits and '_'"
        )
    placeholder = f"{{{kind}_id}}"
    before, separator, after = prefix.partition(placeholder)
    if not separator or "{" in before + after or "}" in before + after:
        raise InvalidCollections(f"collection {text!r}: its prefix must contain {placeholder} exactly once")
    if not before.endswith("/") or before.startswith("/") or not after.startswith("/"):
        raise InvalidCollections(
            f"collection {text!r}: {placeholder} must be a whole path segment below a fixed prefix,"
            f" as in '{kind}=some/prefix/{placeholder}/'"
        )
    if not after.endswith("/"):
        raise InvalidCollections(f"collection {text!r}: its prefix must end with '/'")
    return Pattern(kind, before, after)


def _clashes(patterns: list[Pattern], root: str) -> Iterator[str]:
    for index, pattern in enumerate(patterns):
        if pattern.before.startswith(root) or root.startswith(pattern.before):
            yield (
                f"collection {pattern.kind!r} ({pattern.before}…) and the manifest root {root!r} overlap:"
                " each manifest would be reported as a change of its own collection; choose another root"
            )
        for other in patterns[:index]:
            if pattern.kind == other.kind:
                yield f"two collections are named {pattern.kind!r}: give each kind its own name"
            if (pattern.before, pattern.after) == (other.before, other.after):
                yield f"collections {other.kind!r} and {pattern.kind!r} have the same prefix: remove one of them"


def _depth(pattern: Pattern) -> tuple[int, str]:
    # At equal depth the longer fixed part is the more specific.
    return pattern.prefix("").count("/"), pattern.before


class Location(NamedTuple):
    """A bucket and its endpoint or AWS region, for URLs.

    ``suffix`` is the partition's domain (``amazonaws.com``, ``amazonaws.com.cn``), CloudFormation's
    ``AWS::URLSuffix``.
    """

    bucket: str
    region: str
    suffix: str = "amazonaws.com"
    endpoint: str | None = None


def object_url(location: Location, key: str) -> str:
    """The unsigned https URL of a key.

    A bucket name with dots does not match S3's wildcard certificate, so it goes into the path.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    bucket, path = location.bucket, quote(key, safe="/~")
    if location.endpoint:
        return f"{location.endpoint.rstrip('/')}/{bucket}/{path}"
    if "." in bucket:
        return f"https://s3.{location.region}.{location.suffix}/{bucket}/{path}"
    return f"https://{bucket}.s3.{location.region}.{location.suffix}/{path}"
