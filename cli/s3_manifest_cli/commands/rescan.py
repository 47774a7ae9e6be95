"""``s3-manifest rescan``."""

import time
from collections.abc import Mapping
from typing import Any

import click

from s3_manifest.manifest.collections import Collection
from s3_manifest.query.waiting import Clock
from s3_manifest_cli.client.bulk.for_each import for_each
from s3_manifest_cli.client.bulk.selection import Selection, SelectionFailure, all_of, select
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.rescan import RescanRequest, RescanResult, rescan, rescan_all, wait_for
from s3_manifest_cli.errors import Unavailable
from s3_manifest_cli.terminal.bulk_output import BulkCommand, Request, run_selection
from s3_manifest_cli.terminal.options import Many, common_options, select_options
from s3_manifest_cli.terminal.output import Printer, number


@click.command(name="rescan")
@click.argument("names", metavar="[COLLECTION]...", nargs=-1)
@select_options("Rescan every collection, also those without a manifest.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Wait this long for the result. If files differ, the rescan takes about a minute.",
)
@common_options
def rescan_command(
    names: tuple[str, ...], many: Many, wait: float | None, deployment: Deployment, printer: Printer
) -> None:
    """Make the stack compare COLLECTION with S3 and correct its manifest.

    With --wait, lists the files that differed from the manifest (drift, after a lost
    event). The stack corrects the manifest, so the exit code is 0.

    \b
    Examples:
      s3-manifest rescan style/16 --wait 120
      s3-manifest rescan 'style/*'
      s3-manifest rescan --all
    """
    if many.is_given == bool(names):
        raise click.UsageError("Pass one or more COLLECTIONs, --all or --from.")
    if many.is_given:
        many.name(None)
    end = time.monotonic() + (wait or 0)
    known: dict[Collection, RescanRequest] = {}

    def finish(request: Request) -> dict[str, Any]:
        requested = known.get(request.collection) or rescan(deployment.manifests, request.collection)
        if wait is None:
            request.printer.write(f"{_name(requested)}: rescan requested at {requested.requested_at}.")
            return _fields(requested)
        clock = Clock(time.monotonic, request.sleep)
        result = wait_for(deployment.manifests, requested, max(0.0, end - time.monotonic()), clock)
        _print(result, request.printer)
        return _result_fields(result)

    hint = "Done once 's3-manifest info COLLECTION' shows a later 'last verified'." if wait is None else None
    if len(names) == 1 and not many.are_selected(names[0], None):
        document = finish(Request(deployment, deployment.collection(names[0]), names[0], None, printer))
        if hint:
            printer.write(hint)
        printer.document([document])
        return
    command = BulkCommand("rescan", lambda request: request.printer.document(finish(request)), _numbers, _line, hint)
    if many.is_all:
        requested = rescan_all(deployment)
        known = {request.collection: request for request in requested.requests}
        failures = [
            SelectionFailure(all_of(item.kind, item.s3_bucket), Unavailable(item.problem))
            for item in requested.unreadable
        ]
        run_selection(command, Selection(deployment, list(known), failures), None, printer)
    selection = select(deployment, many.names(None) if many.is_given else list(names))
    if wait is not None:  # all sweeps are requested before it waits for the first; a request that fails is repeated
        outcomes = for_each(selection, lambda own, collection, _: rescan(own.manifests, collection))
        known = {outcome.item: outcome.result for outcome in outcomes if outcome.result}
    run_selection(command, selection, None, printer)


def _numbers(document: Mapping[str, Any]) -> Mapping[str, int]:
    if "drift" not in document:
        return {"requested": 1}
    return {"verified": 1, "files corrected": len(document["drift"] or ())}


def _line(document: Mapping[str, Any]) -> str:
    if "drift" not in document:
        return f"rescan requested at {document['requested_at']}"
    corrected = f", {number(len(document['drift']), 'file')} corrected" if document["drift"] else ""
    return f"verified at {document['last_verified_at']}, revision {document['revision']}{corrected}"


def _name(request: RescanRequest) -> str:
    return f"{request.collection.kind}/{request.collection.id}"


def _print(result: RescanResult, printer: Printer) -> None:
    facts, drift = result.facts, result.drift
    if drift:
        summary = f"corrected the manifest: it differed from S3 for {number(len(drift), 'file')}"
    elif drift is not None:
        summary = "no drift"
    elif result.request.revision is None:
        summary = f"the manifest is complete now, with {number(facts.total_files, 'file')}"
    else:
        summary = "drift unknown: the changes are no longer kept"
    printer.write(
        f"{_name(result.request)}: verified at {facts.last_verified_at}, revision {facts.revision}: {summary}."
    )
    for entry in drift or ():
        printer.write(f"  {entry.sort} {entry.filename} (revision {entry.revision})", "yellow")


def _fields(request: RescanRequest) -> dict[str, Any]:
    return {"kind": request.collection.kind, "id": request.collection.id, "requested_at": request.requested_at}


def _result_fields(result: RescanResult) -> dict[str, Any]:
    return _fields(result.request) | {
        "last_verified_at": result.facts.last_verified_at,
        "revision": result.facts.revision,
        "drift": None if result.drift is None else [entry._asdict() for entry in result.drift],
    }
