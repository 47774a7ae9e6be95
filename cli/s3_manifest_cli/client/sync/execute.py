"""Executes a plan: transfers concurrently, then deletions; one failure does not stop other files."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection
from s3_manifest.manifest.filenames import path_problem
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest_cli.client.local import names
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.disk import disk_error
from s3_manifest_cli.client.local.file_system import FileSystem, detect_name_folding
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.options import SyncOptions
from s3_manifest_cli.client.sync.plan import Action, BaselineEntry, Plan
from s3_manifest_cli.client.sync.runner import Runner, Step, download_request
from s3_manifest_cli.client.transfer.cancellation import Cancellation
from s3_manifest_cli.client.transfer.concurrency import Outcome, map_concurrently
from s3_manifest_cli.client.transfer.download import PART, Fetched, prefetch
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.client.transfer.resumable_uploads import UnfinishedUploads
from s3_manifest_cli.errors import NotFound

_WRITERS = 2
"""Threads that write small objects to the disk: more of them wait for each other, and take longer."""

_TRANSFERS = frozenset({"download", "upload", "copy"})


class SyncResult(NamedTuple):
    """The result of a plan: a step for each action, in the same order; none after a dry run."""

    plan: Plan
    steps: tuple[Step, ...]

    @property
    def done(self) -> list[Step]:
        """The steps that succeeded."""
        return [step for step in self.steps if step.error is None and step.action.action != "conflict"]

    @property
    def failed(self) -> list[Step]:
        """The steps that failed, each with its ``error``."""
        return [step for step in self.steps if step.error is not None]

    @property
    def conflicts(self) -> list[Step]:
        """The files that both sides changed, and that the user has to decide."""
        return [step for step in self.steps if step.action.action == "conflict"]


def execute(
    deployment: Deployment,
    collection: Collection,
    plan: Plan,
    options: SyncOptions,
    baseline: Mapping[str, BaselineEntry],
) -> SyncResult:
    """Executes a plan: first the transfers, and then the deletions, unless a transfer failed.

    A repeat, after a failure or an end at any moment, completes the plan: it recognizes finished files by their bytes,
    or by the baseline. Raises ``Refused`` if another run works in the folder; ``Unavailable`` without credentials or
    if the folder cannot be opened; ``Cancelled``.
    """
    if not plan.select("download", "upload", "copy", "delete_local", "delete_remote"):
        return SyncResult(plan, tuple(map(Step, plan.actions)))
    cancellation = options.cancellation or Cancellation()
    with ExitStack() as stack:
        objects = stack.enter_context(
            Objects(plan.s3_bucket, deployment.session, deployment.endpoint, cancellation=cancellation)
        )
        unfinished = UnfinishedUploads(deployment.cache / "uploads")
        source, destination = _open_folders(plan, stack)
        runner = Runner(objects, collection, plan.folder, source, destination, unfinished, options, baseline)
        file_system = destination.file_system if destination else None
        refused = _refusals(deployment, collection, plan, file_system, source, portable=options.portable)
        steps = {
            action.filename: Step(action, refused[action.filename], is_name_refused=True)
            for action in plan.actions
            if action.filename in refused
        }
        allowed = [action for action in plan.actions if action.filename not in refused]
        steps |= _run_all(runner, [action for action in allowed if action.action in _TRANSFERS])
        if uploads := plan.select("upload"):
            unfinished.abort_idle(objects, {collection.prefix + action.filename for action in uploads})
        deletions = [action for action in allowed if action.action in {"delete_local", "delete_remote"}]
        if any(step.error for step in steps.values()):
            error = "not deleted, because other files failed. Fix or --exclude those, and run the command again"
            steps |= {action.filename: Step(action, error) for action in deletions}
        else:
            steps |= _run_all(runner, deletions)
    steps |= {action.filename: Step(action) for action in plan.select("conflict")}
    return SyncResult(plan, tuple(steps[action.filename] for action in plan.actions))


def _open_folders(plan: Plan, stack: ExitStack) -> tuple[Folder | None, Destination | None]:
    """The folder of the plan, opened for reading if there are uploads, and for writing if files change there."""
    source = destination = None
    if plan.select("download", "delete_local"):
        destination = stack.enter_context(Destination(Path(plan.folder)))
        downloads = plan.select("download")
        destination.tidy((action.filename, download_request(action, plan.s3_prefix).token) for action in downloads)
    if plan.select("upload"):
        try:
            source = stack.enter_context(folder_at(plan.folder))
        except OSError as error:
            raise disk_error(plan.folder, "not read", error) from error
    return source, destination


def _run_all(runner: Runner, actions: Sequence[Action]) -> Mapping[str, Step]:
    """Runs actions concurrently, and returns their steps by filename. Raises ``Cancelled``."""
    steps: dict[str, Step] = {}
    for outcome in _outcomes(runner, actions):
        action = outcome.item
        steps[action.filename] = outcome.result or Step(action, runner.explain(action, outcome.error))
        if action.action in _TRANSFERS:
            runner.options.progress.on_file()
    runner.objects.cancellation.check()
    return steps


def _outcomes(runner: Runner, actions: Sequence[Action]) -> Iterator[Outcome[Action, Step]]:
    small: list[Action] = []
    others: list[Action] = []
    for action in actions:
        is_small = action.action == "download" and action.size <= PART and action.etag is not None
        (small if is_small else others).append(action)
    objects = runner.objects

    def write(fetched: Fetched[Action]) -> Step:
        try:
            if fetched.error:
                raise fetched.error
            return runner.download(fetched.item, fetched.body[0])
        finally:
            fetched.body.clear()  # the outcome would keep it in memory
            objects.budget.release(fetched.reserved)

    if small:
        requests = ((action, download_request(action, runner.collection.prefix)) for action in small)
        for outcome in map_concurrently(write, prefetch(objects, requests), objects.cancellation, threads=_WRITERS):
            yield Outcome(outcome.item.item, outcome.result, outcome.error)
    if others:
        yield from map_concurrently(runner.run, others, objects.cancellation)


def _refusals(
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
            detect=lambda: file_system or (detect_name_folding(source, stored) if source else FileSystem()),
        )
    return refused


def _remaining(deployment: Deployment, collection: Collection, plan: Plan) -> Iterator[str]:
    """The filenames in S3 that the plan does not delete."""
    deleted = {action.filename for action in plan.select("delete_remote")}
    with contextlib.suppress(NotFound):  # there is no manifest yet
        index = deployment.current_index(collection)
        yield from (file.filename for file in index.files() if file.filename not in deleted)


def _downloaded_earlier(deployment: Deployment, collection: Collection, plan: Plan) -> Iterator[str]:
    """The filenames that earlier pulls may have written besides this plan's downloads."""
    if plan.verb != "restore":
        index = deployment.current_index(collection)
        yield from (file.filename for file in index.files() if file.role != "hidden")


def _misplaced(deployment: Deployment, collection: Collection, action: Action) -> str | None:
    """Why an action does not belong to this folder and collection, as in an edited plan; None if it does."""
    name = action.filename
    if action.action in {"upload", "delete_local"} and (why := path_problem(name)):
        return f"{why}; rename the file"
    if action.action in {"upload", "copy", "delete_remote"}:
        key = collection.prefix + name
        if name in SIDECARS or deployment.collections.collection_of(key) != collection:
            return f"skipped, it is not a file of {collection.kind}/{collection.id}"
        if (size := len(key.encode())) > MAX_KEY_BYTES:
            return f"its key would have {size:,} bytes; S3 allows {MAX_KEY_BYTES:,}. Rename the file"
    return None
