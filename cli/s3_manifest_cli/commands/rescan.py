"""``s3-manifest rescan``."""

import time
from typing import Any

import click

from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.rescan import RescanRequest, RescanResult, rescan, rescan_all, wait_for
from s3_manifest_cli.terminal.options import deployment_options, output_options
from s3_manifest_cli.terminal.output import Printer, files


@click.command(name="rescan")
@click.argument("names", metavar="[COLLECTION]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every collection, also those that have no manifest yet.")
@click.option(
    "--wait", type=click.FloatRange(0), metavar="SECONDS", help="Wait until it is done; drift takes a minute."
)
@deployment_options
@output_options
def rescan_command(
    names: tuple[str, ...], everything: bool, wait: float | None, deployment: Deployment, printer: Printer
) -> None:
    """Have the stack compare COLLECTIONs with what is in S3, and mend their manifests.

    With --wait, what was found is told: drift, that is files that the manifest was wrong about, and that no event
    told of. It is mended by then, and the exit code is 0.
    """
    if everything == bool(names):
        raise click.UsageError("name the collections, or give --all")
    if everything:
        asked = rescan_all(deployment)
    else:
        asked = [rescan(deployment.manifests, deployment.collection(one)) for one in names]
    done: list[RescanResult] = []
    end = time.monotonic() + (wait or 0)
    for one in asked if wait is not None else ():
        done.append(wait_for(deployment.manifests, one, max(0.0, end - time.monotonic())))
        _tell(done[-1], printer)
    if wait is None:
        for one in asked:
            printer.write(f"{_name(one)}: asked for at {one.requested_at}")
        printer.write("Each is done once its manifest was verified after that: s3-manifest info COLLECTION")
    printer.document([_json(one) for one in (done or asked)])


def _name(asked: RescanRequest) -> str:
    return f"{asked.collection.kind}/{asked.collection.id}"


def _tell(swept: RescanResult, printer: Printer) -> None:
    facts, drift = swept.facts, swept.drift
    if drift is None:
        found = "whether there was drift is not told by what is kept"
        if swept.request.revision is None or not swept.request.complete:
            found = f"{files(facts.total_files)}, the manifest is complete now"
    else:
        found = f"not as the manifest said: {files(len(drift))}" if drift else "no drift"
    printer.write(f"{_name(swept.request)}: verified at {facts.last_verified_at}, revision {facts.revision}: {found}")
    for one in drift or ():
        printer.write(f"  {one.sort} {one.filename} (revision {one.revision})", "yellow")


def _json(one: RescanRequest | RescanResult) -> dict[str, Any]:
    asked = one.request if isinstance(one, RescanResult) else one
    fields: dict[str, Any] = {
        "kind": asked.collection.kind,
        "id": asked.collection.id,
        "requested_at": asked.requested_at,
    }
    if isinstance(one, RescanResult):
        drift = None if one.drift is None else [found._asdict() for found in one.drift]
        fields |= {"last_verified_at": one.facts.last_verified_at, "revision": one.facts.revision, "drift": drift}
    return fields
