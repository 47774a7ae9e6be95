"""Change records: what each revision changed in the manifest's files."""

import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import chain
from typing import Literal, get_args

from pydantic import AliasChoices, Field

from s3_manifest.manifest.encoding import decode, facts_json, json_bytes
from s3_manifest.manifest.model import Entry, Facts, Sha256, Strict, Tuple, UnreadableManifest

ChangeType = Literal["added", "modified", "removed", "unlisted"]
_SEAL = re.compile(rb',"sha256":"([0-9a-f]{64})"\}\Z')

CHANGE_TYPES: tuple[ChangeType, ...] = get_args(ChangeType)
"""What an alteration is to a manifest's files, and so where it stands in a change record."""


class FileChange(Strict):
    """What one revision changed in one object; ``before`` is None where it is new, ``after`` where it is gone.

    ``cause`` is what made us look: S3's name of the event, or ``sweep``.
    """

    filename: str
    cause: str
    before: Entry | None
    after: Entry | None

    @property
    def change_type(self) -> ChangeType:
        """What it is to the manifest's files; ``unlisted`` if it was none of them, and is none."""
        was, is_ = (entry is not None and entry.is_file for entry in (self.before, self.after))
        return ("modified" if is_ else "removed") if was else ("added" if is_ else "unlisted")


class ChangeRecord(Facts):
    """What one revision added, modified and removed, and what the manifest said then of the collection.

    ``previous`` is the ``commit`` of the revision before, or ``first``. A file that was hidden is
    ``removed``; ``unlisted`` is what concerned captions, and files that stayed hidden. ``checkpoint`` is the SHA-256
    of the checkpoint that was written with it, if one was.
    """

    previous: str
    checkpoint: Sha256 | None = None
    added: Tuple[FileChange]
    modified: Tuple[FileChange] = Field(validation_alias=AliasChoices("modified", "altered"))
    removed: Tuple[FileChange]
    unlisted: Tuple[FileChange] = ()

    def file_changes(self) -> Iterator[FileChange]:
        """All of them."""
        return chain(self.added, self.modified, self.removed, self.unlisted)


def encode_record(record: ChangeRecord) -> bytes:
    """The canonical JSON, UTF-8, on one line. Its last field is the SHA-256 of all bytes before that field.

    No head refers to more than the last record, so each carries the proof that it is whole itself.
    """
    lists = {sort: getattr(record, sort) for sort in CHANGE_TYPES}
    checkpoint = {"checkpoint": record.checkpoint} if record.checkpoint else {}
    body = json_bytes(facts_json(record) | {"previous": record.previous} | checkpoint | lists)[:-1]
    return body + b',"sha256":"%s"}' % sha256(body).hexdigest().encode()


def decode_record(body: bytes) -> ChangeRecord:
    """The change record that ``encode_record`` wrote. Raises ``UnreadableManifest``, as ``decode_head``.

    Earlier versions wrote no ``sha256``, and ``altered`` for ``modified``.
    """
    if (seal := _SEAL.search(body)) is None:
        return decode(body, ChangeRecord)  # with a sha256 anywhere else it has a field that is not known
    content = body[: seal.start()]
    if sha256(content).hexdigest().encode() != seal[1]:
        raise UnreadableManifest("sha256: it is not that of the record")
    return decode(content + b"}", ChangeRecord)
