"""Change records: what each revision altered of the manifest's files."""

from collections.abc import Iterator
from itertools import chain
from typing import Literal, get_args

from s3_manifest.encoding import decode, facts_json, json_bytes
from s3_manifest.model import Entry, Facts, Frozen

Sort = Literal["added", "altered", "removed", "unlisted"]
SORTS: tuple[Sort, ...] = get_args(Sort)
"""What an alteration is to a manifest's files, and so where it stands in a change record."""


class Alteration(Frozen):
    """What one revision altered of one object; ``before`` is None where it is new, ``after`` where it is gone.

    ``cause`` is what made us look: S3's name of the event, or ``sweep``.
    """

    filename: str
    cause: str
    before: Entry | None
    after: Entry | None

    @property
    def sort(self) -> Sort:
        """What it is to the manifest's files; ``unlisted`` if it was none of them, and is none."""
        was, is_ = (entry is not None and entry.is_file for entry in (self.before, self.after))
        return ("altered" if is_ else "removed") if was else ("added" if is_ else "unlisted")


class ChangeRecord(Facts):
    """What one revision added, altered and removed, and what the manifest said then of the collection.

    ``previous`` is the ``commit`` of the revision before, or ``first``. A file that was hidden is
    ``removed``; ``unlisted`` is what concerned captions, and files that stayed hidden.
    """

    previous: str
    added: tuple[Alteration, ...]
    altered: tuple[Alteration, ...]
    removed: tuple[Alteration, ...]
    unlisted: tuple[Alteration, ...] = ()

    def alterations(self) -> Iterator[Alteration]:
        """All of them."""
        return chain(self.added, self.altered, self.removed, self.unlisted)


def encode_record(record: ChangeRecord) -> bytes:
    """The canonical JSON, UTF-8, on one line."""
    lists = {sort: getattr(record, sort) for sort in SORTS}
    return json_bytes(facts_json(record) | {"previous": record.previous} | lists)


def decode_record(body: bytes) -> ChangeRecord:
    """The change record that ``encode_record`` wrote. Raises ``UnreadableManifest``, as ``decode_head``."""
    return decode(body, ChangeRecord)
