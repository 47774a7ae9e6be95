"""What is announced of a collection's new revision, as an event on an EventBridge bus."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.model import Facts, Frozen, Timestamp

if TYPE_CHECKING:
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE = "s3-manifest"
DETAIL_TYPE = "Manifest Changed"

MAX_DETAIL_BYTES = 200_000
"""Keys that make an event's detail larger are left out, in UTF-8.

EventBridge counts the names around it too, and some targets take no more than 256 KB of all that:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-event-size
"""


class AnnouncementFailed(Exception):
    """EventBridge did not take an announcement, or its answer was lost; whoever asked for it has to ask again."""


class Keys(Frozen):
    """The S3 keys of the files that a revision added, modified and removed."""

    added: tuple[str, ...]
    modified: tuple[str, ...]
    removed: tuple[str, ...]


class Announcement(Frozen):
    """A collection has a new revision; sizes are bytes, times are UTC.

    Announced at least once: after each revision at least one announcement with that revision, or a
    higher one, is sent. The same may come twice, and they come in any order. ``repeated`` marks one
    that is sent because an earlier attempt may have died before it announced.

    ``added``, ``modified`` and ``removed`` count files. ``keys`` names them; it is None where that
    would be too large for an event, and the manifest has to be asked.
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
    keys: Keys | None
    repeated: bool = False


def announcement(facts: Facts, alterations: Sequence[FileChange], *, repeated: bool = False) -> Announcement:
    """The announcement of the revision that ``facts`` were committed with."""
    keys = {sort: _keys(alterations, sort) for sort in ("added", "modified", "removed")}
    found = Announcement(
        kind=facts.kind,
        id=facts.id,
        s3_bucket=facts.s3_bucket,
        s3_prefix=facts.s3_prefix,
        revision=facts.revision,
        commit=facts.commit,
        committed_at=facts.last_synced,
        complete=facts.complete,
        total_files=facts.total_files,
        total_size_bytes=facts.total_size_bytes,
        added=len(keys["added"]),
        modified=len(keys["modified"]),
        removed=len(keys["removed"]),
        keys=Keys(**keys),
        repeated=repeated,
    )
    too_large = len(_detail(found).encode()) > MAX_DETAIL_BYTES
    return found.model_copy(update={"keys": None}) if too_large else found


def eventbridge_entry(announcement: Announcement, bus: str) -> "PutEventsRequestEntryTypeDef":
    """The entry of PutEvents that puts it on the bus of that name or ARN."""
    return {"Source": SOURCE, "DetailType": DETAIL_TYPE, "EventBusName": bus, "Detail": _detail(announcement)}


def _keys(alterations: Sequence[FileChange], sort: str) -> tuple[str, ...]:
    entries = (one.after or one.before for one in alterations if one.sort == sort)
    return tuple(entry.s3_key for entry in entries if entry)


def _detail(announcement: Announcement) -> str:
    return announcement.model_dump_json()
