"""What a reader is shown of a manifest: filtered, and in pages."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from pydantic_core import to_json

from s3_manifest.cursors import seal, unseal
from s3_manifest.model import Entry, Frozen, Head, Timestamp, head_json

MAX_ANSWER_BYTES = 5_500_000
"""The most that is put into one answer. Lambda's limit is 6 MB, envelope and escapes included.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""


class ManifestChanged(Exception):
    """The manifest is at another revision than the pages read so far."""


class AnswerTooLarge(Exception):
    """What was asked for does not fit into one answer."""


class Filter(NamedTuple):
    """Which entries to show: all whose filename begins with, or matches, and that are newer."""

    prefix: str = ""
    glob: str | None = None
    modified_after: Timestamp | None = None

    def shows(self, entry: Entry) -> bool:
        """Whether the entry passes."""
        return (
            entry.filename.startswith(self.prefix)
            and (self.glob is None or fnmatchcase(entry.filename, self.glob))
            and (self.modified_after is None or entry.last_modified > self.modified_after)
        )


class _Place(Frozen):
    revision: int
    created_at: Timestamp
    after: str


def whole(head: Head) -> bytes:
    """The canonical manifest. Raises ``AnswerTooLarge``."""
    body = to_json(head_json(head))
    if escaped_size(body) > MAX_ANSWER_BYTES:
        raise AnswerTooLarge("the manifest is too large for one answer")
    return body


def page(head: Head, wanted: Filter, limit: int, cursor: str | None) -> bytes:
    """The manifest with at most ``limit`` of its files, and the ``cursor`` of the next page.

    ``cursor`` is null on the last page. The pages of one reading are of one revision: where the
    manifest has changed in between, ``ManifestChanged`` is raised. Totals are those of the whole
    manifest, whatever is shown. Raises ``InvalidCursor``, ``AnswerTooLarge``.
    """
    after = _place(cursor, head) if cursor else None
    candidates = (e for e in head.files if (after is None or e.filename > after) and wanted.shows(e))
    rest = head_json(head.model_copy(update={"files": ()}))
    room = MAX_ANSWER_BYTES - escaped_size(to_json(rest))
    if room <= 0:
        raise AnswerTooLarge("the manifest has so many generations or sidecars that no page fits into one answer")
    shown, more = _fill(candidates, limit, room)
    place = _Place(revision=head.revision, created_at=head.created_at, after=shown[-1].filename) if more else None
    following = seal(place) if place else None
    return to_json(rest | {"files": [e.model_dump() for e in shown], "cursor": following})


def escaped_size(body: bytes) -> int:
    """The size of a text once it is a string inside Lambda's JSON answer."""
    return len(body) + body.count(b'"') + body.count(b"\\")


def _fill(entries: Iterable[Entry], limit: int, room: int) -> tuple[Sequence[Entry], bool]:
    """As many entries as the limit and the size of an answer allow, and whether there are more."""
    shown: list[Entry] = []
    size = 0
    for entry in entries:
        size += escaped_size(entry.model_dump_json().encode())
        if len(shown) == limit or (shown and size > room):
            return shown, True
        shown.append(entry)
    return shown, False


def _place(cursor: str, head: Head) -> str:
    """The filename to go on after."""
    place = unseal(cursor, _Place)
    if (place.revision, place.created_at) != (head.revision, head.created_at):
        raise ManifestChanged(f"the manifest is at revision {head.revision} now, the cursor at {place.revision}")
    return place.after
