"""Makes a folder and a collection the same: plans from the manifest and the MD5s of files, then applies the plan."""

import contextlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.hashes import DigestCache, LocalScan, scan_folder
from s3_manifest_cli.client.local.scan import LocalFile, Problem, check_folder
from s3_manifest_cli.client.local.state_files import stable_name, write_atomically
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.execute import SyncResult, execute
from s3_manifest_cli.client.sync.options import DEFAULTS, SyncOptions
from s3_manifest_cli.client.sync.plan import Action, BaselineEntry, Plan, Verb, actions, check_deletions
from s3_manifest_cli.client.sync.runner import Runner
from s3_manifest_cli.client.transfer.cancellation import Cancellation
from s3_manifest_cli.client.verify.compare import FileStatus
from s3_manifest_cli.client.verify.status import LocalCopy
from s3_manifest_cli.errors import Invalid, NotFound, Refused, Unavailable

_POLL_SECONDS = 0.5
_ENTRIES = TypeAdapter(dict[str, BaselineEntry])


class Baseline:
    """The files at the last sync, stored here: they show which side changed. Without them more files conflict."""

    def __init__(self, deployment: Deployment, collection: Collection, folder: Path) -> None:
        name = stable_name(folder.resolve(), *deployment.state_of(collection))
        self._path = deployment.cache / f"base-{name}.json"
        self.entries: dict[str, BaselineEntry] = {}
        with contextlib.suppress(OSError, ValidationError):
            self.entries = _ENTRIES.validate_json(self._path.read_bytes())

    def save(self) -> None:
        """Stores the entries, if the cache is writable."""
        with contextlib.suppress(OSError):
            write_atomically(self._path, _ENTRIES.dump_json(self.entries))


class PreparedPlan(NamedTuple):
    """A plan and what it derives from. ``facts`` is None if the collection has no manifest yet.

    ``unmatched`` lists filters, as options, that match nothing on either side. ``refused`` is the reason why the
    deletions of the plan are refused; only a dry run returns such a plan.
    """

    plan: Plan
    facts: Facts | None
    files: list[FileStatus]
    problems: list[Problem]
    unmatched: tuple[str, ...] = ()
    refused: str | None = None


def prepare(
    deployment: Deployment,
    verb: Verb,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    options: SyncOptions = DEFAULTS,
) -> PreparedPlan:
    """The plan of a pull, push or sync; nothing is changed.

    Raises ``Invalid`` if there is no folder to push, ``NotFound`` if there is no manifest to pull, ``Unavailable``, and
    ``Refused`` for deletions: too many, by a manifest that is incomplete or stale, or of objects whose files may only
    be unreadable. A dry run returns a refused plan, with the reason.
    """
    check_folder(folder, must_exist=verb == "push")
    path = absolute(folder)
    index = None
    try:
        index = deployment.current_index(collection)
    except NotFound:
        if verb == "pull":
            raise
    facts = index.facts if index else None
    remote = list(index.files()) if index else []
    local = scan_folder(folder, deployment.cache)
    copy = LocalCopy(deployment, folder, collection, filters)
    comparison = copy.compare(local, remote, progress=options.progress.on_read)
    files = comparison.files
    planned = actions(verb, files, options, Baseline(deployment, collection, folder).entries)
    plan = new_plan(verb, path, collection, facts, planned)
    refused = refusal(plan, facts, options, local, filters)
    return PreparedPlan(plan, facts, files, filters.select_problems(local.problems), comparison.unmatched, refused)


def pull(
    deployment: Deployment,
    collection: Collection,
    folder: Path,
    filters: Filter = EVERYTHING,
    options: SyncOptions = DEFAULTS,
) -> SyncResult:
    """Downloads the collection into the folder, only what differs. Raises as ``prepare`` and ``apply_plan``."""
    prepared = prepare(deployment, "pull", folder, collection, filters, options)
    return apply_plan(deployment, prepared.plan, prepared.files, options)


def push(
    deployment: Deployment,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    options: SyncOptions = DEFAULTS,
) -> SyncResult:
    """Uploads the folder to the collection, only what differs. Raises as ``prepare`` and ``apply_plan``."""
    prepared = prepare(deployment, "push", folder, collection, filters, options)
    return apply_plan(deployment, prepared.plan, prepared.files, options)


def sync(
    deployment: Deployment,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    options: SyncOptions = DEFAULTS,
) -> SyncResult:
    """Transfers changes in both directions; files that both sides changed are ``conflicts``. Raises as ``pull``."""
    prepared = prepare(deployment, "sync", folder, collection, filters, options)
    return apply_plan(deployment, prepared.plan, prepared.files, options)


def absolute(folder: Path) -> str:
    """The absolute path of a folder. Raises ``Invalid`` if it is not UTF-8."""
    path = str(folder.absolute())
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"The path of the folder is not UTF-8: {path!a}. Rename the folder.") from error
    return path


