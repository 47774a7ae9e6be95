"""What happens to the buckets in one run, apart from what this program does: uploads, deletions, the subscription."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from s3_manifest.manifest.collections import Collection, parse_collections
from s3_manifest.storage.memory import MemoryStore

ROOT = "_manifests/"
BUCKETS = ("images", "assets")
# The same prefix in both buckets: only the bucket distinguishes their keys.
COLLECTIONS = parse_collections(
    "style=s3://images/media/{style_id}/,actor=s3://assets/media/{actor_id}/", ROOT, BUCKETS[0]
)


class Place(NamedTuple):
    """A key in a bucket."""

    bucket: str
    key: str


class Change(NamedTuple):
    """An upload, or a deletion (``body`` None); ``facts`` are fields of ``Present``."""

    place: Place
    body: bytes | None = None
    facts: Mapping[str, Any] = {}

    def apply(self, truths: Mapping[str, MemoryStore]) -> None:
        """Does it again, with the same ETag and time."""
        truth = truths[self.place.bucket]
        if self.body is None:
            truth.remove(self.place.key)
        else:
            truth.upload(self.place.key, self.body, **self.facts)


@dataclass
class History:
    """The changes of one run, in order, and where they happen.

    ``subscriptions`` has the record of each bucket. ``inline`` is how many entries a head may hold, which a manifest
    shows; a run that repeats the history draws everything else anew.
    """

    collections: tuple[Collection, ...]
    names: tuple[str, ...]
    inline: int
    before_subscription: list[Change] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    subscriptions: dict[str, bytes] = field(default_factory=dict)

    @property
    def buckets(self) -> list[str]:
        """The buckets of its collections."""
        return sorted({collection.bucket for collection in self.collections})
