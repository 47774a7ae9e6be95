"""``s3-manifest status``."""

import gc
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

import s3_manifest_cli
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.client.local.scan_process import scan_in_background
from s3_manifest_cli.terminal.options import (
    FOLDER,
    Function,
    Many,
    common_options,
    filter_options,
    many_options,
    missing,
    parse_collection,
)
from s3_manifest_cli.terminal.output import Printer, exit_with, is_unreadable, manifest_fields, read_progress

if TYPE_CHECKING:  # imported once the folder is being scanned
    from s3_manifest_cli.client.local.hashes import Scanner
    from s3_manifest_cli.client.manifests.deployment import Deployment
    from s3_manifest_cli.client.verify.compare import FileState
    from s3_manifest_cli.client.verify.status import Status
    from s3_manifest_cli.client.verify.verify import Verification
    from s3_manifest_cli.terminal.bulk_output import Request


class State(NamedTuple):
    """How a file's state is shown."""

    sign: str
    meaning: str
    colour: str | None = None


STATES: "dict[FileState, State]" = {
    "synced": State("=", "identical on both sides"),
    "local_only": State("+", "only in the local folder", "green"),
    "s3_only": State("-", "only in S3", "red"),
    "out_of_sync": State("*", "different bytes", "yellow"),
    "unverifiable": State("!", "on both sides, but no MD5 or checksum to compare", "magenta"),
}
MEANINGS = {name: state.meaning for name, state in STATES.items()}


def _scan_beside(command: Function) -> Function:
    """Scans the folder in another process while everything else is imported; the command gets it as ``scanner``."""

    @wraps(command)
    def beside(*, many: Many, folder: Path, collection: str | None, **options: Any) -> Any:  # noqa: ANN401  # whatever the command returns
        options |= {"many": many, "folder": folder, "collection": collection}
        if many.are_selected(collection, folder):
            return command(scanner=None, **options)
        # Everything read from a large folder and manifest is needed until the end. A single garbage collection takes
        # as long as comparing both.
        gc.disable()
        try:
            with scan_in_background(folder) as scanner:
                return command(scanner=scanner, **options)
        finally:
            gc.freeze()  # the traceback of the exit still refers to all of it
            gc.enable()

    return beside


# A Click command: its parameters are its options.
@click.command(name="status")
@click.argument("folder", metavar="LOCAL", type=FOLDER)
@click.argument("collection", metavar="COLLECTION", required=False)
@click.option("--combined", is_flag=True, help="Print one line per file, marked = - + * or ! as by rclone check.")
@click.option("--read-all", is_flag=True, help="Read every local file, even if it did not change since the last run.")
@many_options
@filter_options
@_scan_beside
@common_options
def status_command(
    folder: Path,
    collection: str | None,
    combined: bool,
    read_all: bool,
    many: Many,
    filters: Filter,
    scanner: "Scanner | None",
    deployment: "Deployment",
    printer: Printer,
) -> None:
    """Compare LOCAL with COLLECTION by MD5, without listing the bucket.

    \b
    = synced         identical on both sides
    + local_only     only in the local folder
    - s3_only        only in S3
    * out_of_sync    different bytes
    ! unverifiable   on both sides, but no MD5 or checksum to compare

    \b
    Examples:
      s3-manifest status pictures style/16
      s3-manifest status pictures style/16 --combined
      s3-manifest status 'data/styles/{id}' 'style/*'
    """  # \b keeps click from reflowing the paragraph
    name, local = many.arguments(collection, folder)
    if scanner is None:
        if combined:
            raise click.UsageError("--combined is for one collection. Use --json.")
        from s3_manifest_cli.terminal.bulk_output import BulkCommand, run_many  # noqa: PLC0415  # to start sooner

        def run(request: "Request") -> None:
            copy = s3_manifest_cli.LocalCopy(request.deployment, request.local, request.collection, filters)
            with read_progress(request.printer, request.options.cancellation) as progress:
                result = copy.status(read_all=read_all, progress=progress)
            _report(result, request.name, request.printer, combined=combined)

        command = BulkCommand("status", run, lambda document: document["totals"])
        run_many(command, deployment, many.names(name), local, printer)
    if name is None:
        raise missing("COLLECTION")
    named = parse_collection(deployment, name, folder, "status {local} {collection}")
    with read_progress(printer) as progress:
        copy = s3_manifest_cli.LocalCopy(deployment, folder, named, filters)
        result = copy.status(read_all=read_all, scanner=scanner, progress=progress)
    _report(result, name, printer, combined=combined)


def _report(result: "Status", collection: str, printer: Printer, *, combined: bool) -> NoReturn:
    printer.warn_of_filters(result.unmatched)
    if combined:
        states = ((STATES[file.state], file.filename) for file in result.files)
        printer.write_all((f"{state.sign} {filename}", state.colour) for state, filename in states)
    else:
        _print(result, collection, printer)
    printer.warn_of_manifest(result.facts)
    files = result.files if combined else result.differences
    listed = [{"filename": file.filename, "state": file.state, "why": file.why} for file in files]
    printer.document(comparison_fields(result) | {"files": listed})
    exit_with(facts=result.facts, failed=is_unreadable(result.problems), differs=not result.is_in_sync)


def comparison_fields(result: "Status | Verification") -> dict[str, Any]:
    """A comparison of a folder with a manifest as fields of a document, except for the files."""
    return {
        "kind": result.facts.kind,
        "id": result.facts.id,
        "folder": result.folder,
        "revision": result.facts.revision,
        **manifest_fields(result.facts),
        "totals": result.totals,
        "problems": [problem._asdict() for problem in result.problems],
        "unmatched_filters": result.unmatched,
    }


def _print(result: "Status", collection: str, printer: Printer) -> None:
    facts, totals = result.facts, result.totals
    printer.write(f"Compared {result.folder} with {facts.kind}/{facts.id} (revision {facts.revision}):")
    printer.write_totals(totals, MEANINGS, always="synced")
    for file in result.differences:
        why = f" ({file.why})" if file.why else ""
        printer.write(f"{STATES[file.state].sign} {file.filename}{why}", STATES[file.state].colour)
    for problem in result.problems:
        printer.write(f"! {problem.path}: {problem.reason}", "magenta")
    if result.is_in_sync:
        return
    printer.write("")
    if totals["s3_only"] or totals["out_of_sync"]:
        printer.write(f"To update the local folder: s3-manifest pull {collection} {result.folder}")
    if totals["local_only"] or totals["out_of_sync"]:
        printer.write(f"To update S3: s3-manifest push {result.folder} {collection}")
