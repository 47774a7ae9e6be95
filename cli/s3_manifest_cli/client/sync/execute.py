"""Executes a plan: transfers concurrently, then deletions; one failure does not stop other files."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from s3_manifest.manifest.collections import MAX_KEY_BYTES
from s3_manifest.manifest.filenames import path_problem
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest_cli.client.local import names
from s3_manifest_cli.client.local.file_system import FileSystem, detect_name_folding
from s3_manifest_cli.client.sync.plan import Action, Plan
from s3_manifest_cli.client.sync.runner import Runner, Step
from s3_manifest_cli.client.transfer.concurrency import Outcome, map_concurrently
from s3_manifest_cli.client.transfer.download import PART, Fetched, prefetch
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


def execute(runner: Runner) -> SyncResult:
    """Executes a plan: first the transfers, and then the deletions, unless a transfer failed.

    A repeat, after a failure or an end at any moment, completes the plan: it recognizes finished files by their bytes,
    or by the baseline. Raises ``Refused`` if another run works in the folder; ``Unavailable`` without credentials or
    if the folder cannot be opened; ``Cancelled``.
    """
    plan = runner.plan
    if not plan.select("download", "upload", "copy", "delete_local", "delete_remote"):
        return SyncResult(plan, tuple(map(Step, plan.actions)))
    with runner:
        refused = _refusals(runner)
        steps = {
            action.filename: Step(action, refused[action.filename], is_name_refused=True)
            for action in plan.actions
            if action.filename in refused
        }
        allowed = [action for action in plan.actions if action.filename not in refused]
        steps |= _run_all(runner, [action for action in allowed if action.action in _TRANSFERS])
        if uploads := plan.select("upload"):
            runner.unfinished.abort_idle(runner.objects, set(map(runner.key, uploads)))
        deletions = [action for action in allowed if action.action in {"delete_local", "delete_remote"}]
        if any(step.error for step in steps.values()):
            error = "not deleted, because other files failed. Fix or --exclude those, and run the command again"
            steps |= {action.filename: Step(action, error) for action in deletions}
        else:
            steps |= _run_all(runner, deletions)
    steps |= {action.filename: Step(action) for action in plan.select("conflict")}
    return SyncResult(plan, tuple(steps[action.filename] for action in plan.actions))


def _run_all(runner: Runner, actions: Sequence[Action]) -> Mapping[str, Step]:
    """Runs actions concurrently, and returns their steps by filename. Raises ``Cancelled``."""
    steps: dict[str, Step] = {}
    for outcome in _outcomes(runner, actions):
        action = outcome.item
        steps[action.filename] = outcome.result or Step(action, runner.explain(action, outcome.error))
        if action.action in _TRANSFERS:
            runner.options.progress.on_file()
    runner.cancellation.check()
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
        requests = ((action, runner.download_request(action)) for action in small)
        with closing(prefetch(objects, requests)) as fetched:
            for outcome in map_concurrently(write, fetched, runner.cancellation, threads=_WRITERS):
                yield Outcome(outcome.item.item, outcome.result, outcome.error)
    if others:
        yield from map_concurrently(runner.run, others, runner.cancellation)


def _refusals(runner: Runner) -> Mapping[str, str]:
    """Why files are refused, by filename; uploads also if a pull refuses them. Raises ``NotFound``, ``Unavailable``."""
    plan, source = runner.plan, runner.source
    refused = {action.filename: reason for action in plan.actions if (reason := _misplaced(runner, action))}
    file_system = runner.destination.file_system if runner.destination else None
    downloads = [action.filename for action in plan.select("download")]
    if file_system and downloads:
        existing = set(downloads)
        if plan.verb != "restore":  # earlier pulls may have written the other files
            index = runner.deployment.current_index(runner.collection)
            existing.update(file.filename for file in index.files() if file.role != "hidden")
        rules = file_system.portable() if runner.options.portable else file_system
        invalid = names.invalid_names(existing, file_system=rules)
        refused |= {name: invalid[name] for name in downloads if name in invalid}
    if stored := [action.filename for action in plan.select("upload", "copy") if action.filename not in refused]:
        refused |= names.invalid_upload_names(
            stored,
            _remaining(runner),
            file_system=file_system or FileSystem(),
            detect=lambda: file_system or (detect_name_folding(source, stored) if source else FileSystem()),
        )
    return refused


def _remaining(runner: Runner) -> Iterator[str]:
    """The filenames in S3 that the plan does not delete."""
    deleted = {action.filename for action in runner.plan.select("delete_remote")}
    with contextlib.suppress(NotFound):  # there is no manifest yet
        index = runner.deployment.current_index(runner.collection)
        yield from (file.filename for file in index.files() if file.filename not in deleted)


def _misplaced(runner: Runner, action: Action) -> str | None:
    """Why an action does not belong to this folder and collection, as in an edited plan; None if it does."""
    name, collection = action.filename, runner.collection
    if action.action in {"upload", "delete_local"} and (reason := path_problem(name)):
        return f"{reason}; rename the file"
    if action.action in {"upload", "copy", "delete_remote"}:
        key = runner.key(action)
        if name in SIDECARS or not runner.deployment.collections.contains(collection, key):
            return f"skipped, it is not a file of {collection.kind}/{collection.id}"
        if (size := len(key.encode())) > MAX_KEY_BYTES:
            return f"its key would have {size:,} bytes; S3 allows {MAX_KEY_BYTES:,}. Rename the file"
    return None