def new_plan(
    verb: Verb,
    folder: str,
    collection: Collection,
    facts: Facts | None,
    actions: tuple[Action, ...],
) -> Plan:
    """The plan with these actions. Raises ``Invalid`` if the bucket is not known, or the manifest is of another."""
    if facts and collection.bucket and facts.s3_bucket != collection.bucket:
        raise Invalid(
            f"This manifest describes s3://{facts.s3_bucket}/{facts.s3_prefix}, but you asked for"
            f" s3://{collection.bucket}.",
            remedy=f"Pass --bucket {facts.s3_bucket}, or rescan the collection in this bucket.",
        )
    bucket = facts.s3_bucket if facts else collection.bucket
    if not bucket:
        raise Invalid("There is no manifest yet that names the bucket. Pass --bucket.")
    return Plan(
        verb=verb,
        folder=folder,
        kind=collection.kind,
        id=collection.id,
        s3_bucket=bucket,
        s3_prefix=collection.prefix,
        revision=facts.revision if facts else 0,
        actions=actions,
    )


def refusal(
    plan: Plan, facts: Facts | None, options: SyncOptions, local: LocalScan | None = None, filters: Filter = EVERYTHING
) -> str | None:
    """Why the deletions of a plan are refused, None if they are not; raised as ``Refused``, unless it is a dry run."""
    try:
        check_deletions(plan, facts, datetime.now(UTC), max_delete=options.max_delete)
        if local and plan.select("delete_remote"):
            _check_folder_is_read(plan, local, filters)
        if options.shared:
            options.shared.count_deletions(len(plan.select("delete_local", "delete_remote")), options.max_delete)
    except Refused as error:
        if not options.dry_run:
            raise
        return str(error)
    return None


def _check_folder_is_read(plan: Plan, local: LocalScan, filters: Filter) -> None:
    """Raises ``Refused`` if files of objects that the plan deletes may only be unreadable."""
    if plan.verb == "sync" and not local.files:
        raise Refused(
            f"Nothing is deleted in S3, because {plan.folder} is empty: its disk may not be mounted. To delete the"
            " objects, push the folder with --delete."
        )
    # A filter may exclude a folder's own name but include files in it.
    for problem in Filter(exclude=filters.exclude).select_problems(local.problems):
        raise Refused(
            f"Nothing is deleted in S3, because a part of the folder was not read: {problem.path}: {problem.reason}."
            " Fix that, or --exclude it."
        )


def apply_plan(
    deployment: Deployment, plan: Plan, files: Iterable[FileStatus] = (), options: SyncOptions = DEFAULTS
) -> SyncResult:
    """Executes a plan as ``execute`` does, and stores the new baseline; ``files`` are those of the ``PreparedPlan``.

    A dry run returns a result without steps. Raises as ``execute``, and ``Invalid`` if the plan is of another
    deployment, or its folder is not an absolute path.
    """
    if options.dry_run:
        return SyncResult(plan, ())
    collection = _collection(deployment, plan)
    if plan.select("download", "upload", "delete_local") and not Path(plan.folder).is_absolute():
        raise Invalid(f"The folder of the plan is not an absolute path: {plan.folder!r}. Create it again with --plan.")
    if not plan.folder:
        return execute(Runner(deployment, collection, plan, options, {}))
    start_ns = time.time_ns()
    folder = Path(plan.folder)
    baseline = Baseline(deployment, collection, folder)
    result = execute(Runner(deployment, collection, plan, options, baseline.entries))
    md5s = {LocalFile(step.action.filename, *step.local): step.md5 for step in result.done if step.local and step.md5}
    with DigestCache(deployment.cache, folder) as digests:
        digests.store_md5s(md5s, start_ns)
    for file in files:
        if file.state == "synced" and file.local and file.remote:
            baseline.entries[file.filename] = BaselineEntry(file.remote.etag, file.local.identity)
    for step in result.done:
        if step.local and step.etag:
            baseline.entries[step.action.filename] = BaselineEntry(step.etag, step.local)
        else:
            baseline.entries.pop(step.action.filename, None)
    baseline.save()
    return result


def _collection(deployment: Deployment, plan: Plan) -> Collection:
    """The collection of a plan. Raises ``Invalid`` if it is of another deployment; ``Unavailable``."""
    collection = deployment.collections.lookup(plan.kind, plan.id)
    if collection and collection.prefix == plan.s3_prefix:
        bucket = collection.bucket
        if not bucket:
            with contextlib.suppress(NotFound):
                bucket = deployment.manifests.facts(collection).s3_bucket
        if bucket in {"", plan.s3_bucket}:
            return collection
    raise Invalid(
        f"The plan is for {plan.kind}/{plan.id} at s3://{plan.s3_bucket}/{plan.s3_prefix}, which is not in this"
        " deployment. Check --bucket, or create the plan again with --plan."
    )


def wait_until_shown(
    deployment: Deployment, result: SyncResult, seconds: float, cancellation: Cancellation | None = None
) -> bool:
    """Waits at most ``seconds`` until the manifest shows the changes in S3; returns whether it does.

    Raises ``Cancelled``.
    """
    sleep = cancellation.sleep if cancellation else time.sleep
    plan = result.plan
    collection = deployment.collections.lookup(plan.kind, plan.id)
    if collection is None:
        return False
    stored = {step.action.filename: step.etag for step in result.done if step.action.action in {"upload", "copy"}}
    deleted = {step.action.filename: step.action.etag for step in result.done if step.action.action == "delete_remote"}
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(NotFound, Unavailable):  # the changes are done; only the manifest is read here
            index = deployment.current_index(collection)
            etags = {file.filename: file.etag for file in index.files()}
            is_stored = all(etags.get(name) == etag for name, etag in stored.items())
            if is_stored and all(etags.get(name) != etag for name, etag in deleted.items()):
                return True
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return False
        sleep(min(_POLL_SECONDS, remaining))
