"""``s3-manifest verify``."""

from pathlib import Path
from typing import NoReturn

import click

from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.verify.audit import DRIFT, Audit, AuditState, Md5Proof, audit
from s3_manifest_cli.client.verify.verify import Verification, verify
from s3_manifest_cli.commands.status import MEANINGS, STATES, comparison_fields
from s3_manifest_cli.terminal.bulk_output import BulkCommand, Request, run_many
from s3_manifest_cli.terminal.options import (
    Many,
    common_options,
    filter_options,
    many_options,
    missing,
    parse_collection,
)
from s3_manifest_cli.terminal.output import Printer, exit_with, is_unreadable, number, read_progress, status_line

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
    metavar="SECONDS",
    help="With --remote, check differences again after this time before calling them drift.",
)
@many_options
@filter_options
@common_options
def verify_command(
    names: tuple[str, ...],
    remote: bool,
    allow_extra: bool,
    combined: bool,
    read: bool,
    settle: float,
    many: Many,
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
      s3-manifest verify 'data/styles/{id}' 'style/*'
    """
    expected: tuple[str, ...] = ("COLLECTION",) if remote else ("LOCAL", "COLLECTION")
    expected = expected[:-1] if many.is_given else expected
    if len(names) > len(expected):
        raise click.UsageError("Pass LOCAL and COLLECTION, or --remote and only COLLECTION.")
    if len(names) < len(expected):
        raise missing(*expected[len(names) :])
    if remote and (filters != EVERYTHING or allow_extra):
        raise click.UsageError("--remote checks a whole collection: omit --include, --exclude and --allow-extra.")
    if read and not remote:
        raise click.UsageError("--read requires --remote: local files are always read.")
    local = None if remote else Path(names[0])
    name = None if many.is_given else names[-1]

    def run(request: Request) -> NoReturn:
        if remote:
            _audit(request, settle=settle, read=read, combined=combined)
        _verify(request, filters, allow_extra=allow_extra, combined=combined)

    if many.are_selected(name, local):
        if combined:
            raise click.UsageError("--combined is for one collection. Use --json.")
        command = BulkCommand("verify", run, lambda document: document["totals"])
        run_many(command, deployment, many.names(name), local, printer)
    collection = parse_collection(deployment, name or "", local, "verify {local} {collection}")
    run(Request(deployment, collection, name or "", local, printer))


def _audit(request: Request, *, settle: float, read: bool, combined: bool) -> NoReturn:
    printer = request.printer
    with status_line(printer) as show:
        audited = audit(
            request.deployment,
            request.collection,
            settle_seconds=settle,
            read=read,
            progress=lambda files: show(f"{number(files, 'file')} checked"),
            sleep=request.sleep,
        )
    _print_audit(audited, request.name, printer, combined=combined)
    facts = audited.facts.model_dump(include={"kind", "id", "revision", "complete", "last_verified_at"})
    files = [file._asdict() for file in audited.files]
    results = {"totals": audited.totals, "md5": audited.proofs, "settled": audited.settled, "files": files}
    printer.document(facts | results)
    exit_with(facts=audited.facts, differs=not audited.is_consistent)


def _verify(request: Request, filters: Filter, *, allow_extra: bool, combined: bool) -> NoReturn:
    printer = request.printer
    with read_progress(printer, request.options.cancellation) as progress:
        verified = verify(request.deployment, request.local, request.collection, filters, progress=progress)
    printer.warn_of_filters(verified.unmatched)
    _print(verified, request.name, printer, combined=combined)
    printer.warn_of_manifest(verified.facts)
    names = ("filename", "state", "by", "why")
    files = [{name: getattr(file, name) for name in names} for file in verified.files]
    printer.document(comparison_fields(verified) | {"proofs": verified.proofs, "files": files})
    differs = not verified.is_verified(allow_extra=allow_extra)
    exit_with(facts=verified.facts, failed=is_unreadable(verified.problems), differs=differs)


def _print(result: Verification, collection: str, printer: Printer, *, combined: bool) -> None:
    facts = result.facts
    if not combined:
        printer.write(
            f"Verified {result.folder} against {facts.kind}/{facts.id} (revision {facts.revision}), reading every file:"
        )
        proofs = ", ".join(f"{count:,} by {proof}" for proof, count in result.proofs.items())
        meanings = MEANINGS | ({"synced": f"proven identical: {proofs}"} if proofs else {})
        printer.write_totals(result.totals, meanings, always="synced")
    for file in result.files:
        if combined or file.state != "synced":
            why = f"  ({file.why})" if file.why else ""
            printer.write(f"{STATES[file.state].sign} {file.filename}{why}", STATES[file.state].colour)
    for problem in result.problems:
        printer.write(f"! {problem.path}: {problem.reason}", "magenta")
    if result.totals["s3_only"] or result.totals["out_of_sync"]:
        printer.write(f"To update the local folder: s3-manifest pull {collection} {result.folder}")


def _print_audit(result: Audit, collection: str, printer: Printer, *, combined: bool) -> None:
    facts = result.facts
    if not combined:
        printer.write(
            f"Verified the manifest (revision {facts.revision}) against s3://{facts.s3_bucket}/{facts.s3_prefix}:"
        )
        printer.write_totals(result.totals, _AUDIT_MEANINGS, always="right")
        if result.settled:
            printer.write(
                f"  {number(result.settled, 'file')} changed just before the check; the manifest shows them now."
            )
        if any(result.proofs.values()):
            printer.write("Matching MD5s are based on:")
        printer.write_totals(result.proofs, _PROOF_MEANINGS)
    for file in result.files:
        if combined or file.state != "right":
            columns = "  ".join(filter(None, (file.state, file.proof)))
            colour = None if file.state == "right" else "red" if file.state in DRIFT else "magenta"
            printer.write(f"{columns}  {file.filename}" + (f"  ({file.why})" if file.why else ""), colour)
    printer.warn_of_manifest(facts, is_past=True)  # it was compared with S3 just now, so it is not stale
    if any(file.state in DRIFT for file in result.files):
        printer.write(f"To correct the manifest: s3-manifest rescan {collection} --wait 120")
