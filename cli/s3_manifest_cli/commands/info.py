"""``s3-manifest info``."""

import click

from s3_manifest.manifest.encoding import facts_json
from s3_manifest.manifest.model import Facts, Timestamp
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.terminal.manifest_warnings import warn_of_doubts
from s3_manifest_cli.terminal.options import deployment_options, output_options, revision_options
from s3_manifest_cli.terminal.output import Printer, files, size


@click.command()
@click.argument("collection")
@revision_options
@deployment_options
@output_options
def info(collection: str, revision: int | None, at: Timestamp | None, deployment: Deployment, printer: Printer) -> None:
    """Tell what the manifest of COLLECTION says of it, apart from the files."""
    facts = deployment.manifests.facts(deployment.collection(collection), revision=revision, at=at)
    _tell(facts, printer)
    warn_of_doubts(facts, printer, is_past=revision is not None or at is not None)
    printer.document(facts_json(facts))


def _tell(facts: Facts, printer: Printer) -> None:
    name = f"{facts.kind}/{facts.id}"
    printer.write(f"{name}  {facts.title}" if facts.title else name)
    printer.write(f"  in             s3://{facts.s3_bucket}/{facts.s3_prefix}")
    printer.write(f"  files          {facts.total_files:,}, {size(facts.total_size_bytes)}")
    printer.write(f"  revision       {facts.revision}{'' if facts.complete else ', incomplete'}")
    printer.write(f"  last synced    {facts.last_synced}")
    printer.write(f"  last verified  {facts.last_verified_at or 'never'}")
    for index, one in enumerate(facts.generations):
        declared = "" if one.declared else ", not declared"
        told = f"{one.type} {one.generation_id}: {files(one.image_count)}, {one.generated_at}{declared}"
        printer.write(f"  {'' if index else 'generations':<13}  {told}")
    for index, sidecar in enumerate(facts.sidecars):
        applied = "" if sidecar.is_applied else ", being applied"
        gone = "" if sidecar.etag else ", gone"
        told = sidecar.s3_key.removeprefix(facts.s3_prefix) + gone + applied
        printer.write(f"  {'' if index else 'sidecars':<13}  {told}")
    for problem in facts.problems:
        printer.write(f"! {problem.s3_key}: {problem.problem}", "magenta")
    if facts.last_verified_at is None:
        printer.write(f"To compare it with what is in S3: s3-manifest rescan {name}")
