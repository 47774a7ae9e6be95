"""Announcements of new revisions, as events on an EventBridge bus."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.model import Facts, Frozen, Timestamp

if TYPE_CHECKING:
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE = "s3-manifest"
DETAIL_TYPE = "Manifest Changed"

MAX_DETAIL_BYTES = 200_000
"""The largest detail of an event, in UTF-8; above it the keys are left out.

EventBridge counts the envelope too, and some targets accept 256 KB in all:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-event-size
"""


class ChangedKeys(Frozen):
    """The S3 keys of the files that a revision added, modified and removed."""

    added: tuple[str, ...]
    modified: tuple[str, ...]
    removed: tuple[str, ...]


class Announcement(Frozen):
    """A collection has a new revision; sizes are bytes, times are UTC.

    Delivery is at least once: after each revision at least one announcement of it or of a higher one is sent, in any
    order and possibly twice. ``repeated``: it is sent because an earlier attempt may have died before its announcement.

    ``added``, ``modified`` and ``removed`` count files. ``keys`` lists them; None if that exceeds the size of an event:
    read the changes from the HTTP API or the change record.
    """

    kind: str
    id: str
    s3_bucket: str
    s3_prefix: str
    revision: int
    commit: str
    committed_at: Timestamp
    complete: bool
    total_files: int
    total_size_bytes: int
    added: int
    modified: int
    removed: int
    keys: ChangedKeys | None
    repeated: bool = False


_FACTS = Announcement.model_fields.keys() & Facts.model_fields.keys()


def announcement_event(
    facts: Facts, changes: Sequence[FileChange], bus: str, *, repeated: bool = False
) -> "PutEventsRequestEntryTypeDef":
    """The PutEvents entry that announces the revision of ``facts``, for the bus of that name or ARN."""
    keys = {sort: _keys(changes, sort) for sort in ("added", "modified", "removed")}
    announcement = Announcement(
        **facts.model_dump(include=_FACTS),
        **{sort: len(names) for sort, names in keys.items()},
        committed_at=facts.last_synced,
        keys=ChangedKeys(**keys),
        repeated=repeated,
    )
    detail = announcement.model_dump_json()
    if len(detail.encode()) > MAX_DETAIL_BYTES:
        detail = announcement.model_copy(update={"keys": None}).model_dump_json()
    return {"Source": SOURCE, "DetailType": DETAIL_TYPE, "EventBusName": bus, "Detail": detail}


def _keys(changes: Sequence[FileChange], sort: str) -> tuple[str, ...]:
    entries = (change.after or change.before for change in changes if change.change_type == sort)
    return tuple(entry.s3_key for entry in entries if entry)
