"""Whether the server keeps the promise that manifests rest on: a write on a condition that does not hold is refused."""

import secrets

from s3_manifest_cli.client.doctor.clients import Clients, Unanswered, asked
from s3_manifest_cli.client.doctor.deployed import Deployed
from s3_manifest_cli.client.doctor.model import Finding, error, ok
from s3_manifest_cli.client.doctor.remains import purge

CHECK = "conditional writes"

# Servers differ in the error's code.
_REFUSALS = ("412", "409")
_UNKNOWN = frozenset({"NotImplemented", "501"})


def probe(clients: Clients, deployed: Deployed) -> list[Finding]:
    """Writes a small object below the manifest root, and tries to write it again. Raises ``Unanswered``.

    It is outside of every collection, so nobody is told of it, and it is removed.
    """
    prefix = f"{deployed.root}__doctor/"
    key = f"{prefix}{secrets.token_hex(8)}.json"
    put, at = clients.s3_writes.put_object, {"Bucket": deployed.bucket, "Key": key}
    try:
        asked(put, **at, Body=b"{}", IfNoneMatch="*")
        ignored = [
            condition
            for condition, given in (("If-None-Match: *", {"IfNoneMatch": "*"}), ("If-Match", {"IfMatch": _OTHER}))
            if asked(put, absent=_REFUSALS, **at, Body=b"[]", **given) is not None
        ]
    except Unanswered as unanswered:
        if unanswered.code in _UNKNOWN:
            return [error(CHECK, deployed.bucket, f"the server has none: {unanswered}", "take another S3 server")]
        mend = f"allow s3:PutObject on {deployed.bucket_arn}/{prefix}* to whoever runs this" if unanswered.mend else ""
        raise Unanswered(str(unanswered), mend, unanswered.code) from unanswered
    finally:
        left = purge(clients, deployed, key)
    if ignored:
        found = f"the server ignores {' and '.join(ignored)}: of changes made at once some are lost, without a word"
        return [
            error(CHECK, deployed.bucket, found, "take another S3 server; of this one no setting makes it safe"),
            *left,
        ]
    return [ok(CHECK, deployed.bucket, "a write whose condition does not hold is refused"), *left]


_OTHER = '"00000000000000000000000000000000"'
