"""``s3-manifest info``."""

import click

from s3_manifest.manifest.encoding import facts_json
from s3_manifest.manifest.model import Facts, Timestamp
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.terminal.manifest_warnings import warn_of_doubts
from s3_manifest_cli.terminal.options import deployment, past, telling
from s3_manifest_cli.terminal.output import Teller, files, size


@click.command()
@click.argument("collection")
@past
@deployment
@telling
def info(collection: str, revision: int | None, at: Timestamp | None, deployment: Deployment, teller: Teller) -> None:
    """Tell what the manifest of COLLECTION says of it, apart from the files."""
    facts = deployment.manifests.facts(deployment.collection(collection), revision=revision, at=at)
    _tell(facts, teller)
    warn_of_doubts(facts, teller, is_past=revision is not None or at is not None)
    teller.document(facts_json(facts))


def _tell(facts: Facts, teller: Teller) -> None:
    name = f"{facts.kind}/{facts.id}"
    teller.say(f"{name}  {facts.title}" if facts.title else name)
    teller.say(f"  in             s3://{facts.s3_bucket}/{facts.s3_prefix}")
    teller.say(f"  files          {facts.total_files:,}, {size(facts.total_size_bytes)}")
    teller.say(f"  revision       {facts.revision}{'' if facts.complete else ', incomplete'}")
    teller.say(f"  last synced    {facts.last_synced}")
    teller.say(f"  last verified  {facts.last_verified_at or 'never'}")
    for index, one in enumerate(facts.generations):
        declared = "" if one.declared else ", not declared"
        told = f"{one.type} {one.generation_id}: {files(one.image_count)}, {one.generated_at}{declared}"
        teller.say(f"  {'' if index else 'generations':<13}  {told}")
    for index, sidecar in enumerate(facts.sidecars):
        applied = "" if sidecar.is_applied else ", being applied"
        gone = "" if sidecar.etag else ", gone"
        told = sidecar.s3_key.removeprefix(facts.s3_prefix) + gone + applied
        teller.say(f"  {'' if index else 'sidecars':<13}  {told}")
    for problem in facts.problems:
        teller.say(f"! {problem.s3_key}: {problem.problem}", "magenta")
    if facts.last_verified_at is None:
        teller.say(f"To compare it with what is in S3: s3-manifest rescan {name}")
