"""Checks that a decoded head or change record is consistent with itself and with its collection.

Decoding has validated each field; these checks compare fields with each other. Cheap enough for every read.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

from s3_manifest.manifest.changes import CHANGE_TYPES, ChangeRecord
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Facts, Head, Role, UnreadableManifest


def check_head(head: Head, collection: Collection) -> None:
    """Raises ``UnreadableManifest`` with the first contradiction in a head, if any."""
    _raise_first(
        chain(_check_facts(head, collection), _check_pages(head, collection), _check_entries(head, collection))
    )


def check_record(record: ChangeRecord, collection: Collection) -> None:
    """Raises ``UnreadableManifest`` with the first contradiction in a change record, if any."""
    _raise_first(chain(_check_facts(record, collection), _check_changes(record, collection)))


def _raise_first(contradictions: Iterator[str]) -> None:
    if contradiction := next(contradictions, None):
        raise UnreadableManifest(contradiction)


def _check_facts(facts: Facts, collection: Collection) -> Iterator[str]:
    if (facts.kind, facts.id, facts.s3_prefix) != (collection.kind, collection.id, collection.prefix):
        yield f"it is the manifest of {facts.kind} {facts.id} at {facts.s3_prefix}"
    if facts.first_revision > facts.revision:
        yield f"first_revision: {facts.first_revision} is later than revision {facts.revision}"
    if sum(generation.image_count for generation in facts.generations) != facts.total_files:
        yield "generations: the sum of image_count is not total_files"
    if len({(generation.generation_id, generation.type) for generation in facts.generations}) != len(facts.generations):
        yield "generations: duplicate generation"
    keys = [*(sidecar.s3_key for sidecar in facts.sidecars), *(problem.s3_key for problem in facts.problems)]
    if not all(key.startswith(collection.prefix) for key in keys):
        yield f"sidecars, problems: a key is not below {collection.prefix}"
    copies = (copy.key for sidecar in facts.sidecars for copy in sidecar.copies)
    if not all(key.startswith(collection.copies_folder) for key in copies):
        yield f"sidecars: a copy is not below {collection.copies_folder}"


def _check_pages(head: Head, collection: Collection) -> Iterator[str]:
    if not head.pages:
        return
    if not all(page.key.startswith(collection.pages_folder) for page in head.pages):
        yield f"pages: a key is not below {collection.pages_folder}"
    if len({page.key for page in head.pages}) != len(head.pages):
        yield "pages: duplicate page"
    if any(not page.total_entries or page.first > page.last for page in head.pages):
        yield "pages: a page is empty or has first > last"
    if any(before.last >= after.first for before, after in pairwise(head.pages)):
        yield "pages: pages overlap or are not sorted"
    totals = sum(page.total_files for page in head.pages), sum(page.total_size_bytes for page in head.pages)
    if totals != (head.total_files, head.total_size_bytes):
        yield "total_files, total_size_bytes: do not match the pages"


def _check_entries(head: Head, collection: Collection) -> Iterator[str]:
    if head.pages:
        return
    totals = len(head.files), sum(entry.size_bytes for entry in head.files)
    if totals != (head.total_files, head.total_size_bytes):
        yield "total_files, total_size_bytes: do not match the files"
    lists: dict[Role, Sequence[Entry]] = {"files": head.files, "captions": head.captions, "hidden": head.hidden}
    for role, entries in lists.items():
        yield from _check_list(role, entries, collection.prefix)
    if head.captions or head.hidden:
        names = [entry.filename for entries in lists.values() for entry in entries]
        if len(set(names)) != len(names):
            yield "files, captions, hidden: a filename is in two lists"


def _check_list(role: Role, entries: Sequence[Entry], prefix: str) -> Iterator[str]:
    for before, after in pairwise(entry.filename for entry in entries):
        if before >= after:
            yield f"{after!r} comes after {before!r}: filenames must be sorted and unique"
    for entry in entries:
        if entry.s3_key != prefix + entry.filename:
            yield f"{entry.filename!r}: its s3_key is not {prefix}{entry.filename}"
    if any(entry.role != role for entry in entries):
        yield f"{role}: an entry belongs to another list"


def _check_changes(record: ChangeRecord, collection: Collection) -> Iterator[str]:
    for change_type in CHANGE_TYPES:
        for change in getattr(record, change_type):
            if change.change_type != change_type:
                yield f"{change_type}: {change.filename} belongs to another list"
            for entry in (change.before, change.after):
                if entry and (entry.filename != change.filename or entry.s3_key != collection.prefix + entry.filename):
                    yield f"{change_type}: an entry of {change.filename} has another filename or key"
