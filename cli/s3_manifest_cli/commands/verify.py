"""``s3-manifest verify``."""

import sys
from pathlib import Path
from typing import Any

import click

from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.verify.audit import audit
from s3_manifest_cli.client.verify.verify import Verification, verify
from s3_manifest_cli.commands.status import COLOURS, MEANINGS, SIGNS, sides
from s3_manifest_cli.terminal.audit_output import audit_json, tell_audit
from s3_manifest_cli.terminal.manifest_warnings import exit_code, is_unreadable, problems_json, warn_of_doubts
from s3_manifest_cli.terminal.named import missing, named_collection
from s3_manifest_cli.terminal.options import deployment_options, filter_options, output_options
from s3_manifest_cli.terminal.output import Printer
from s3_manifest_cli.terminal.steps import read_so_far, steps


@click.command(name="verify")
@click.argument("names", metavar="[LOCAL] COLLECTION", nargs=-1)
@click.option("--remote", is_flag=True, help="Compare the manifest with S3 itself, and no folder.")
@click.option("--allow-extra", is_flag=True, help="Files that are only in the folder are no fault.")
@click.option("--combined", is_flag=True, help="Each file on a line, with what proves it.")
@click.option("--read", is_flag=True, help="With --remote: read the bytes of every object.")
@click.option(
    "--settle",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="With --remote: look again after so long at what differs, and only then call it drift.",
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
    """Prove that every file of the folder LOCAL is what the manifest of COLLECTION says, by reading all of them.

    The exit code is 0 only if each file of the manifest is there and proven right, and no other file (or
    --allow-extra). What nothing proves is unverifiable, and not right.

    With --remote, prove that the manifest of COLLECTION says what is in S3, with a look at every object there, and
    tell what its MD5s rest on. That needs the bucket, whichever way manifests are read.
    """
    if len(names) > (1 if remote else 2):
        raise click.UsageError("--remote takes COLLECTION alone; without it, verify takes LOCAL and COLLECTION")
    if len(names) < (1 if remote else 2):
        raise missing(*("COLLECTION",) if remote or names else ("LOCAL", "COLLECTION"))
    local = None if remote else Path(names[0])
    collection = named_collection(deployment, names[-1], local, "verify {local} {collection}")
    if remote:
        if filters != Filter() or allow_extra:
            raise click.UsageError("--remote is about all of a collection: leave out the other options of a folder")
        with steps(printer) as show:
            audited = audit(
                deployment,
                collection,
                settle_seconds=settle,
                read=read,
                progress=lambda files: show(f"{files:,} files looked at"),
            )
        tell_audit(audited, names[-1], printer, combined=combined)
        printer.document(audit_json(audited))
        sys.exit(exit_code(facts=audited.facts, failed=False, differs=not audited.is_consistent))
    if read:
        raise click.UsageError("--read goes with --remote: files of a folder are always read")
    with steps(printer) as show:
        verified = verify(
            deployment,
            Path(names[0]),
            collection,
            filters,
            progress=lambda files, size_bytes: show(read_so_far(files, size_bytes)),
        )
    printer.unmatched(verified.unmatched)
    _tell(verified, names[-1], printer, combined=combined)
    warn_of_doubts(verified.facts, printer)
    printer.document(_json(verified))
    differs = not verified.is_verified(allow_extra=allow_extra)
    sys.exit(exit_code(facts=verified.facts, failed=is_unreadable(verified.problems), differs=differs))


def _json(found: Verification) -> dict[str, Any]:
    return sides(found.facts, found.folder, found.totals) | {
        "proofs": dict(found.proofs),
        "files": [one._asdict() for one in found.files],
        "problems": problems_json(found.problems),
        "unmatched_filters": found.unmatched,
    }


def _tell(found: Verification, collection: str, printer: Printer, *, combined: bool) -> None:
    facts = found.facts
    if not combined:
        printer.write(f"{found.folder} and {facts.kind}/{facts.id} at revision {facts.revision}, every file read:")
        for state, count in found.totals.items():
            if count or state == "synced":
                by = ", ".join(f"{count:,} by {proof}" for proof, count in found.proofs.items())
                meaning = f"proven right: {by}" if state == "synced" and by else MEANINGS[state]
                printer.write(f"  {state:<12}  {count:>7,}  {meaning}")
    for one in found.files:
        if combined or one.state != "synced":
            why = f"  ({one.why})" if one.why else ""
            printer.write(f"{SIGNS[one.state]} {one.filename}{why}", COLOURS.get(one.state))
    for problem in found.problems:
        printer.write(f"! {problem.path}: {problem.reason}", "magenta")
    if found.totals["s3_only"] or found.totals["out_of_sync"]:
        printer.write(f"To update the local folder: s3-manifest pull {collection} {found.folder}")
