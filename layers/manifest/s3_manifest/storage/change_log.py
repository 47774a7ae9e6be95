"""The chain of change records, read off their names alone.

``changes/<revision, 12 digits>-<commit>-<previous>.json``: a commit that is lost leaves a record that
nobody's ``<previous>`` names, so what is on the chain is known without opening a record.
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
"""What stands for the commit before in a change record that follows on none: the first of a manifest, and that of a
repair, of which nobody knows what it altered."""

_NAME = re.compile(r"([0-9]{12})-([^-/]+)-([^-/]+)\.json")


class RecordName(NamedTuple):
    """A change record, as far as its name tells."""

    revision: int
    commit: str
    previous: str


def folder(collection: Collection) -> str:
    """Where the collection's change records are."""
    return f"{collection.folder}changes/"


def record_key(collection: Collection, record: ChangeRecord | RecordName) -> str:
    """The key of a change record."""
    return f"{folder(collection)}{record.revision:012d}-{record.commit}-{record.previous}.json"


def listing_start(collection: Collection, revision: int) -> str:
    """The place in a listing before the first record of a later revision."""
    return f"{folder(collection)}{revision + 1:012d}"


def parse_names(keys: Iterable[str]) -> list[RecordName]:
    """The change records among the keys, in the order of the keys."""
    found = (_NAME.fullmatch(key.rpartition("/")[2]) for key in keys)
    return [RecordName(int(name[1]), name[2], name[3]) for name in found if name]


def follow_chain(names: Sequence[RecordName], head: Head) -> list[RecordName]:
    """Those of the records that a head came to be by, in order of revision.

    ``names`` are sorted, and hold all records of some run of revisions, listed after the head was
    read. A record of the run's last revision is told by the head only: it is left out if the head is
    at a later one.
    """
    found: list[RecordName] = []
    expected, named = head.revision, {head.last_change}
    known = (name for name in reversed(names) if name.revision <= head.revision)
    for revision, group in groupby(known, key=lambda name: name.revision):
        rivals = list(group)
        # From the head down: an earlier manifest, or commits that were lost, may have records of the same revisions.
        kept = [link for link in rivals if link.commit in named] if revision == expected else []
        found += kept
        expected, named = revision - 1, {link.previous for link in kept or rivals}
    return found[::-1]


def highest_revision(store: Store, collection: Collection, void: Container[str] = ()) -> int:
    """The highest revision of any change record there is; 0 where there is none.

    Records of ``void`` commits, which are known to have been lost, do not count. A few listings of one key each,
    their number the logarithm of that of the revisions.
    """

    def next_after(revision: int) -> int | None:
        after = listing_start(collection, revision)
        while keys := store.list(folder(collection), after=after, limit=1).keys:
            if found := [link for link in parse_names(keys) if link.commit not in void]:
                return found[0].revision
            after = keys[-1]  # no record: somebody else's
        return None

    known, step, bound = 0, 1, None
    while bound is None or known + 1 < bound:
        probe = known + step if bound is None else (known + bound) // 2
        found = next_after(probe - 1)
        if found is None:
            bound = probe
        else:
            known, step = found, step * 2
    return known
