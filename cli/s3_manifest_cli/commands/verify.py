"""``s3-manifest verify``."""

import sys
from pathlib import Path
from typing import Any

import click

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.verify.audit import DRIFT, Audit, AuditState, Md5Proof, audit
from s3_manifest_cli.client.verify.verify import Verification, verify
from s3_manifest_cli.commands.status import COLOURS, MEANINGS, SIGNS, side_fields
from s3_manifest_cli.terminal.options import (
    deployment_options,
    filter_options,
    missing,
    output_options,
    parse_collection,
)
from s3_manifest_cli.terminal.output import Printer, exit_code, is_unreadable, problem_fields
from s3_manifest_cli.terminal.output import files as count_of
from s3_manifest_cli.terminal.progress import read_so_far, status_line

_AUDIT_MEANINGS: dict[AuditState, str] = {
    "right": "match the manifest",
    "missing": "in the manifest, but not in S3",
    "unexpected": "in S3, but not in the manifest",
    "modified": "in S3, but different from the manifest",
    "unverifiable": "read, but the manifest has no checksum to compare with",
    "unsettled": "changed during the check; run it again",
    "unreadable": "could not be read from S3",
}
_PROOF_MEANINGS: dict[Md5Proof, str] = {
    "read": "the bytes were read now",
    "etag": "S3's ETag, of an object uploaded in one part without its own key",
    "checksum": "S3's own MD5 checksum of the whole object",
    "declared": "user metadata from the uploader: a claim, not a proof",
    "computed": "the reconciler read the bytes of this ETag",
    "none": "the manifest has no MD5",
}


# A Click command: its parameters are its options.
@click.command(name="verify")
@click.argument("names", metavar="[LOCAL] COLLECTION", nargs=-1)
@click.option("--remote", is_flag=True, help="Compare the manifest with S3 instead of a folder.")
@click.option("--allow-extra", is_flag=True, help="Accept files that are only in LOCAL.")
@click.option("--combined", is_flag=True, help="Print one line per file, with its proof.")
@click.option("--read", is_flag=True, help="With --remote, read the bytes of every object.")
@click.option(
    "--settle",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="With --remote, check differences again after this time before calling them drift.",
)
@filter_options
@deployment_options
@output_options
def verify_command(
    names: tuple[str, ...],
    remote: bool,
    allow_extra: bool,
    combined: bool,
    read: bool,
    settle: float,
    filters: Filter,
    deployment: Deployment,
    printer: Printer,
) -> None:
    """Read every file in LOCAL and prove that it matches COLLECTION.

    The exit code is 0 only if every file of the manifest is proven identical and no
    other file exists (or --allow-extra). A file without a checksum to compare is
    unverifiable, which is not a match.

    With --remote, check every object in S3 against the manifest instead, and report
    what its MD5s are based on. This needs access to the bucket.

    \b
    Examples:
      s3-manifest verify pictures style/16
      s3-manifest verify --remote style/16
    """
    if len(names) > (1 if remote else 2):
        raise click.UsageError("Pass LOCAL and COLLECTION, or --remote and only COLLECTION.")
    if len(names) < (1 if remote else 2):
        raise missing(*("COLLECTION",) if remote or names else ("LOCAL", "COLLECTION"))
    if remote and (filters != EVERYTHING or allow_extra):
        raise click.UsageError("--remote checks a whole collection: omit --include, --exclude and --allow-extra.")
    if read and not remote:
        raise click.UsageError("--read requires --remote: local files are always read.")
    name = names[-1]
    folder = None if remote else Path(names[0])
    collection = parse_collection(deployment, name, folder, "verify {local} {collection}")
    if folder is None:
        audited = _audit(deployment, collection, printer, settle=settle, read=read)
        _print_audit(audited, name, printer, combined=combined)
        printer.document(_audit_fields(audited))
        sys.exit(exit_code(facts=audited.facts, failed=False, differs=not audited.is_consistent))
    with status_line(printer) as show:
        verified = verify(
            deployment,
            folder,
            collection,
            filters,
            progress=lambda files, size_bytes: show(read_so_far(files, size_bytes)),
        )
    printer.warn_of_filters(verified.unmatched)
    _print(verified, name, printer, combined=combined)
    printer.warn_of_manifest(verified.facts)
    printer.document(_fields(verified))
    differs = not verified.is_verified(allow_extra=allow_extra)
    sys.exit(exit_code(facts=verified.facts, failed=is_unreadable(verified.problems), differs=differs))


