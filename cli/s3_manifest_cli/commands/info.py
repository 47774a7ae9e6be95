"""``s3-manifest info``."""

import click

from s3_manifest.manifest.encoding import facts_json
from s3_manifest.manifest.model import Facts, Timestamp
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.terminal.options import common_options, revision_options
from s3_manifest_cli.terminal.output import Printer, number, size


@click.command()
@click.argument("collection")
@revision_options
@common_options
def info(collection: str, revision: int | None, at: Timestamp | None, deployment: Deployment, printer: Printer) -> None:
    """Show the totals, generations and sidecars of COLLECTION.

    \b
    Examples:
      s3-manifest info style/16
      s3-manifest info style/16 --revision 1
    """
    facts = deployment.manifests.facts(deployment.collection(collection), revision=revision, at=at)
    _print(facts, printer)
    printer.warn_of_manifest(facts, is_past=revision is not None or at is not None)
    printer.document(facts_json(facts))


def _print(facts: Facts, printer: Printer) -> None:
    name = f"{facts.kind}/{facts.id}"
    printer.write(f"{name}  {facts.title}" if facts.title else name)
    printer.write(f"  location       s3://{facts.s3_bucket}/{facts.s3_prefix}")
    printer.write(f"  files          {facts.total_files:,} ({size(facts.total_size_bytes)})")
    printer.write(f"  revision       {facts.revision}{'' if facts.complete else ', incomplete'}")
    printer.write(f"  last synced    {facts.last_synced}")
    printer.write(f"  last verified  {facts.last_verified_at or 'never'}")
    for index, generation in enumerate(facts.generations):
        declared = "" if generation.declared else ", not declared"
        text = f"{generation.type} {generation.generation_id}: {number(generation.image_count, 'file')}"
        printer.write(f"  {'' if index else 'generations':<13}  {text}, {generation.generated_at}{declared}")
    for index, sidecar in enumerate(facts.sidecars):
        state = ("" if sidecar.etag else ", deleted") + ("" if sidecar.is_applied else ", being applied")
        text = sidecar.s3_key.removeprefix(facts.s3_prefix) + state
        printer.write(f"  {'' if index else 'sidecars':<13}  {text}")
    for problem in facts.problems:
        printer.write(f"! {problem.s3_key}: {problem.problem}", "magenta")
    if facts.last_verified_at is None:
        printer.write(f"To compare the manifest with S3: s3-manifest rescan {name}")
