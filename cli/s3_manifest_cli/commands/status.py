"""``s3-manifest status``."""

import gc
import sys
from collections.abc import Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import s3_manifest_cli
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.client.local.scan_process import scan_in_background
from s3_manifest_cli.terminal.manifest_warnings import (
    doubts_json,
    exit_code,
    is_unreadable,
    problems_json,
    warn_of_doubts,
)
from s3_manifest_cli.terminal.named import named_collection
from s3_manifest_cli.terminal.options import FOLDER, Function, deployment_options, filter_options, output_options
from s3_manifest_cli.terminal.output import Printer
from s3_manifest_cli.terminal.steps import read_so_far, steps

if TYPE_CHECKING:  # what these need is imported once the folder is looked at
    from s3_manifest.manifest.model import Facts
    from s3_manifest_cli.client.local.hashes import Scanner
    from s3_manifest_cli.client.manifests.deployment import Deployment
    from s3_manifest_cli.client.verify.compare import FileState, FileStatus
    from s3_manifest_cli.client.verify.status import Status

SIGNS: "dict[FileState, str]" = {
    "synced": "=",
    "s3_only": "-",
    "local_only": "+",
    "out_of_sync": "*",
    "unverifiable": "!",
}
COLOURS: "dict[FileState, str]" = {
    "s3_only": "red",
    "local_only": "green",
    "out_of_sync": "yellow",
    "unverifiable": "magenta",
}
MEANINGS: "dict[FileState, str]" = {
    "synced": "the same bytes here and in S3",
    "local_only": "here only",
    "s3_only": "in S3 only",
    "out_of_sync": "here and in S3, other bytes",
    "unverifiable": "here and in S3, and nothing proves whether the bytes are the same",
}


def _aside(command: Function) -> Function:
    """The folder is looked at while all else is done; the command gets it as ``scanner``."""

    @wraps(command)
    def beside(*, folder: Path, **options: Any) -> Any:  # noqa: ANN401  # whatever the command returns
        # What is read of a large folder and its manifest is needed until the end. To look for garbage among it even
        # once takes as long as comparing both.
        gc.disable()
        try:
            with scan_in_background(folder) as scanner:
                return command(folder=folder, scanner=scanner, **options)
        finally:
            gc.freeze()  # the traceback of the exit still holds all of it
            gc.enable()

    return beside


@click.command(name="status")
@click.argument("folder", metavar="LOCAL", type=FOLDER)
@click.argument("collection")
@click.option("--combined", is_flag=True, help="Each file on a line, behind = - + * or !, as rclone check has them.")
@click.option("--read-all", is_flag=True, help="Read every file here, also those that were not changed since.")
@filter_options
@_aside
@deployment_options
@output_options
def status_command(
    folder: Path,
    collection: str,
    combined: bool,
    read_all: bool,
    filters: Filter,
    scanner: "Scanner",
    deployment: "Deployment",
    printer: Printer,
) -> None:
    """Compare the folder LOCAL with the manifest of COLLECTION, by MD5, and list nothing in S3.

    \b
    = synced         the same bytes here and in S3
    + local_only     here only
    - s3_only        in S3 only
    * out_of_sync    here and in S3, other bytes
    ! unverifiable   here and in S3, and nothing proves whether the bytes are the same
    """  # click's mark for a paragraph that is not to be filled
    named = named_collection(deployment, collection, folder, "status {local} {collection}")
    with steps(printer) as show:
        found = s3_manifest_cli.LocalCopy(deployment, folder, named, filters).status(
            read_all=read_all,
            scanner=scanner,
            progress=lambda files, size_bytes: show(read_so_far(files, size_bytes)),
        )
    printer.unmatched(found.unmatched)
    if combined:
        printer.write_all((f"{SIGNS[one.state]} {one.filename}", COLOURS.get(one.state)) for one in found.files)
    else:
        _tell(found, collection, printer)
    warn_of_doubts(found.facts, printer)
    printer.document(as_json(found, found.files if combined else found.differences))
    sys.exit(exit_code(facts=found.facts, failed=is_unreadable(found.problems), differs=not found.is_in_sync))


def sides(facts: "Facts", folder: Path, totals: "Mapping[FileState, int]") -> dict[str, Any]:
    """What was compared, and how many files came out how."""
    return {
        "kind": facts.kind,
        "id": facts.id,
        "folder": folder,
        "revision": facts.revision,
        **doubts_json(facts),
        "totals": totals,
    }


def as_json(found: "Status", files: "list[FileStatus]") -> dict[str, Any]:
    """The status, with some of its files."""
    return sides(found.facts, found.folder, found.totals) | {
        "files": [{"filename": one.filename, "state": one.state, "why": one.why} for one in files],
        "problems": problems_json(found.problems),
        "unmatched_filters": found.unmatched,
    }


def _tell(found: "Status", collection: str, printer: Printer) -> None:
    facts = found.facts
    printer.write(f"{found.folder} and {facts.kind}/{facts.id} at revision {facts.revision}:")
    for state, count in found.totals.items():
        if count or state == "synced":
            printer.write(f"  {state:<12}  {count:>7,}  {MEANINGS[state]}")
    for one in found.differences:
        why = f" ({one.why})" if one.why else ""
        printer.write(f"{SIGNS[one.state]} {one.filename}{why}", COLOURS[one.state])
    for problem in found.problems:
        printer.write(f"! {problem.path}: {problem.reason}", "magenta")
    if found.is_in_sync:
        return
    printer.write("")
    totals = found.totals
    if totals["s3_only"] or totals["out_of_sync"]:
        printer.write(f"To update the local folder: s3-manifest pull {collection} {found.folder}")
    if totals["local_only"] or totals["out_of_sync"]:
        printer.write(f"To update S3: s3-manifest push {found.folder} {collection}")
