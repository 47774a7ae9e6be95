"""Edits of a sidecar: read, change, compare-and-swap, repeat after a conflict. Concurrent edits are never lost.

Nothing here writes a manifest; the event of the write does. An edit that changes nothing writes nothing.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from s3_manifest.edits import sidecar_json
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.lenient_json import UnreadableDocument, read_json
from s3_manifest.query.change_token import ChangeToken
from s3_manifest.sidecars.content import SidecarContent
from s3_manifest.sidecars.formats import EDIT_METADATA, edit_number, max_sidecar_bytes, read_sidecar
from s3_manifest.storage.store import Archived, Conflict, OutcomeUnknown, Store, StoredObject

# Changes the fields of a sidecar; the flag is whether an earlier attempt may have been written.
Change = Callable[[dict[str, Any], bool], None]
# Names the first value that readers of these fields would not read as intended, if any. May raise ``InvalidEdit``.
Check = Callable[[dict[str, Any]], str | None]

_BACKOFF_SECONDS, _BACKOFF_CAP_SECONDS = 0.05, 1.0
# No attempt is started with less time left.
_ATTEMPT_SECONDS = 2.0


class EditFailed(Exception):
    """A sidecar was not edited, or it is unknown whether it was."""


class UnreadableSidecar(EditFailed):
    """The sidecar cannot be read, so it is not edited; the message states the reason and the remedy."""


class InvalidEdit(EditFailed, ValueError):
    """The new value would be read as a different value; nothing was written. The text names the field."""


class SidecarTooLarge(EditFailed):
    """The edited sidecar would exceed the size that is read; nothing was written."""


class TooManyConflicts(EditFailed):
    """Concurrent edits of the same sidecar won until time ran out; whether this one was made is unknown."""


class RetryPolicy(NamedTuple):
    """How long to retry after conflicts. ``random`` is uniform in [0, 1), ``now_ms`` milliseconds since 1970."""

    seconds_left: Callable[[], float]
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


class SidecarEdit(NamedTuple):
    """A sidecar that has the edit, whose number is greater than any before. 0 ``attempts``: it had these values."""

    s3_key: str
    etag: str
    edit: int
    attempts: int = 0

    @property
    def token(self) -> ChangeToken:
        """The change that a manifest has to reflect."""
        return ChangeToken(s3_key=self.s3_key, edit_number=self.edit)


@dataclass(frozen=True)
class SidecarEditor:
    """Edits the sidecars of one collection. Every method may raise ``UnreadableSidecar`` and ``StoreError``."""

    store: Store
    collection: Collection
    retry_policy: RetryPolicy

    def fields(self, name: str) -> Mapping[str, Any]:
        """The fields of a sidecar; none where it does not exist."""
        return self._read(name)[1]

    def edit(self, name: str, change: Change, check: Check | None, *, numbered: bool = True) -> SidecarEdit:
        """Changes the fields of a sidecar by compare-and-swap, and checks what readers will read.

        With ``numbered`` a sidecar that needs no change but was written by others is rewritten with an edit number, so
        that a token can refer to it. Raises ``InvalidEdit``, ``SidecarTooLarge``, ``TooManyConflicts``.
        """
        key, most = self.collection.prefix + name, max_sidecar_bytes(name)
        policy = self.retry_policy
        attempts, may_be_written = 0, False
        while True:
            stored, fields = self._read(name)
            number = (stored and edit_number(stored.metadata)) or 0
            before = _encode_stored(key, stored, fields)
            change(fields, may_be_written)
            body = encode(fields)
            if body == before and (stored is None or number or not numbered):
                return SidecarEdit(key, stored.etag if stored else "", number, attempts)
            if len(body) > most:
                raise SidecarTooLarge(f"{key}: the edit would make it {len(body)} bytes; the limit is {most}")
            try:
                read_json(body, most=most)
                if check and (changed := check(fields)):
                    raise InvalidEdit(
                        f"{changed}: JSON readers would read another value. Nothing was written. Use text, numbers and"
                        " nesting that JSON has"
                    )
            except (UnreadableDocument, InvalidEdit) as error:
                raise InvalidEdit(f"{key}: {error}") from error
            edit = max(policy.now_ms(), number + 1)
            attempts += 1
            try:
                etag = self.store.put(
                    key, body, replaces=stored.etag if stored else None, metadata={EDIT_METADATA: str(edit)}
                )
            except (Conflict, OutcomeUnknown) as error:
                may_be_written = may_be_written or isinstance(error, OutcomeUnknown)
                pause = policy.random() * min(_BACKOFF_CAP_SECONDS, _BACKOFF_SECONDS * 2 ** min(attempts, 10))
                if policy.seconds_left() < pause + _ATTEMPT_SECONDS:
                    raise TooManyConflicts(f"{key}: concurrent edits kept changing it; repeat the request") from error
                policy.sleep(pause)
                continue
            return SidecarEdit(key, etag, edit, attempts)

    def _read(self, name: str) -> tuple[StoredObject | None, dict[str, Any]]:
        """A sidecar and its fields; no fields where it does not exist."""
        key = self.collection.prefix + name
        try:
            stored = self.store.get(key)
            return stored, sidecar_json.decode(stored.body, most=max_sidecar_bytes(name)) if stored else {}
        except UnreadableDocument as error:
            raise UnreadableSidecar(f"{key}: {error}. Repair or delete it") from error
        except Archived as error:
            raise UnreadableSidecar(
                f"{key}: it is archived and cannot be edited. Restore it and copy it over itself, or delete it, then"
                " repeat the request"
            ) from error


def encode(fields: Mapping[str, Any]) -> bytes:
    """The fields as JSON. Raises ``InvalidEdit``."""
    try:
        return sidecar_json.encode(fields)
    except ValueError as error:
        raise InvalidEdit(f"it cannot be written as JSON: {error}") from error


def as_read(name: str, fields: Mapping[str, Any]) -> SidecarContent:
    """What the reconciler will read from a sidecar with these fields. Raises ``InvalidEdit``."""
    return read_sidecar(name, encode(fields))


def _encode_stored(key: str, stored: StoredObject | None, fields: Mapping[str, Any]) -> bytes:
    try:
        return sidecar_json.encode(fields)
    except ValueError as error:
        where = sidecar_json.where(stored.body, max_sidecar_bytes(key.rpartition("/")[2])) if stored else ""
        raise UnreadableSidecar(f"{key}: {error}, so it cannot be edited: {where}. Repair or delete it") from error
