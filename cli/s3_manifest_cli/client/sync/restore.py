"""A collection as its manifest told at some revision, brought back: to a folder, or in S3."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Timestamp
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.reading import ReadSoFar, nobody
from s3_manifest_cli.client.local.scan import Problem, check_folder
from s3_manifest_cli.client.local.scan_process import look
from s3_manifest_cli.client.manifests import cache
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.direct import remote_file
from s3_manifest_cli.client.manifests.manifests import RemoteFile
from s3_manifest_cli.client.sync.execute import Carried, Progress
from s3_manifest_cli.client.sync.plan import MAX_DELETE, Action, Plan, Wishes, actions, check_deletions
from s3_manifest_cli.client.sync.sync import Prepared, absolute, bucket_of, complete
from s3_manifest_cli.client.transfer.cancellation import Stop
from s3_manifest_cli.client.verify.compare import Compared, FileState
from s3_manifest_cli.client.verify.status import compare_with, meant, unmatched_filters
from s3_manifest_cli.errors import NotFound, Refused


def prepare_restore(
    deployment: Deployment,
    collection: Collection,
    folder: Path | None,
    filters: Filter = EVERYTHING,
    *,
    revision: int | None = None,
    at: Timestamp | None = None,
    delete: bool = False,
    max_delete: int = MAX_DELETE,
    is_dry_run: bool = False,
    progress: ReadSoFar = nobody,
) -> Prepared:
    """What is to be done so that the folder, or without one S3 itself, has the files that the manifest told of.

    As it is, as it was at a ``revision``, or ``at`` a time. Of a file that was replaced or deleted since, the version
    is taken that the manifest named: only a versioned bucket has it, and where there is none that is told of the file
    when its turn comes. With ``delete`` also what was not there then goes. Nothing is changed. Raises ``NotFound``
    where there is no manifest, revision, or no file that is meant; ``Refused`` as ``prepare``; ``Unavailable``.
    """
    if folder is not None:
        check_folder(folder, must_exist=False)
    wanted = deployment.manifests.read(collection, revision=revision, at=at)
    then = {entry.filename: entry for entry in (*wanted.files, *wanted.captions, *wanted.hidden)}
    is_meant = filters.compiled()
    if filters.include and not any(map(is_meant, then)):
        raise NotFound(f"{collection.kind}/{collection.id} had no such file at revision {wanted.facts.revision}")
    now = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
    wishes = Wishes(delete=delete)
    plan = Plan(
        verb="restore",
        folder="" if folder is None else absolute(folder),
        kind=collection.kind,
        id=collection.id,
        s3_bucket=bucket_of(deployment, wanted.facts),
        s3_prefix=collection.prefix,
        revision=wanted.facts.revision,
    )
    problems: list[Problem] = []
    unmatched: tuple[str, ...] = ()
    there = {one.filename: one for one in now.files()}
    if folder is None:
        unmatched = filters.unmatched({*then, *there})
        files = [one for one in _in_s3(then, there) if is_meant(one.filename)]
        made = tuple(_copies(files, then, wishes))
    else:
        remote = [remote_file(entry) for _, entry in sorted(then.items())]
        here = look(folder, deployment.cache)
        unmatched = unmatched_filters(filters, here, remote)
        files = compare_with(deployment, folder, here, collection, remote, filters, progress=progress).files
        problems = meant(here.problems, filters)
        made = tuple(_of_version(action, then, there) for action in actions("pull", files, wishes))
    plan = plan.model_copy(update={"actions": made})
    refused = None
    try:
        check_deletions(plan, now.facts, datetime.now(UTC), max_delete=max_delete)
    except Refused as error:
        if not is_dry_run:
            raise
        refused = str(error)
    return Prepared(plan, wanted.facts, files, problems, unmatched, refused)


def restore(
    deployment: Deployment,
    collection: Collection,
    folder: Path | None,
    filters: Filter = EVERYTHING,
    *,
    revision: int | None = None,
    at: Timestamp | None = None,
    delete: bool = False,
    max_delete: int = MAX_DELETE,
    portable: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Carried:
    """Brings it back to the folder, or without one in S3. Raises as ``prepare_restore`` and ``complete``."""
    made = prepare_restore(
        deployment, collection, folder, filters, revision=revision, at=at, delete=delete, max_delete=max_delete
    )
    return complete(deployment, made.plan, made.files, progress, portable=portable, stop=stop)


def _of_version(action: Action, then: Mapping[str, Entry], now: Mapping[str, RemoteFile]) -> Action:
    entry, is_ = then.get(action.filename), now.get(action.filename)
    if entry is None:
        # What came to S3 since then may go here, and is no reason to think that the manifest is late.
        return action.model_copy(update={"etag": is_.etag if is_ else None})
    # Not everybody who may read objects may read versions.
    is_newest = is_ is not None and is_.etag == entry.etag
    return action.model_copy(update={"version_id": None if is_newest else entry.version_id})


def _in_s3(then: Mapping[str, Entry], now: Mapping[str, RemoteFile]) -> Iterator[Compared]:
    """What S3 has now beside what it had: ``s3_only`` was there then alone, ``local_only`` is there now alone."""
    for filename in sorted({*then, *now}):
        was, is_ = then.get(filename), now.get(filename)
        state: FileState
        if was is None:
            state = "local_only"
        elif is_ is None:
            state = "s3_only"
        else:
            same = was.etag == is_.etag and (was.md5_hash is None or was.md5_hash == is_.md5)
            state = "synced" if same else "out_of_sync"
        yield Compared(filename, state, None, is_)


def _copies(files: list[Compared], then: Mapping[str, Entry], wishes: Wishes) -> Iterator[Action]:
    for one in files:
        etag = one.remote.etag if one.remote else None
        if one.state in {"s3_only", "out_of_sync"}:
            was = then[one.filename]
            yield Action(
                action="copy",
                filename=one.filename,
                state=one.state,
                size=was.size_bytes,
                etag=etag,
                version_id=was.version_id,
            )
        elif one.state == "local_only" and wishes.delete and one.remote:
            yield Action(
                action="delete_remote", filename=one.filename, state=one.state, size=one.remote.size, etag=etag
            )
