"""Parses which manifest the user names: the current one, one of a revision, or one of a time. Pure."""

import re
from datetime import datetime
from typing import NamedTuple

from s3_manifest.manifest.model import Timestamp, timestamp
from s3_manifest_cli.errors import Invalid

_REVISION = re.compile(r"[1-9][0-9]{0,11}")


class RevisionSpec(NamedTuple):
    """A collection's name, and a ``revision``, or a time, or neither for the current manifest."""

    collection: str
    revision: int | None = None
    at: Timestamp | None = None


def parse_revision_spec(text: str) -> RevisionSpec:
    """Parses ``COLLECTION``, ``COLLECTION@REVISION`` or ``COLLECTION@TIME``. Raises ``Invalid``.

    A collection with an ``@`` in its name is written as ``s3://BUCKET/PREFIX/``.
    """
    collection, separator, suffix = text.rpartition("@")
    if not separator or (text.startswith("s3://") and "/" in suffix):
        return RevisionSpec(text)
    if _REVISION.fullmatch(suffix):
        return RevisionSpec(collection, revision=int(suffix))
    try:
        return RevisionSpec(collection, at=parse_time(suffix))
    except ValueError:
        raise Invalid(
            f"{text!r}: {suffix!r} is neither a revision nor a time.",
            remedy=f"Write {collection}@3 or {collection}@2026-11-21T10:00. If the collection's name has an @, write"
            " s3://BUCKET/PREFIX/.",
        ) from None


def parse_time(text: str) -> Timestamp:
    """A time in ISO 8601, or a day, which is its beginning; UTC if it has no zone. Raises ``ValueError``."""
    try:
        return timestamp(datetime.fromisoformat(text))
    except OverflowError as error:
        raise ValueError(f"UTC has no such time: {text}") from error
