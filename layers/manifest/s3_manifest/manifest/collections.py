"""Which collection a key belongs to, from patterns such as ``style=styles/{style_id}/``."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote

MAX_KEY_BYTES = 1024
"""S3's own limit: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

MAX_BELOW_FOLDER_BYTES = 91
"""The longest name, below a collection's folder, of anything that is kept of it: that of a change record.

``changes/<12 digits>-<32>-<32>.json``. Those of pages, checkpoints, copies, releases and heads set aside are shorter.
"""

DEFAULT_COLLECTIONS = "style=styles/{style_id}/,actor=system_actors/training_data/{actor_id}/"
DEFAULT_ROOT = "_manifests/"
"""The template's defaults of its parameters ``Collections`` and ``ManifestRoot``."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class InvalidCollections(ValueError):
    """The collections setting is wrong; the text says which part, and what to write instead."""


class IdTooLong(ValueError):
    """An id by which some object of the collection's manifest would have a longer key than S3 allows."""


class Collection(NamedTuple):
    """The objects under one prefix that share one manifest."""

    kind: str
    id: str
    prefix: str
    root: str

    @property
    def folder(self) -> str:
        """Where all that is kept of it is: below the root, at the collection's own prefix."""
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
        """The prefix of the collection with that id."""
        return f"{self.before}{collection_id}{self.after}"

    def id_of(self, key: str) -> str | None:
        """The id of the collection of this kind that holds ``key``; None where there is none."""
        if not key.startswith(self.before):
            return None
        collection_id, slash, rest = key[len(self.before) :].partition("/")
        filename = (slash + rest).removeprefix(self.after)
        if not collection_id or not filename or len(filename) == len(slash + rest):
            return None
        return collection_id


class Collections:
    """Every kind of collection of one bucket, and where their manifests are kept.

    Patterns may nest (``styles/{style_id}/`` and ``styles/drafts/{draft_id}/``): a key then belongs
    to the deepest collection that holds it, and to no other.
    """

    def __init__(self, patterns: Iterable[Pattern], root: str) -> None:
        self.root = root
        # Deepest first, so that the first match is the one a key belongs to.
        self.patterns = tuple(sorted(patterns, key=_depth, reverse=True))

    def collection_of(self, key: str) -> Collection | None:
        """The collection that ``key`` belongs to: None outside of all, and under the root.

        None too where the id is so long that S3 could not hold all objects of its manifest: see ``check_id``.
        """
        if key.startswith(self.root):
            return None
        for pattern in self.patterns:
            if (collection_id := pattern.id_of(key)) is not None:
                return self._collection(pattern, collection_id)
        return None

    def is_nested(self, collection: Collection) -> bool:
        """Whether keys below the collection's prefix may belong to another collection."""
        others = (pattern for pattern in self.patterns if pattern.kind != collection.kind)
        return any(o.before.startswith(collection.prefix) or collection.prefix.startswith(o.before) for o in others)

    def own_keys(self, collection: Collection, keys: Iterable[str]) -> list[str]:
        """Those of the keys below the collection's prefix that are not a nested collection's, nor its folder."""
        if self.is_nested(collection):
            return [key for key in keys if self.collection_of(key) == collection]
        return [key for key in keys if key != collection.prefix]

    def lookup(self, kind: str, collection_id: str) -> Collection | None:
        """The collection of that kind and id; None where there is no such kind, or the id can't be."""
        if not collection_id or "/" in collection_id:
            return None
        for pattern in self.patterns:
            if pattern.kind == kind:
                return self._collection(pattern, collection_id)
        return None

    def id_prefix(self, collection: Collection) -> str:
        """What its keys begin with up to the end of its id, without what a pattern has after that."""
        return next(one.before for one in self.patterns if one.kind == collection.kind) + collection.id

    def check_id(self, kind: str, collection_id: str) -> None:
        """Raises ``IdTooLong`` for an id that only its length keeps from being a collection's."""
        if not collection_id or "/" in collection_id:
            return
        for pattern in self.patterns:
            if pattern.kind == kind and not _fits(found := self._made(pattern, collection_id)):
                size = len(collection_id.encode(errors="replace"))
                most = MAX_KEY_BYTES - MAX_BELOW_FOLDER_BYTES - len(found.folder.encode(errors="replace")) + size
                raise IdTooLong(
                    f"the id of this {kind} has {size} bytes, and may have {most}: keys of its manifest would be longer"
                    f" than the {MAX_KEY_BYTES} bytes that S3 allows"
                )

    def check_key(self, key: str) -> None:
        """Raises ``IdTooLong`` for a key that would belong to a collection, if that had a shorter id."""
        if key.startswith(self.root):
            return
        for pattern in self.patterns:
            if (collection_id := pattern.id_of(key)) is not None:
                self.check_id(pattern.kind, collection_id)
                return

    def notification_prefixes(self) -> list[str]:
        """The prefixes to be told about: each key of a collection is below exactly one of them.

        S3 refuses two notification configurations with overlapping prefixes for the same event, so
        a prefix below another one is left out.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
        """
        prefixes = sorted({pattern.before for pattern in self.patterns})
        return [p for p in prefixes if not any(p != q and p.startswith(q) for q in prefixes)]

    def _collection(self, pattern: Pattern, collection_id: str) -> Collection | None:
        found = self._made(pattern, collection_id)
        return found if _fits(found) else None

    def _made(self, pattern: Pattern, collection_id: str) -> Collection:
        return Collection(pattern.kind, collection_id, pattern.prefix(collection_id), self.root)


