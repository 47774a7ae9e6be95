"""Recognizes a download that an earlier run of the same plan has done, so that a plan can be applied again."""

from collections.abc import Mapping
from typing import NamedTuple

from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.partials import Identity
from s3_manifest_cli.client.sync.plan import Action, Agreed
from s3_manifest_cli.client.verify.proofs import Expected, verify


class Applied(NamedTuple):
    """The file as it is there, and what proves its bytes."""

    local: Identity
    proof: tuple[str, ...]


def downloaded_before(destination: Destination, action: Action, agreed: Mapping[str, Agreed]) -> Applied | None:
    """The file, if it has the bytes that the action downloads, and is not the one that the plan was made of.

    It is read. Where nothing proves its bytes, what both sides were last seen to agree on decides.
    """
    there = destination.identity(action.filename)
    if there is None or there == action.local or there.size != action.size or action.etag is None:
        return None
    with destination.open_read(action.filename) as file:
        expected = Expected(action.size, action.md5, action.etag, action.checksum, declared=action.declared)
        verdict = verify(file, expected)
    is_same = verdict.status == "right" or (
        verdict.status == "unverifiable" and agreed.get(action.filename) == (action.etag, there)
    )
    if not is_same or destination.identity(action.filename) != there:
        return None
    return Applied(there, verdict.by)
