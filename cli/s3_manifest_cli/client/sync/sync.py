"""A folder on this machine and a collection, made the same: planned first, from the manifest and the files' MD5s."""

import contextlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.hashes import Digests, now_ns
from s3_manifest_cli.client.local.reading import ReadSoFar, nobody
from s3_manifest_cli.client.local.scan import Local, Problem, check_folder
from s3_manifest_cli.client.local.scan_process import Here, look
from s3_manifest_cli.client.manifests import cache
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync import baseline
from s3_manifest_cli.client.sync.execute import NOTHING_SAID, Carried, Progress, carry_out
from s3_manifest_cli.client.sync.plan import MAX_DELETE, Agreed, Plan, Verb, Wishes, actions, check_deletions
from s3_manifest_cli.client.transfer.cancellation import Stop
from s3_manifest_cli.client.transfer.headers import Told
from s3_manifest_cli.client.verify.compare import Compared, FileState, totals
from s3_manifest_cli.client.verify.status import compare_with, meant, unmatched_filters
from s3_manifest_cli.errors import Invalid, NotFound, Refused, Unavailable

_ASK_AGAIN_SECONDS = 0.5


class Prepared(NamedTuple):
    """A plan, and what it was made of. ``facts`` is None where the collection has no manifest yet.

    ``unmatched`` are filters that match nothing on either side, as options. ``refused`` says why the plan may not be
    carried out, for its deletions; only a dry run has such a plan.
    """

    plan: Plan
    facts: Facts | None
    files: list[Compared]
    problems: list[Problem]
    unmatched: tuple[str, ...] = ()
    refused: str | None = None

    @property
    def totals(self) -> dict[FileState, int]:
        """How many files are in each state."""
        return totals(self.files)


def prepare(
    deployment: Deployment,
    verb: Verb,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    wishes: Wishes = Wishes(),  # noqa: B008  # it is immutable
    *,
    max_delete: int = MAX_DELETE,
    is_dry_run: bool = False,
    progress: ReadSoFar = nobody,
) -> Prepared:
    """What is to be done to make them the same; nothing is changed anywhere. ``progress`` hears of what is read.

    In a dry run the plan is returned also where its deletions would be refused, and ``refused`` says why.

    Raises ``Invalid`` where there is no folder to push, ``NotFound`` where there is no manifest to pull by,
    ``Refused`` where deletions are planned that the manifest, or what could be read of the folder, is not good enough
    for, or that are too many, and ``Unavailable``.
    """
    check_folder(folder, must_exist=verb == "push")
    path = absolute(folder)
    index = None
    try:
        index = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
    except NotFound:
        if verb == "pull":
            raise
    remote = list(index.files()) if index else []
    here = look(folder, deployment.cache)
    unmatched = unmatched_filters(filters, here, remote)
    files = compare_with(deployment, folder, here, collection, remote, filters, progress=progress).files
    base = baseline.load(deployment.cache, folder, deployment.name, collection)
    plan = Plan(
        verb=verb,
        folder=path,
        kind=collection.kind,
        id=collection.id,
        s3_bucket=bucket_of(deployment, index.facts if index else None),
        s3_prefix=collection.prefix,
        revision=index.facts.revision if index else 0,
        actions=actions(verb, files, wishes, base),
    )
    refused = None
    try:
        if index:
            check_deletions(plan, index.facts, datetime.now(UTC), max_delete=max_delete)
        elif plan.of("delete_local"):
            raise Refused(
                f"{collection.kind}/{collection.id} has no manifest any more, so nothing is deleted by it: see"
                " s3-manifest doctor, or leave out --delete"
            )
        if plan.of("delete_remote"):
            _check_folder(verb, folder, here, filters)
    except Refused as error:
        if not is_dry_run:
            raise
        refused = str(error)
    problems = meant(here.problems, filters)
    return Prepared(plan, index.facts if index else None, files, problems, unmatched, refused)


