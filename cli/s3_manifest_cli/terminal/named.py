"""COLLECTION and LOCAL among a command's arguments: one that is missing, and both in the wrong order."""

from pathlib import Path

import click

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.errors import Invalid


def named_collection(deployment: Deployment, named: str, local: Path | None, right_order: str) -> Collection:
    """The collection of that name. ``right_order`` is the command, with ``{local}`` and ``{collection}``.

    Raises as ``Deployment.collection``, and says so where LOCAL was named in place of COLLECTION.
    """
    try:
        return deployment.collection(named)
    except Invalid as error:
        other = "" if local is None else local.as_posix()
        kind, slash, collection_id = other.partition("/")
        if slash and deployment.collections.named(kind, collection_id):
            command = right_order.format(local=named, collection=other)
            raise Invalid(f"{named!r} is not a collection.", remedy=f"Did you mean 's3-manifest {command}'?") from error
        raise


def missing(*names: str) -> click.UsageError:
    """The error of a command of which arguments are missing."""
    plural = "s" if len(names) > 1 else ""
    return click.UsageError(f"Missing argument{plural} {' and '.join(names)}.")