def _fits(collection: Collection) -> bool:
    """Whether S3 takes the longest key that is ever made for the collection; no lone surrogate fits."""
    return len(collection.folder.encode(errors="replace")) + MAX_BELOW_FOLDER_BYTES <= MAX_KEY_BYTES


def parse_collections(text: str, root: str) -> Collections:
    """Collections from a comma-separated list of ``kind=prefix/{kind_id}/`` patterns.

    ``root`` is the prefix of all manifests. Raises ``InvalidCollections``.
    """
    if not root.endswith("/") or root.startswith("/"):
        raise InvalidCollections(f"manifest root {root!r}: write it as 'name/', such as '_manifests/'")
    patterns = [_parse_pattern(part.strip()) for part in text.split(",") if part.strip()]
    if not patterns:
        raise InvalidCollections("no collections: write at least one, such as 'style=styles/{style_id}/'")
    for problem in _clashes(patterns, root):
        raise InvalidCollections(problem)
    return Collections(patterns, root)


def _parse_pattern(text: str) -> Pattern:
    kind, equals, prefix = text.partition("=")
    if not equals or not _NAME.fullmatch(kind):
        raise InvalidCollections(
            f"collection {text!r}: write 'kind=prefix/{{kind_id}}/', the kind in lower-case letters, digits and '_'"
        )
    placeholder = f"{{{kind}_id}}"
    before, found, after = prefix.partition(placeholder)
    if not found or "{" in before + after or "}" in before + after:
        raise InvalidCollections(f"collection {text!r}: its prefix must hold {placeholder}, once, and no other")
    if not before.endswith("/") or before.startswith("/") or not after.startswith("/"):
        raise InvalidCollections(
            f"collection {text!r}: {placeholder} must be a whole path segment below a fixed prefix,"
            f" as in '{kind}=some/prefix/{placeholder}/'"
        )
    if not after.endswith("/"):
        raise InvalidCollections(f"collection {text!r}: its prefix must end in '/'")
    return Pattern(kind, before, after)


def _clashes(patterns: list[Pattern], root: str) -> Iterator[str]:
    for index, one in enumerate(patterns):
        if one.before.startswith(root) or root.startswith(one.before):
            yield (
                f"collection {one.kind!r} ({one.before}…) and the manifest root {root!r} overlap:"
                " each manifest would be reported as a change of its own collection; choose another root"
            )
        for other in patterns[:index]:
            if one.kind == other.kind:
                yield f"two collections are named {one.kind!r}: give each kind a name of its own"
            if (one.before, one.after) == (other.before, other.after):
                yield f"collections {other.kind!r} and {one.kind!r} have the same prefix: keep one of them"


def _depth(pattern: Pattern) -> tuple[int, str]:
    # Of patterns as deep as each other, the longer fixed part is the more exact one.
    return pattern.prefix("").count("/"), pattern.before


class Location(NamedTuple):
    """Where a bucket is, as far as a URL needs it: an endpoint of its own, or a region of AWS.

    ``suffix`` is the partition's (``amazonaws.com``, ``amazonaws.com.cn``); CloudFormation knows it
    as ``AWS::URLSuffix``.
    """

    bucket: str
    region: str
    suffix: str = "amazonaws.com"
    endpoint: str | None = None


def object_url(location: Location, key: str) -> str:
    """The https URL of a key, without a signature.

    A bucket name with dots does not match S3's wildcard certificate, so it goes into the path.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    bucket, path = location.bucket, quote(key, safe="/~")
    if location.endpoint:
        return f"{location.endpoint.rstrip('/')}/{bucket}/{path}"
    if "." in bucket:
        return f"https://s3.{location.region}.{location.suffix}/{bucket}/{path}"
    return f"https://{bucket}.s3.{location.region}.{location.suffix}/{path}"
