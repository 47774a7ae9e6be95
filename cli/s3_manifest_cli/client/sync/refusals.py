"""Files of a plan that are refused: for their names, or because they are not the collection's."""

import contextlib
from collections.abc import Iterator, Mapping

from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection
from s3_manifest.manifest.filenames import no_path
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest_cli.client.local import names
from s3_manifest_cli.client.local.file_system import detect_name_folding
from s3_manifest_cli.client.local.folders import Folder
from s3_manifest_cli.client.local.names import FileSystem
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
    """The reason for each file that is refused, by filename.

    Names that a pull would refuse are not uploaded either. ``file_system`` is that of the folder that changes, if one
    does, and ``source`` the folder of the uploads; ``portable`` also refuses names that another file system could not
    hold. Raises ``NotFound``, ``Unavailable``.
    """
    refused = {action.filename: why for action in plan.actions if (why := _misplaced(deployment, collection, action))}
    downloads = [action.filename for action in plan.select("download")]
    if file_system and downloads:
        together = names.invalid_names(
            {*downloads, *_downloaded_earlier(deployment, collection, plan)},
            file_system=file_system.portable() if portable else file_system,
        )
        refused |= {name: together[name] for name in downloads if name in together}
    if stored := [action.filename for action in plan.select("upload", "copy") if action.filename not in refused]:
        refused |= names.invalid_upload_names(
            stored,
            _remaining(deployment, collection, plan),
            file_system=file_system or FileSystem(),
            folds=lambda: file_system or (detect_name_folding(source, stored) if source else FileSystem()),
        )
    return refused


def _remaining(deployment: Deployment, collection: Collection, plan: Plan) -> Iterator[str]:
    """The filenames in S3 that the plan does not delete."""
    deleted = {action.filename for action in plan.select("delete_remote")}
    with contextlib.suppress(NotFound):  # there is no manifest yet
        index = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
        yield from (file.filename for file in index.files() if file.filename not in deleted)


def _downloaded_earlier(deployment: Deployment, collection: Collection, plan: Plan) -> Iterator[str]:
    """The filenames that earlier pulls may have written besides this plan's downloads."""
    if plan.verb != "restore":
        index = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
        yield from (file.filename for file in index.files() if file.role != "hidden")


def _misplaced(deployment: Deployment, collection: Collection, action: Action) -> str | None:
    """Why an action does not belong to this folder and collection, as in an edited plan; None if it does."""
    name = action.filename
    if action.action in {"upload", "delete_local"} and (why := no_path(name)):
        return f"{why}; rename the file"
    if action.action in {"upload", "copy", "delete_remote"}:
        key = collection.prefix + name
        if name in SIDECARS or deployment.collections.of(key) != collection:
            return f"skipped, it is not a file of {collection.kind}/{collection.id}"
        if (size := len(key.encode())) > MAX_KEY_BYTES:
            return f"its key would have {size:,} bytes; S3 allows {MAX_KEY_BYTES:,}. Rename the file"
    return None
