"""What of a plan is not begun: files that cannot be where they would go, or that are none of the collection's."""

from collections.abc import Iterator, Mapping

from s3_manifest.collections import MAX_KEY_BYTES, Collection
from s3_manifest.sidecars import SIDECARS
from s3_manifest_cli.client import cache, names
from s3_manifest_cli.client.deployment import Deployment
from s3_manifest_cli.client.names import FileSystem
from s3_manifest_cli.client.plan import Action, Plan


def refusals(
    deployment: Deployment, collection: Collection, plan: Plan, file_system: FileSystem | None, *, portable: bool
) -> Mapping[str, str]:
    """Why nothing is done to files, by name: for their own names, or for what else is there or comes.

    ``file_system`` is that of the folder that is written to, if one is; with ``portable`` names are refused that some
    other one could not hold. Raises ``NotFound``, ``Unavailable``.
    """
    refused = {one.filename: why for one in plan.actions if (why := _misplaced(deployment, collection, one))}
    downloads = [one.filename for one in plan.of("download")]
    if file_system and downloads:
        together = names.refusals(
            {*downloads, *_beside(deployment, collection, plan)},
            file_system=file_system.portable() if portable else file_system,
        )
        refused |= {name: together[name] for name in downloads if name in together}
    return refused


def _beside(deployment: Deployment, collection: Collection, plan: Plan) -> Iterator[str]:
    """What may be there besides the downloads, as an earlier run has fetched it."""
    if plan.verb != "restore":
        index = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
        yield from (one.filename for one in index.files() if one.role != "hidden")


def _misplaced(deployment: Deployment, collection: Collection, action: Action) -> str | None:
    """Why an action is none of this folder and collection's, as in a plan that somebody wrote."""
    name = action.filename
    if action.action in {"upload", "delete_local"} and (why := names.no_path(name)):
        return why
    if action.action in {"upload", "copy", "delete_remote"}:
        key = collection.prefix + name
        if name in SIDECARS or deployment.collections.of(key) != collection:
            return f"it is no file of {collection.kind}/{collection.id}, so nothing is done to it"
        if (size := len(key.encode())) > MAX_KEY_BYTES:
            return f"its key would have {size:,} bytes, and S3 has at most {MAX_KEY_BYTES:,}; rename it"
    return None
