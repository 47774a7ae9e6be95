"""``s3-manifest rescan``."""

import time
from typing import Any

import click

from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.rescan import RescanRequest, RescanResult, rescan, rescan_all, wait_for
from s3_manifest_cli.terminal.options import common_options
from s3_manifest_cli.terminal.output import Printer, number


@click.command(name="rescan")
@click.argument("names", metavar="[COLLECTION]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Rescan every collection, also those without a manifest.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Wait this long for the result. If files differ, the rescan takes about a minute.",
)
@common_options
def rescan_command(
    names: tuple[str, ...], is_all: bool, wait: float | None, deployment: Deployment, printer: Printer
) -> None:
    """Make the stack compare COLLECTION with S3 and correct its manifest.

    With --wait, lists the files that differed from the manifest (drift, after a lost
    event). The stack corrects the manifest, so the exit code is 0.

    \b
    Examples:
      s3-manifest rescan style/16 --wait 120
      s3-manifest rescan --all
    """
    if is_all == bool(names):
        raise click.UsageError("Pass one or more COLLECTIONs, or --all.")
    if is_all:
        requests = rescan_all(deployment)
    else:
        requests = [rescan(deployment.manifests, deployment.collection(name)) for name in names]
    if wait is None:
        for request in requests:
            printer.write(f"{_name(request)}: rescan requested at {request.requested_at}.")
        printer.write("Done once 's3-manifest info COLLECTION' shows a later 'last verified'.")
        printer.document([_fields(request) for request in requests])
        return
    results: list[RescanResult] = []
    end = time.monotonic() + wait
    for request in requests:
        results.append(wait_for(deployment.manifests, request, max(0.0, end - time.monotonic())))
        _print(results[-1], printer)
    printer.document([_result_fields(result) for result in results])


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