def _fields(result: Verification) -> dict[str, Any]:
    return side_fields(result.facts, result.folder, result.totals) | {
        "proofs": dict(result.proofs),
        "files": [file._asdict() for file in result.files],
        "problems": problem_fields(result.problems),
        "unmatched_filters": result.unmatched,
    }


def _print(result: Verification, collection: str, printer: Printer, *, combined: bool) -> None:
    facts = result.facts
    if not combined:
        printer.write(
            f"Verified {result.folder} against {facts.kind}/{facts.id} (revision {facts.revision}), reading every file:"
        )
        for state, count in result.totals.items():
            if count or state == "synced":
                proofs = ", ".join(f"{count:,} by {proof}" for proof, count in result.proofs.items())
                meaning = f"proven identical: {proofs}" if state == "synced" and proofs else MEANINGS[state]
                printer.write(f"  {state:<12}  {count:>7,}  {meaning}")
    for file in result.files:
        if combined or file.state != "synced":
            why = f"  ({file.why})" if file.why else ""
            printer.write(f"{SIGNS[file.state]} {file.filename}{why}", COLOURS.get(file.state))
    for problem in result.problems:
        printer.write(f"! {problem.path}: {problem.reason}", "magenta")
    if result.totals["s3_only"] or result.totals["out_of_sync"]:
        printer.write(f"To update the local folder: s3-manifest pull {collection} {result.folder}")


def _audit(deployment: Deployment, collection: Collection, printer: Printer, *, settle: float, read: bool) -> Audit:
    with status_line(printer) as show:
        return audit(
            deployment,
            collection,
            settle_seconds=settle,
            read=read,
            progress=lambda files: show(f"{count_of(files)} checked"),
        )


def _audit_fields(result: Audit) -> dict[str, Any]:
    return {
        "kind": result.facts.kind,
        "id": result.facts.id,
        "revision": result.facts.revision,
        "complete": result.facts.complete,
        "last_verified_at": result.facts.last_verified_at,
        "totals": result.totals,
        "md5": result.proofs,
        "settled": result.settled,
        "files": [file._asdict() for file in result.files],
    }


def _print_audit(result: Audit, collection: str, printer: Printer, *, combined: bool) -> None:
    facts = result.facts
    if not combined:
        printer.write(
            f"Verified the manifest (revision {facts.revision}) against s3://{facts.s3_bucket}/{facts.s3_prefix}:"
        )
        for state, count in result.totals.items():
            if count or state == "right":
                printer.write(f"  {state:<12}  {count:>7,}  {_AUDIT_MEANINGS[state]}")
        if result.settled:
            printer.write(f"  {count_of(result.settled)} changed just before the check; the manifest shows them now.")
        proofs = {proof: count for proof, count in result.proofs.items() if count}
        if proofs:
            printer.write("Matching MD5s are based on:")
        for proof, count in proofs.items():
            printer.write(f"  {proof:<12}  {count:>7,}  {_PROOF_MEANINGS[proof]}")
    for file in result.files:
        if combined or file.state != "right":
            columns = "  ".join(filter(None, (file.state, file.proof)))
            colour = None if file.state == "right" else "red" if file.state in DRIFT else "magenta"
            printer.write(f"{columns}  {file.filename}" + (f"  ({file.why})" if file.why else ""), colour)
    printer.warn_of_manifest(facts, is_past=True)  # it was compared with S3 just now, so it is not stale
    if any(file.state in DRIFT for file in result.files):
        printer.write(f"To correct the manifest: s3-manifest rescan {collection} --wait 120")
