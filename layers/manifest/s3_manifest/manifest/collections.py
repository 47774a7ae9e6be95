"""Which collection a key of a bucket belongs to, from patterns such as ``style=styles/{style_id}/``."""

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

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class InvalidCollections(ValueError):
    """The collections setting is invalid; the message names the part and the correct form."""


class IdTooLong(ValueError):
    """An id so long that a key of the collection's manifest would exceed S3's limit."""


class Collection(NamedTuple):
    """The objects under one prefix of a bucket that share one manifest; ``bucket`` is empty if it is unknown."""

    kind: str
    id: str
    prefix: str
    root: str
    bucket: str

    @property
    def folder(self) -> str:
        """The prefix of all objects of its manifest: the root, then the collection's prefix."""
        return f"{self.root}{self.prefix}"

    @property
    def head_key(self) -> str:
        """The key of its manifest."""
        return f"{self.folder}manifest.json"

    @property
    def pages_folder(self) -> str:
        """The prefix of the manifest's pages."""
        return f"{self.folder}pages/"

    @property
    def copies_folder(self) -> str:
        """The prefix of the copies of its sidecars."""
        return f"{self.folder}sidecars/"

    @property
    def changes_folder(self) -> str:
        """The prefix of its change records."""
        return f"{self.folder}changes/"

    @property
    def checkpoints_folder(self) -> str:
        """The prefix of its checkpoints."""
        return f"{self.folder}checkpoints/"

    @property
    def excess_bytes(self) -> int:
        """By how much the longest key of its manifest exceeds S3's limit; 0 or negative if the id is short enough."""
        return len(self.folder.encode(errors="replace")) + MAX_BELOW_FOLDER_BYTES - MAX_KEY_BYTES

    def place(self, key: str) -> str:
        """A key with the collection's bucket, for messages; the key alone if the bucket is unknown."""
        return f"s3://{self.bucket}/{key}" if self.bucket else key

    def filename(self, key: str) -> str:
        """The path of ``key`` below the prefix."""
        return key.removeprefix(self.prefix)


class Pattern(NamedTuple):
    """One kind of collection: every prefix ``<before><id><after>`` of a bucket, the id one path segment."""

    kind: str
    before: str
    after: str
    bucket: str

    def prefix(self, collection_id: str) -> str:
        """The prefix of the collection with this id."""
        return f"{self.before}{collection_id}{self.after}"

    def collection(self, collection_id: str, root: str) -> Collection:
        """The collection with this id; ``root`` is the prefix of all manifests."""
        return Collection(self.kind, collection_id, self.prefix(collection_id), root, self.bucket)

    def id_of(self, key: str) -> str | None:
        """The id of the collection of this kind that contains ``key``, or None."""
        collection_id, slash, path = key.removeprefix(self.before).partition("/")
        rest = slash + path
        contains = key.startswith(self.before) and rest.startswith(self.after) and rest != self.after
        return collection_id if contains and collection_id else None


class Collections:
    """All kinds of collections of a deployment, and the root of their manifests, which is the same in each bucket.

    Patterns of a bucket may nest (``styles/{style_id}/`` and ``styles/drafts/{draft_id}/``): a key belongs
    only to the deepest collection that contains it.
    """

    def __init__(self, patterns: Iterable[Pattern], root: str) -> None:
        self.root = root
        # The first match must be the right one: deepest first, and at equal depth the longer fixed part.
        self.patterns = tuple(
            sorted(patterns, key=lambda pattern: (pattern.prefix("").count("/"), pattern.before), reverse=True)
        )

    @property
    def buckets(self) -> list[str]:
        """The buckets of all collections, sorted."""
        return sorted({pattern.bucket for pattern in self.patterns})

    def collection_of(self, bucket: str, key: str) -> Collection | None:
        """The collection that a key of a bucket belongs to; None outside all collections and below the root.

        Also None if the id is too long for the keys of its manifest: see ``check_id``.
        """
        return _with_short_id(self._containing(bucket, key))

    def contains(self, collection: Collection, key: str) -> bool:
        """Whether a key of the collection's bucket belongs to the collection."""
        return self.collection_of(collection.bucket, key) == collection

    def is_nested(self, collection: Collection) -> bool:
        """Whether keys below the collection's prefix may belong to another collection."""
        others = (pattern.before for pattern in self._of(collection.bucket) if pattern.kind != collection.kind)
        return any(other.startswith(collection.prefix) or collection.prefix.startswith(other) for other in others)

    def own_keys(self, collection: Collection, keys: Iterable[str]) -> list[str]:
        """The keys below the collection's prefix, without nested collections' keys and the prefix itself."""
        if self.is_nested(collection):
            return [key for key in keys if self.contains(collection, key)]
        return [key for key in keys if key != collection.prefix]

    def lookup(self, kind: str, collection_id: str) -> Collection | None:
        """The collection with this kind and id; None if the kind is unknown or the id is impossible."""
        return _with_short_id(self._named(kind, collection_id))

    def id_prefix(self, collection: Collection) -> str:
        """The start of its keys up to and including the id, without the rest of the pattern."""
        return next(pattern.before for pattern in self.patterns if pattern.kind == collection.kind) + collection.id

    def check_id(self, kind: str, collection_id: str) -> None:
        """Raises ``IdTooLong`` if the id is valid except for its length."""
        _check_length(self._named(kind, collection_id))

    def check_key(self, bucket: str, key: str) -> None:
        """Raises ``IdTooLong`` if the key is in no collection only because the id in it is too long."""
        _check_length(self._containing(bucket, key))

    def notification_prefixes(self, bucket: str) -> list[str]:
        """The prefixes of a bucket to subscribe to: each key of its collections is below exactly one of them.

        S3 rejects overlapping prefixes in notification configurations for the same event, so
        a prefix below another prefix is left out.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
        """
        prefixes = sorted({pattern.before for pattern in self._of(bucket)})
        return [p for p in prefixes if not any(p != q and p.startswith(q) for q in prefixes)]

    def _of(self, bucket: str) -> Iterator[Pattern]:
        return (pattern for pattern in self.patterns if pattern.bucket == bucket)

    def _containing(self, bucket: str, key: str) -> Collection | None:
        """As ``collection_of``, with an id of any length."""
        if key.startswith(self.root):
            return None
        ids = ((pattern, pattern.id_of(key)) for pattern in self._of(bucket))
        return next((pattern.collection(id_, self.root) for pattern, id_ in ids if id_ is not None), None)

    def _named(self, kind: str, collection_id: str) -> Collection | None:
        """As ``lookup``, with an id of any length."""
        if not collection_id or "/" in collection_id:
            return None
        patterns = (pattern for pattern in self.patterns if pattern.kind == kind)
        return next((pattern.collection(collection_id, self.root) for pattern in patterns), None)


