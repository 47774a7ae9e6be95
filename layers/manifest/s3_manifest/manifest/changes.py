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
"""How a change affects the manifest's files: the name of its list in a change record."""


class FileChange(Strict):
    """One object's change in one revision; ``before`` is None for a new object, ``after`` for a deleted one.

    ``cause`` is the name of the S3 event that reported the key, or ``sweep``.
    """

    filename: str
    cause: str
    before: Entry | None
    after: Entry | None

    @property
    def change_type(self) -> ChangeType:
        """The effect on the manifest's files; ``unlisted`` if neither ``before`` nor ``after`` is a file."""
        file_before, file_after = (entry is not None and entry.is_file for entry in (self.before, self.after))
        if file_before:
            return "modified" if file_after else "removed"
        return "added" if file_after else "unlisted"


class ChangeRecord(Facts):
    """The files that one revision added, modified and removed, and the collection's facts at that revision.

    ``previous`` is the ``commit`` of the previous revision, or ``first``. Hiding a file lists it as ``removed``;
    ``unlisted`` has changes of captions and of files that stay hidden. ``checkpoint`` is the SHA-256 of the
    checkpoint written with this revision, if any.
    """

    previous: str
    checkpoint: Sha256 | None = None
    added: Tuple[FileChange]
    modified: Tuple[FileChange] = Field(validation_alias=AliasChoices("modified", "altered"))
    removed: Tuple[FileChange]
    unlisted: Tuple[FileChange] = ()

    def file_changes(self) -> Iterator[FileChange]:
        """All changes."""
        return chain(self.added, self.modified, self.removed, self.unlisted)


def encode_record(record: ChangeRecord) -> bytes:
    """The canonical JSON, UTF-8, on one line. Its last field is the SHA-256 of all bytes before that field.

    The head refers to the last record only, so each record carries its own digest.
    """
    lists = {change_type: getattr(record, change_type) for change_type in CHANGE_TYPES}
    checkpoint = {"checkpoint": record.checkpoint} if record.checkpoint else {}
    body = json_bytes(facts_json(record) | {"previous": record.previous} | checkpoint | lists)[:-1]
    return body + b',"sha256":"%s"}' % sha256(body).hexdigest().encode()


def decode_record(body: bytes) -> ChangeRecord:
    """The change record that ``encode_record`` wrote. Raises ``UnreadableManifest``, like ``decode_head``.

    Earlier versions wrote no ``sha256``, and ``altered`` for ``modified``.
    """
    if (seal := _SEAL.search(body)) is None:
        return decode(body, ChangeRecord)  # a sha256 in any other place is an unknown field
    content = body[: seal.start()]
    if sha256(content).hexdigest().encode() != seal[1]:
        raise UnreadableManifest("sha256: does not match the record's content")
    return decode(content + b"}", ChangeRecord)
