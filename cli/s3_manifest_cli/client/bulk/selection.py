"""Selects collections by patterns such as ``actor/*``, with as few requests as possible."""

import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection, Pattern
from s3_manifest_cli.client.access.threads import parallel_map
from s3_manifest_cli.client.bulk.patterns import EVERY_COLLECTION, is_pattern
from s3_manifest_cli.client.manifests.deployment import Deployment, ListedEtags
from s3_manifest_cli.client.manifests.manifests import ListedHead
from s3_manifest_cli.errors import Invalid, S3ManifestError


class SelectionFailure(NamedTuple):
    """A name or a pattern whose collections could not be found, or not all of them."""

    name: str
    error: S3ManifestError


class Selection(NamedTuple):
    """The selected collections, by kind and id.

    ``deployment`` has the ETags of the listed manifests, so that reading an unchanged one takes no request. Each counts
    once, for a minute. ``unconfirmed`` are those that a pattern matches although their manifest may be gone.
    """

    deployment: Deployment
    collections: list[Collection]
    failures: list[SelectionFailure]
    unconfirmed: frozenset[Collection] = frozenset()


def select(deployment: Deployment, names: Iterable[str]) -> Selection:
    """The collections of these names and patterns, each once.

    A name is one that ``Deployment.collection`` takes. In a pattern, ``KIND/ID`` or ``s3://BUCKET/PREFIX/``, ``*``,
    ``?`` and ``[…]`` match within a path segment; it selects collections that have a manifest. A name that there cannot
    be, or a bucket that cannot be listed, is one of the ``failures``. Raises ``Invalid`` for a pattern that matches
    nothing.
    """

    def named_by(name: str) -> Collection | S3ManifestError:
        try:
            return deployment.collection(name)
        except S3ManifestError as error:
            return error

    listing = _Listing(deployment)
    matched: dict[Collection, str | None] = {}
    failures: dict[str, S3ManifestError] = {}
    distinct = list(dict.fromkeys(names))
    for pattern in filter(is_pattern, distinct):
        heads, failed = listing.match(pattern)
        if not heads and not failed:
            raise _no_match(deployment, pattern)
        matched |= {head.collection: head.etag for head in heads}
        failures |= failed
    single = [name for name in distinct if not is_pattern(name)]
    found = dict(zip(single, parallel_map(named_by, single), strict=True))  # the number of an actor takes requests
    failures |= {name: error for name, error in found.items() if isinstance(error, S3ManifestError)}
    named = {collection for collection in found.values() if isinstance(collection, Collection)}
    etags = {collection: etag for collection, etag in matched.items() if etag}
    return Selection(
        deployment._replace(listed=ListedEtags(etags, listing.began)),
        sorted(named | matched.keys(), key=lambda collection: (collection.kind, collection.id)),
        [SelectionFailure(name, error) for name, error in failures.items()],
        frozenset(matched.keys() - named - etags.keys()),
    )


def all_of(kind: str, bucket: str) -> str:
    """The name of all collections of a kind, for a failure; ``bucket`` is empty if it is unknown."""
    return f"{kind}/* in bucket {bucket}" if bucket else f"{kind}/*"


class _Listing:
    """The manifests of each kind, listed at most once."""

    def __init__(self, deployment: Deployment) -> None:
        self.began = time.monotonic()
        self._deployment = deployment
        self._heads: dict[str, list[ListedHead] | S3ManifestError] = {}

    def match(self, pattern: str) -> tuple[list[ListedHead], dict[str, S3ManifestError]]:
        """The manifests of the collections that match, and the kinds that cannot be listed, with the error."""
        found: list[ListedHead] = []
        failed: dict[str, S3ManifestError] = {}
        kinds = [
            kind
            for kind in sorted(self._deployment.collections.patterns)
            if any(_match(pattern, name) for name in _names(kind, None))
        ]
        self._list([kind.kind for kind in kinds])
        for kind in kinds:
            heads = self._heads[kind.kind]
            if isinstance(heads, S3ManifestError):
                failed[all_of(kind.kind, kind.bucket)] = heads
            else:
                found += (
                    head for head in heads if any(_match(pattern, name) for name in _names(kind, head.collection.id))
                )
        return found, failed

    def _list(self, kinds: list[str]) -> None:
        if unlisted := [kind for kind in kinds if kind not in self._heads]:
            self._heads |= self._deployment.manifests.list_heads(unlisted)


_Segments = list[str | None]


def _names(kind: Pattern, collection_id: str | None) -> Iterator[_Segments]:
    """The path segments of both names of a collection; None for an id or a bucket that is not known."""
    yield [kind.kind, collection_id]
    before, after = kind.before.removesuffix("/").split("/"), kind.after.split("/")[1:]
    yield ["s3:", "", kind.bucket or None, *before, collection_id, *after]


def _match(pattern: str, segments: _Segments) -> bool:
    parts = pattern.split("/")
    return len(parts) == len(segments) and all(
        segment is None or fnmatchcase(segment, part) for part, segment in zip(parts, segments, strict=True)
    )


def _no_match(deployment: Deployment, pattern: str) -> Invalid:
    if pattern == EVERY_COLLECTION:
        return Invalid(
            "There is no collection that has a manifest.", remedy="Name new collections one by one, or with --from."
        )
    kinds = " or ".join(f"'{kind.kind}/*'" for kind in sorted(deployment.collections.patterns))
    return Invalid(
        f"{pattern!r} matches no collection that has a manifest.",
        remedy=f"Write a pattern such as {kinds}. 's3-manifest ls' lists them; name new ones with --from.",
    )