def _with_short_id(collection: Collection | None) -> Collection | None:
    return collection if collection and collection.excess_bytes <= 0 else None


def _check_length(collection: Collection | None) -> None:
    if collection and (excess := collection.excess_bytes) > 0:
        size = len(collection.id.encode(errors="replace"))
        raise IdTooLong(
            f"the id of this {collection.kind} has {size} bytes; the limit is {size - excess}, because S3 allows keys"
            f" of at most {MAX_KEY_BYTES} bytes for its manifest. Use a shorter id."
        )


def parse_collections(text: str, root: str, bucket: str) -> Collections:
    """Parses a comma-separated list of ``kind=prefix/{kind_id}/`` and ``kind=s3://bucket/prefix/{kind_id}/`` patterns.

    ``root`` is the prefix of all manifests; ``bucket`` is that of the patterns that name none. Raises
    ``InvalidCollections``.
    """
    if not root.endswith("/") or root.startswith("/"):
        raise InvalidCollections(f"manifest root {root!r}: must have the form 'name/', for example '_manifests/'")
    patterns = [_parse_pattern(part.strip(), bucket) for part in text.split(",") if part.strip()]
    if not patterns:
        raise InvalidCollections("no collections: write at least one, for example 'style=styles/{style_id}/'")
    if clash := next(_clashes(patterns, root), None):
        raise InvalidCollections(clash)
    return Collections(patterns, root)


def _parse_pattern(text: str, bucket: str) -> Pattern:
    kind, equals, place = text.partition("=")
    if not equals or not _NAME.fullmatch(kind):
        raise InvalidCollections(
            f"collection {text!r}: write 'kind=prefix/{{kind_id}}/', with a kind of lower-case letters, digits and '_'"
        )
    prefix = place
    if place.startswith("s3://"):
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise InvalidCollections(
                f"collection {text!r}: {bucket!r} is not the name of a bucket; write 's3://bucket/prefix/{{kind_id}}/'"
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
    return Pattern(kind, before, after, bucket)


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
            if (pattern.bucket, pattern.before, pattern.after) == (other.bucket, other.before, other.after):
                yield f"collections {other.kind!r} and {pattern.kind!r} have the same prefix: remove one of them"


class Location(NamedTuple):
    """The endpoint or AWS region of a deployment's buckets, for URLs.

    ``suffix`` is the partition's domain (``amazonaws.com``, ``amazonaws.com.cn``), CloudFormation's ``AWS::URLSuffix``.
    """

    region: str
    suffix: str = "amazonaws.com"
    endpoint: str | None = None


def object_url(location: Location, bucket: str, key: str) -> str:
    """The unsigned https URL of a key of a bucket.

    A bucket name with dots does not match S3's wildcard certificate, so it goes into the path.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    path = quote(key, safe="/~")
    if location.endpoint:
        return f"{location.endpoint.rstrip('/')}/{bucket}/{path}"
    if "." in bucket:
        return f"https://s3.{location.region}.{location.suffix}/{bucket}/{path}"
    return f"https://{bucket}.s3.{location.region}.{location.suffix}/{path}"
