"""Which manifest is meant: as it is, as it was at a revision, or as it was at a time. Pure."""

import re
from datetime import datetime
from typing import NamedTuple

from s3_manifest.manifest.model import Timestamp, timestamp
from s3_manifest_cli.errors import Invalid

_REVISION = re.compile(r"[1-9][0-9]{0,11}")


class RevisionSpec(NamedTuple):
    """A collection, by name, and one of ``revision`` and ``at``, or neither: as it is."""

    collection: str
    revision: int | None = None
    at: Timestamp | None = None


def parse_revision_spec(text: str) -> RevisionSpec:
    """What ``COLLECTION``, ``COLLECTION@REVISION`` or ``COLLECTION@TIME`` means. Raises ``Invalid``.

    A collection with an ``@`` in its name is told as ``s3://BUCKET/PREFIX/``.
    """
    collection, at, when = text.rpartition("@")
    if not at or (text.startswith("s3://") and "/" in when):
        return RevisionSpec(text)
    if _REVISION.fullmatch(when):
        return RevisionSpec(collection, revision=int(when))
    try:
        return RevisionSpec(collection, at=parse_time(when))
    except ValueError:
        raise Invalid(
            f"{text!r}: {when!r} is neither a revision nor a time. Write {collection}@3 or"
            f" {collection}@2026-11-21T10:00; a collection with an @ in its name is s3://BUCKET/PREFIX/"
        ) from None


def parse_time(text: str) -> Timestamp:
    """A time in ISO 8601, or a day, which is its beginning; without a zone it is UTC. Raises ``ValueError``."""
    try:
        return timestamp(datetime.fromisoformat(text))
    except OverflowError as error:
        raise ValueError(f"UTC has no such time: {text}") from error
