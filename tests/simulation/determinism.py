"""A manifest at rest is a function of its bucket: compares it with one made from scratch, and between schedules."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection, Location
from s3_manifest.manifest.encoding import json_bytes
from s3_manifest.manifest.model import Entry, Head
from s3_manifest.manifest.runs import decode_page
from s3_manifest.reconcile.commit import commit
from s3_manifest.reconcile.environment import Environment
from s3_manifest.storage import heads, subscription_record
from s3_manifest.storage.memory import EPOCH, MemoryStore
from simulation.history import COLLECTIONS, ROOT

Item = TypeVar("Item")
Result = TypeVar("Result")

# Ids, numbers and times of commits; entries and generations are compared by themselves.
_OF_COMMITS = {
    *("commit", "last_change", "revision", "first_revision", "created_at", "last_synced", "last_verified_at"),
    *("files", "captions", "hidden", "pages", "generations", "sidecars"),
}

Content = list[bytes]
"""What a manifest says, apart from ids, numbers and times of commits: JSON, line by line."""


def content(truth: MemoryStore, collection: Collection) -> Content:
    """The content of a collection's manifest; none if it has no objects, as with a manifest that does not exist.

    An undeclared generation's date is left out: it may be that of a file which was deleted again, if that was observed.
    """
    head = heads.load(truth, collection).head
    entries = _entries(truth, head) if head else []
    if head is None or not (entries or head.sidecars):
        return []
    facts = head.model_dump(exclude=_OF_COMMITS) | {"has_pages": bool(head.pages)}
    generations = (
        _without(group, "first_at", *(() if group.declared else ("generated_at",))) for group in head.generations
    )
    # The key of a copy has the id of a commit.
    sidecars = (
        {**_without(sidecar, "copies"), "copies": [_without(copy, "key") for copy in sidecar.copies]}
        for sidecar in head.sidecars
    )
    return [json_bytes(line) for line in (facts, *generations, *sidecars, *(_without(entry) for entry in entries))]


def difference(left: Content, right: Content) -> str | None:
    """The first line in which two manifests differ."""
    for first, second in zip(left, right, strict=False):
        if first != second:
            return f"{first.decode()} and {second.decode()}"
    return f"{len(left)} and {len(right)} lines" if len(left) != len(right) else None


def wrong_content(truth: MemoryStore, collection: Collection) -> str | None:
    """How a manifest at rest differs from one that is made in one commit from the objects in the bucket."""
    fresh = MemoryStore()
    for key, (present, body) in truth.objects.items():
        if key.startswith(collection.prefix) or key == subscription_record.record_key(ROOT):
            fresh.upload(body=body, **present._asdict())
    if not any(key.startswith(collection.prefix) for key in fresh.objects):
        return difference(content(truth, collection), [])
    commit(_environment(fresh, collection), collection, {})
    if different := difference(content(truth, collection), content(fresh, collection)):
        return different
    found, made = heads.load(truth, collection).head, heads.load(fresh, collection).head
    for actual, earliest in zip(found.generations, made.generations, strict=True) if found and made else ():
        if actual.generated_at > earliest.generated_at:
            return f"generation {actual} is younger than its first file, {earliest.generated_at}"
    return None


def _environment(store: MemoryStore, collection: Collection) -> Environment:
    ids = iter(range(10_000))
    return Environment(
        stores={collection.bucket: store},
        subscribed_at=lambda collection: subscription_record.subscribed_at(store, collection, {}),
        collections=COLLECTIONS,
        location=Location("us-east-1"),
        md5_max_bytes=1000,
        history_days=30,
        enqueue=lambda _jobs, delay_seconds=0: None,  # a commit of everything needs no sweep
        announce=lambda _head, _changes, repeated: None,  # nobody listens
        parallel_map=serial_map,
        now=lambda: EPOCH,
        seconds_left=lambda: 1000.0,
        sleep=lambda _seconds: None,
        random=lambda: 0.0,
        commit_id=lambda: f"{next(ids):016x}",
    )


def serial_map(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    return [work(item) for item in items]


def _entries(truth: MemoryStore, head: Head) -> list[Entry]:
    inline = [slot.run for slot in layout.head_slots(head) if isinstance(slot, layout.LoadedRun)]
    runs = [decode_page(truth.objects[page.key][1], page) for page in head.pages] or inline
    return [entry for run in runs for entry in run.entries()]


def _without(value: Any, *fields: str) -> dict[str, Any]:
    return value.model_dump(exclude=set(fields))
