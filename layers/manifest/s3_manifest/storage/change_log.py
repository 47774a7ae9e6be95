"""The chain of change records, derived from their names alone.

``changes/<revision, 12 digits>-<commit>-<previous>.json``: no ``<previous>`` names the record of a lost commit, so the
chain is known without reading a record.
"""

import re
from collections.abc import Container, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from s3_manifest.manifest.changes import ChangeRecord
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Head
from s3_manifest.storage.store import Store

FIRST, REPAIRED = "first", "repaired"
"""``<previous>`` in a record that follows no commit: a manifest's first, and a repair's, whose changes are unknown."""

_NAME = re.compile(r"([0-9]{12})-([^-/]+)-([^-/]+)\.json")


class RecordName(NamedTuple):
    """What the name of a change record holds."""

    revision: int
    commit: str
    previous: str


def record_key(collection: Collection, record: ChangeRecord | RecordName) -> str:
    """The key of a change record."""
    return f"{collection.changes_folder}{record.revision:012d}-{record.commit}-{record.previous}.json"


def listing_start(collection: Collection, revision: int) -> str:
    """Where to start a listing of the records after a revision."""
    return f"{collection.changes_folder}{revision + 1:012d}"


def parse_names(keys: Iterable[str]) -> list[RecordName]:
    """The change records among the keys, in the order of the keys."""
    matches = (_NAME.fullmatch(key.rpartition("/")[2]) for key in keys)
    return [RecordName(int(match[1]), match[2], match[3]) for match in matches if match]


def follow_chain(names: Sequence[RecordName], head: Head) -> list[RecordName]:
    """The records of the commits that led to ``head``, in order of revision.

    ``names`` are sorted and hold all records of a range of revisions, listed after the head was read. Only the head
    identifies the record of the range's last revision: if the head is at a later one, that record is left out.
    """
    chain: list[RecordName] = []
    expected, commits = head.revision, {head.last_change}
    descending = (name for name in reversed(names) if name.revision <= head.revision)
    for revision, group in groupby(descending, key=lambda name: name.revision):
        rivals = list(group)
        # From the head down: an earlier manifest and lost commits may have left records of the same revisions.
        links = [name for name in rivals if name.commit in commits] if revision == expected else []
        chain += links
        expected, commits = revision - 1, {name.previous for name in links or rivals}
    return chain[::-1]


def highest_revision(store: Store, collection: Collection, void: Container[str] = ()) -> int:
    """The highest revision of all change records; 0 if there are none.

    Records of ``void`` commits, which were lost, do not count. Makes listings of one key each; their number grows with
    the logarithm of the revision.
    """

    def next_after(revision: int) -> int | None:
        after = listing_start(collection, revision)
        while keys := store.list(collection.changes_folder, after=after, limit=1).keys:
            if names := [name for name in parse_names(keys) if name.commit not in void]:
                return names[0].revision
            after = keys[-1]  # a void commit, or not a change record
        return None

    known, step, bound = 0, 1, None
    while bound is None or known + 1 < bound:
        probe = known + step if bound is None else (known + bound) // 2
        revision = next_after(probe - 1)
        if revision is None:
            bound = probe
        else:
            known, step = revision, step * 2
    return known
