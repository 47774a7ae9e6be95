"""What of a plan is not begun: files that cannot be where they would go, or that are none of the collection's."""

import contextlib
from collections.abc import Iterator, Mapping

from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection
from s3_manifest.manifest.filenames import no_path
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest_cli.client.local import names
from s3_manifest_cli.client.local.folders import Folder
from s3_manifest_cli.client.local.names import FileSystem
from s3_manifest_cli.client.local.probe import folding_of
from s3_manifest_cli.client.manifests import cache
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.plan import Action, Plan
from s3_manifest_cli.errors import NotFound


def refusals(
    deployment: Deployment,
    collection: Collection,
    plan: Plan,
    file_system: FileSystem | None,
    source: Folder | None,
    *,
    portable: bool,
) -> Mapping[str, str]:
    """Why nothing is done to files, by name: for their own names, or for what else is there or comes.

    What a pull would refuse is not stored in S3 either. ``file_system`` is that of the folder that is written to, if
    one is, and ``source`` the folder that is read; with ``portable`` names are refused that some other file system
    could not hold. Raises ``NotFound``, ``Unavailable``.
    """
    refused = {one.filename: why for one in plan.actions if (why := _misplaced(deployment, collection, one))}
    downloads = [one.filename for one in plan.of("download")]
    if file_system and downloads:
        together = names.refusals(
            {*downloads, *_beside(deployment, collection, plan)},
            file_system=file_system.portable() if portable else file_system,
        )
        refused |= {name: together[name] for name in downloads if name in together}
    if stored := [one.filename for one in plan.of("upload", "copy") if one.filename not in refused]:
        refused |= names.refused_uploads(
            stored,
            _left(deployment, collection, plan),
            file_system=file_system or FileSystem(),
            folds=lambda: file_system or (folding_of(source, stored) if source else FileSystem()),
        )
    return refused


def _left(deployment: Deployment, collection: Collection, plan: Plan) -> Iterator[str]:
    """What is in S3 once all that is to be deleted there is gone."""
    deleted = {one.filename for one in plan.of("delete_remote")}
    with contextlib.suppress(NotFound):  # there is nothing yet
        index = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
        yield from (one.filename for one in index.files() if one.filename not in deleted)


def _beside(deployment: Deployment, collection: Collection, plan: Plan) -> Iterator[str]:
    """What may be there besides the downloads, as an earlier run has fetched it."""
    if plan.verb != "restore":
        index = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
        yield from (one.filename for one in index.files() if one.role != "hidden")


def _misplaced(deployment: Deployment, collection: Collection, action: Action) -> str | None:
    """Why an action is none of this folder and collection's, as in a plan that somebody wrote."""
    name = action.filename
    if action.action in {"upload", "delete_local"} and (why := no_path(name)):
        return f"{why}; rename the file"
    if action.action in {"upload", "copy", "delete_remote"}:
        key = collection.prefix + name
        if name in SIDECARS or deployment.collections.of(key) != collection:
            return f"it is no file of {collection.kind}/{collection.id}, so nothing is done to it"
        if (size := len(key.encode())) > MAX_KEY_BYTES:
            return f"its key would have {size:,} bytes, and S3 has at most {MAX_KEY_BYTES:,}; rename it"
    return None
