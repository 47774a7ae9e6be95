"""Sorted runs of entries: the entries of a small manifest, or a page of a large one.

A page is JSON with one entry on each line, so that unchanged entries are copied into a new page or a
response as bytes, without decoding. That is safe because every read of a page verifies the SHA-256 in
its reference, in about 1 ms for 2,000 entries.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from s3_manifest.manifest import digests
from s3_manifest.manifest.model import SCHEMA, Entry, PageRef, Role, Sha256, Timestamp, UnreadableManifest

_HEADER = b'{"schema":%d,"files":[\n' % SCHEMA
_SEPARATOR = b",\n"
_FOOTER = b"\n]}"
_PROBLEM = b'"problem":'
_FIELDS = {name for name, field in Entry.model_fields.items() if field.is_required()}


class Row(NamedTuple):
    """An entry as JSON on one line, with its most used fields."""

    filename: str
    last_modified: Timestamp
    role: Role
    line: bytes


class Totals(NamedTuple):
    """The number and bytes of a run's files, and the digest of all its entries."""

    files: int = 0
    size_bytes: int = 0
    digest: int = 0


class Run:
    """Entries sorted by unique filename, each decoded on access. Immutable."""

    def __init__(self, items: Sequence[Entry | bytes] = (), source: str = "") -> None:
        self._items = items
        self._source = source
        self._names: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._items)

    @property
    def first(self) -> str:
        """The first filename. Raises ``IndexError`` on an empty run."""
        return self._name(0)

    @property
    def last(self) -> str:
        """The last filename. Raises ``IndexError`` on an empty run."""
        return self._name(len(self) - 1)

    def find(self, filename: str) -> Entry | None:
        """The entry with this filename, or None."""
        index = self._index(filename)
        return self._entry(self._items[index]) if self._is_at(filename, index) else None

    def starting_at(self, filename: str) -> "Run":
        """The entries from this filename on."""
        return Run(self._items[self._index(filename) :], self._source) if filename else self

    def rows(self) -> Iterator[Row]:
        """All entries as rows."""
        for item in self._items:
            if isinstance(item, Entry):
                yield Row(item.filename, item.last_modified, item.role, _line(item))
            else:
                fields = self._json(item)
                yield Row(fields["filename"], fields["last_modified"], _role(fields), item)

    def entries(self) -> Iterator[Entry]:
        """All entries."""
        return map(self._entry, self._items)

    def lines(self) -> Iterator[bytes]:
        """All entries, each as JSON on one line."""
        return (_line(item) for item in self._items)

    def with_changes(self, changes: Mapping[str, Entry | None]) -> "Run":
        """The run with these entries, by filename, inserted, replaced or removed (None)."""
        items, result, start = self._items, list[Entry | bytes](), 0
        for filename in sorted(changes):
            index = self._index(filename, start)
            result += items[start:index]
            start = index + self._is_at(filename, index)
            if (entry := changes[filename]) is not None:
                result.append(entry)
        return Run([*result, *items[start:]], self._source)

    def _index(self, filename: str, start: int = 0) -> int:
        """The index of the entry with this filename, or where to insert it."""
        return bisect_left(range(len(self)), filename, lo=start, key=self._name)

    def _is_at(self, filename: str, index: int) -> bool:
        return index < len(self) and self._name(index) == filename

    def _name(self, index: int) -> str:
        # Cached: repeated searches read the names in the middle again and again.
        if index not in self._names:
            item = self._items[index]
            self._names[index] = item.filename if isinstance(item, Entry) else self._json(item)["filename"]
        return self._names[index]

    def _entry(self, item: Entry | bytes) -> Entry:
        if isinstance(item, Entry):
            return item
        try:
            return Entry.model_validate_json(item)
        except ValidationError as error:
            raise self._broken(item, error.errors()[0]["msg"]) from error

    def _json(self, line: bytes) -> dict[str, Any]:
        try:
            fields = from_json(line)
        except ValueError as error:
            raise self._broken(line, str(error)) from error
        if not isinstance(fields, dict) or not fields.keys() >= _FIELDS:
            raise self._broken(line, "a field is missing")
        return fields

    def _broken(self, line: bytes, reason: str) -> UnreadableManifest:
        return UnreadableManifest(f"{self._source}: an entry is broken: {reason}: {line[:200]!r}")

    def concat(self, following: "Run") -> "Run":
        """This run followed by another."""
        return Run([*self._items, *following.items()])

    def items(self) -> Iterator[Entry | bytes]:
        """All entries; those not decoded are JSON on one line."""
        return iter(self._items)

    @cached_property
    def page(self) -> bytes:
        """The bytes of a page with this run."""
        return _HEADER + _SEPARATOR.join(self.lines()) + _FOOTER

    def page_ref(self, key: str, totals: Totals | None = None) -> PageRef:
        """The reference to a page with this run, which must not be empty.

        Without ``totals``, all entries are decoded to compute them.
        """
        files, size_bytes, digest = totals or self._totals()
        return PageRef(
            key=key,
            first=self.first,
            last=self.last,
            total_files=files,
            total_size_bytes=size_bytes,
            unlisted=len(self) - files,
            problems=self._count_problems(),
            digest=digests.to_hex(digest),
            sha256=sha256_hex(self.page),
        )

    def _totals(self) -> Totals:
        entries = [item.model_dump() if isinstance(item, Entry) else self._json(item) for item in self._items]
        sizes = [entry["size_bytes"] for entry in entries if _role(entry) == "files"]
        return Totals(len(sizes), sum(sizes), digests.combine(map(digests.json_digest, entries)))

    def _count_problems(self) -> int:
        """The number of entries with a problem; may count too many, because JSON is searched and not decoded."""
        return sum(
            (item.problem is not None or "problem" in item.metadata) if isinstance(item, Entry) else _PROBLEM in item
            for item in self._items
        )

    def split(self, parts: int) -> list["Run"]:
        """The run in ``parts`` runs of nearly equal length."""
        bounds = (len(self) * part // parts for part in range(parts + 1))
        return [Run(self._items[start:end]) for start, end in pairwise(bounds)]


def sha256_hex(body: bytes) -> Sha256:
    """The digest of an object's bytes in a reference."""
    return sha256(body).hexdigest()


def decode_verified_page(body: bytes, ref: PageRef) -> Run:
    """The run in a page, verified by digest. Raises ``UnreadableManifest`` if the page does not match ``ref``.

    References by earlier versions have no SHA-256: then all entries are decoded and compared with its other fields.
    """
    if ref.sha256 is not None and sha256_hex(body) != ref.sha256:
        raise UnreadableManifest(f"{ref.key}: the content does not match the SHA-256 in the manifest")
    run = decode_page(body, ref)
    if ref.sha256 is None and not _matches(run, ref):
        raise UnreadableManifest(f"{ref.key}: the content does not match the digest in the manifest")
    return run


def decode_page(body: bytes, ref: PageRef) -> Run:
    """The run in a page, without verifying its digest: see ``decode_verified_page``.

    Raises ``UnreadableManifest`` if it is not a page, or its bounds or number of entries do not match ``ref``.
    """
    if not (body.startswith(_HEADER) and body.endswith(_FOOTER)):
        raise UnreadableManifest(f"{ref.key}: not a page that this version can read")
    run = Run(body[len(_HEADER) : -len(_FOOTER)].split(_SEPARATOR), ref.key)
    if (len(run), run.first, run.last) != (ref.total_entries, ref.first, ref.last):
        raise UnreadableManifest(f"{ref.key}: its entries do not match the reference in the manifest")
    return run


def _matches(run: Run, ref: PageRef) -> bool:
    names = [entry.filename for entry in run.entries()]
    content = run.page_ref(ref.key).model_copy(update={"sha256": None, "problems": ref.problems})
    return content == ref and all(before < after for before, after in pairwise(names))


def _role(entry: Mapping[str, Any]) -> Role:
    """``Entry.role`` of an entry as a JSON object."""
    return "captions" if entry.get("caption") is not None else "hidden" if entry.get("hidden") else "files"


def _line(item: Entry | bytes) -> bytes:
    return to_json(item) if isinstance(item, Entry) else item