def pull(
    deployment: Deployment,
    collection: Collection,
    folder: Path,
    filters: Filter = EVERYTHING,
    wishes: Wishes = Wishes(),  # noqa: B008  # it is immutable
    *,
    max_delete: int = MAX_DELETE,
    portable: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Carried:
    """Makes the folder what the manifest of the collection says. Raises as ``prepare`` and ``complete``."""
    made = prepare(deployment, "pull", folder, collection, filters, wishes, max_delete=max_delete)
    return complete(deployment, made.plan, made.files, progress, portable=portable, stop=stop)


def push(
    deployment: Deployment,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    wishes: Wishes = Wishes(),  # noqa: B008  # it is immutable
    *,
    max_delete: int = MAX_DELETE,
    said: Told = NOTHING_SAID,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Carried:
    """Makes the collection what the folder has. Raises as ``prepare`` and ``complete``."""
    made = prepare(deployment, "push", folder, collection, filters, wishes, max_delete=max_delete)
    return complete(deployment, made.plan, made.files, progress, said=said, stop=stop)


def sync(
    deployment: Deployment,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    wishes: Wishes = Wishes(),  # noqa: B008  # it is immutable
    *,
    max_delete: int = MAX_DELETE,
    portable: bool = False,
    said: Told = NOTHING_SAID,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Carried:
    """Makes both the same; what both changed is among ``conflicts``. Raises as ``prepare`` and ``complete``."""
    made = prepare(deployment, "sync", folder, collection, filters, wishes, max_delete=max_delete)
    return complete(deployment, made.plan, made.files, progress, said=said, portable=portable, stop=stop)


def absolute(folder: Path) -> str:
    """The folder's path, wherever the plan is read again. Raises ``Invalid`` where it is not UTF-8."""
    path = str(folder.absolute())
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"the path of the folder is not UTF-8: {path!a}; rename it") from error
    return path


def _check_folder(verb: Verb, folder: Path, here: Here, filters: Filter) -> None:
    """Raises ``Refused`` where files may be missed here only because the folder, or a part of it, cannot be read."""
    if verb == "sync" and not here.files:
        raise Refused(
            f"{folder} is empty, as a disk is that is not mounted, so nothing is deleted in S3 by it: if that is what"
            " is meant, push it with --delete"
        )
    # Whatever a folder's own name, files below it may be meant.
    for problem in meant(here.problems, Filter(exclude=filters.exclude)):
        raise Refused(
            f"{problem.path}: {problem.reason}. What is behind it was not looked at, so nothing is deleted in S3:"
            " mend that, or --exclude it"
        )


def bucket_of(deployment: Deployment, facts: Facts | None) -> str:
    """The bucket that a collection is in. Raises ``Invalid`` where nobody has named it, or the manifest is a copy."""
    if facts and deployment.bucket and facts.s3_bucket != deployment.bucket:
        raise Invalid(
            f"This manifest describes s3://{facts.s3_bucket}/{facts.s3_prefix}, but you asked for"
            f" s3://{deployment.bucket}.",
            remedy=f"Pass --bucket {facts.s3_bucket}, or rescan the collection in this bucket.",
        )
    if bucket := facts.s3_bucket if facts else deployment.bucket:
        return bucket
    raise Invalid("there is no manifest yet to tell the bucket: name it with --bucket")


def complete(
    deployment: Deployment,
    plan: Plan,
    files: Iterable[Compared] = (),
    progress: Progress | None = None,
    *,
    said: Told = NOTHING_SAID,
    portable: bool = False,
    stop: Stop | None = None,
) -> Carried:
    """Carries the plan out, as ``carry_out``, and keeps on this machine what is the same on both sides by then.

    ``files`` are what the plan was made of; ``said`` is told of every file that is uploaded, its own prompt and path
    apart. Raises as ``carry_out``, and ``Invalid`` where the plan is not about this deployment, or names no folder.
    """
    collection = _of_plan(deployment, plan)
    if plan.of("download", "upload", "delete_local") and not Path(plan.folder).is_absolute():
        raise Invalid(f"the plan names no folder by its absolute path: {plan.folder!r}; make it anew with --plan")
    began_ns = now_ns()
    folder = Path(plan.folder)
    agreed = dict(baseline.load(deployment.cache, folder, deployment.name, collection)) if plan.folder else {}
    carried = carry_out(deployment, collection, plan, progress, said=said, agreed=agreed, portable=portable, stop=stop)
    if not plan.folder:
        return carried
    read = {Local(one.action.filename, *one.local): one.md5 for one in carried.done if one.local and one.md5}
    with Digests(deployment.cache, folder) as digests:
        digests.learn(read, began_ns)
    for one in files:
        if one.state == "synced" and one.local and one.remote:
            agreed[one.filename] = Agreed(one.remote.etag, one.local.identity)
    for step in carried.done:
        if step.local and step.etag:
            agreed[step.action.filename] = Agreed(step.etag, step.local)
        else:
            agreed.pop(step.action.filename, None)
    baseline.save(deployment.cache, folder, deployment.name, collection, agreed)
    return carried


def _of_plan(deployment: Deployment, plan: Plan) -> Collection:
    """The collection that a plan is about. Raises ``Invalid`` where it is not of this deployment; ``Unavailable``."""
    collection = deployment.collections.named(plan.kind, plan.id)
    if (
        collection is None
        or collection.prefix != plan.s3_prefix
        or _bucket(deployment, collection) not in {None, plan.s3_bucket}
    ):
        raise Invalid(
            f"This plan is about {plan.kind}/{plan.id} at s3://{plan.s3_bucket}/{plan.s3_prefix}, which is not of this"
            " deployment"
        )
    return collection


def _bucket(deployment: Deployment, collection: Collection) -> str | None:
    """The bucket that a collection is in; None where nobody knows."""
    if deployment.bucket is None:
        with contextlib.suppress(NotFound):
            return deployment.manifests.facts(collection).s3_bucket
    return deployment.bucket


def wait_until_shown(deployment: Deployment, carried: Carried, seconds: float) -> bool:
    """Waits until the manifest shows all that was changed in S3, so long at most; whether it does."""
    plan = carried.plan
    collection = Collection(plan.kind, plan.id, plan.s3_prefix, deployment.collections.root)
    stored = {one.action.filename: one.etag for one in carried.done if one.action.action in {"upload", "copy"}}
    deleted = {one.action.filename: one.action.etag for one in carried.done if one.action.action == "delete_remote"}
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(NotFound, Unavailable):  # all is stored, and this only looks
            index = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
            there = {one.filename: one.etag for one in index.files()}
            is_shown = all(there.get(name) == etag for name, etag in stored.items())
            if is_shown and all(there.get(name) != etag for name, etag in deleted.items()):
                return True
        left = end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(_ASK_AGAIN_SECONDS, left))
