"""Restores a collection as it was at some revision, to a folder or in S3."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.hashes import scan_folder
from s3_manifest_cli.client.local.scan import Problem, check_folder
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.manifests import RemoteFile
from s3_manifest_cli.client.sync.execute import SyncResult
from s3_manifest_cli.client.sync.options import DEFAULTS, SyncOptions
from s3_manifest_cli.client.sync.plan import Action, action_for, actions
from s3_manifest_cli.client.sync.sync import PreparedPlan, absolute, apply_plan, new_plan, refusal
from s3_manifest_cli.client.verify.compare import FileState, FileStatus
from s3_manifest_cli.client.verify.status import LocalCopy
from s3_manifest_cli.errors import NotFound


def prepare_restore(
    deployment: Deployment,
    collection: Collection,
    folder: Path | None,
    filters: Filter = EVERYTHING,
    options: SyncOptions = DEFAULTS,
) -> PreparedPlan:
    """The plan that gives the folder, or S3 itself if it is None, the files of the manifest; nothing is changed.

    The manifest is the current one, or the one at ``options.revision`` or ``options.at``. Files that were replaced or
    deleted since come from the versions that the manifest names: only a versioned bucket has them, and a missing
    version fails when the plan is executed. ``options.delete`` also deletes files that the manifest does not have.
    Raises ``NotFound`` if there is no such manifest, or no file in it that the filters include; ``Refused`` as
    ``prepare``; ``Unavailable``.
    """
    if folder is not None:
        check_folder(folder, must_exist=False)
    manifest = deployment.manifests.read(collection, revision=options.revision, at=options.at)
    entries = manifest.entries
    is_selected = filters.predicate()
    if filters.include and not any(map(is_selected, entries)):
        name, revision = f"{collection.kind}/{collection.id}", manifest.facts.revision
        raise NotFound(f"{name} had no file that matches --include at revision {revision}.")
    index = deployment.current_index(collection)
    current = {file.filename: file for file in index.files()}
    problems: list[Problem] = []
    if folder is None:
        unmatched = filters.unmatched({*entries, *current})
        files = [file for file in _compare_in_s3(entries, current) if is_selected(file.filename)]
        planned = tuple(_copies(files, entries, delete=options.delete))
    else:
        remote = [RemoteFile.from_entry(entry) for _, entry in sorted(entries.items())]
        local = scan_folder(folder, deployment.cache)
        copy = LocalCopy(deployment, folder, collection, filters)
        comparison = copy.compare(local, remote, progress=options.progress.on_read)
        files, unmatched = comparison.files, comparison.unmatched
        problems = filters.select_problems(local.problems)
        planned = tuple(_with_version(action, entries, current) for action in actions("pull", files, options))
    path = absolute(folder) if folder else ""
    plan = new_plan("restore", path, collection, manifest.facts, planned)
    refused = refusal(plan, index.facts, options)
    return PreparedPlan(plan, manifest.facts, files, problems, unmatched, refused)


def restore(
    deployment: Deployment,
    collection: Collection,
    folder: Path | None,
    filters: Filter = EVERYTHING,
    options: SyncOptions = DEFAULTS,
) -> SyncResult:
    """Restores the files to the folder, or in S3 if it is None. Raises as ``prepare_restore`` and ``apply_plan``."""
    prepared = prepare_restore(deployment, collection, folder, filters, options)
    return apply_plan(deployment, prepared.plan, prepared.files, options)


def _with_version(action: Action, entries: Mapping[str, Entry], current: Mapping[str, RemoteFile]) -> Action:
    entry, file = entries.get(action.filename), current.get(action.filename)
    if entry is None:
        # The object of a file that is deleted here may be newer than the restored manifest.
        return action.model_copy(update={"etag": file.etag if file else None})
    # The permission to read objects does not include their versions.
    is_newest = file is not None and file.etag == entry.etag
    return action.model_copy(update={"version_id": None if is_newest else entry.version_id})


def _compare_in_s3(entries: Mapping[str, Entry], current: Mapping[str, RemoteFile]) -> Iterator[FileStatus]:
    """Compares the restored with the current files: ``s3_only`` only the former have, ``local_only`` the latter."""
    for filename in sorted({*entries, *current}):
        entry, file = entries.get(filename), current.get(filename)
        state: FileState = "local_only" if entry is None else "s3_only" if file is None else "out_of_sync"
        if entry and file and entry.etag == file.etag and entry.md5_hash in {None, file.md5}:
            state = "synced"
        yield FileStatus(filename, state, None, file)


def _copies(files: list[FileStatus], entries: Mapping[str, Entry], *, delete: bool) -> Iterator[Action]:
    for file in files:
        entry = entries.get(file.filename)
        if entry and file.state != "synced":
            update = {"size": entry.size_bytes, "version_id": entry.version_id}
            yield action_for("copy", file).model_copy(update=update)
        elif not entry and delete:
            yield action_for("delete_remote", file)
