"""How ``s3-manifest verify --remote`` tells what it found."""

from typing import Any

from s3_manifest_cli.client.verify.audit import DRIFT, Audit, AuditState, Md5Proof
from s3_manifest_cli.terminal.manifest_warnings import warn_of_doubts
from s3_manifest_cli.terminal.output import Printer

_STATES: dict[AuditState, str] = {
    "right": "as the manifest says",
    "missing": "in the manifest, and not in S3",
    "unexpected": "in S3, and not in the manifest",
    "modified": "in S3 other than the manifest says",
    "unverifiable": "read, and nothing proves whether the bytes are those of the manifest",
    "unsettled": "changed while they were looked at: run this again",
    "unreadable": "S3 did not tell",
}
_PROOFS: dict[Md5Proof, str] = {
    "read": "the bytes were read just now",
    "etag": "S3's ETag, of an object in one part without a key of its own",
    "checksum": "S3's own MD5 checksum of the whole object",
    "declared": "the uploader says so in user metadata: a claim, and no proof",
    "computed": "the reconciler read the bytes of the object with this ETag",
    "none": "the manifest has no MD5",
}


def audit_json(found: Audit) -> dict[str, Any]:
    """The whole result."""
    return {
        "kind": found.facts.kind,
        "id": found.facts.id,
        "revision": found.facts.revision,
        "complete": found.facts.complete,
        "last_verified_at": found.facts.last_verified_at,
        "totals": found.totals,
        "md5": found.proofs,
        "settled": found.settled,
        "files": [one._asdict() for one in found.files],
    }


def tell_audit(found: Audit, collection: str, printer: Printer, *, combined: bool) -> None:
    """As text: counts and what differs, or with ``combined`` each file on a line."""
    facts = found.facts
    if not combined:
        _tell_totals(found, printer)
    for one in found.files:
        if combined or one.state != "right":
            told = "  ".join(filter(None, (one.state, one.proof)))
            printer.write(f"{told}  {one.filename}" + (f"  ({one.why})" if one.why else ""), _colour(one.state))
    warn_of_doubts(facts, printer, is_past=True)  # it was compared with S3 just now
    if any(one.state in DRIFT for one in found.files):
        printer.write(f"To correct the manifest: s3-manifest rescan {collection} --wait 120")


def _tell_totals(found: Audit, printer: Printer) -> None:
    facts = found.facts
    printer.write(f"s3://{facts.s3_bucket}/{facts.s3_prefix} and its manifest at revision {facts.revision}:")
    for state, count in found.totals.items():
        if count or state == "right":
            printer.write(f"  {state:<12}  {count:>7,}  {_STATES[state]}")
    if found.settled:
        printer.write(f"  {found.settled:,} were on their way into the manifest, and are in it now")
    proofs = {proof: count for proof, count in found.proofs.items() if count}
    if proofs:
        printer.write("What the MD5s of those that are right rest on:")
    for proof, count in proofs.items():
        printer.write(f"  {proof:<12}  {count:>7,}  {_PROOFS[proof]}")


def _colour(state: AuditState) -> str | None:
    return None if state == "right" else "red" if state in DRIFT else "magenta"
