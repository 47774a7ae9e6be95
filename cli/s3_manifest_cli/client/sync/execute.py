"""A plan, carried out: each action only if both sides still are as it was planned, and no failure stopping another."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage.store import Conflict, Present
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.disk import failure
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.local.partials import Identity
from s3_manifest_cli.client.local.reading import Changed, prompt_beside, unchanged
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.applied import downloaded_before
from s3_manifest_cli.client.sync.plan import Action, Agreed, Doing, Plan
from s3_manifest_cli.client.sync.refusals import refusals
from s3_manifest_cli.client.transfer import headers
from s3_manifest_cli.client.transfer.cancellation import Stop
from s3_manifest_cli.client.transfer.checksums import sums_of
from s3_manifest_cli.client.transfer.concurrency import Outcome, at_once
from s3_manifest_cli.client.transfer.copying import copy_version
from s3_manifest_cli.client.transfer.download import PART, Wanted, download
from s3_manifest_cli.client.transfer.headers import Told
from s3_manifest_cli.client.transfer.objects import Objects
from s3_manifest_cli.client.transfer.prefetch import Came, ahead
from s3_manifest_cli.client.transfer.resumable_uploads import give_up_idle
from s3_manifest_cli.client.transfer.unfinished_uploads import Unfinished
from s3_manifest_cli.client.transfer.upload import Given, upload
from s3_manifest_cli.errors import Refused

Value = TypeVar("Value")

NOTHING_SAID = Told()

_WRITERS = 2
"""Threads that put small objects in their places: more of them wait for each other, and take longer."""


class Progress(NamedTuple):
    """Who hears how far it is: of bytes that were ``moved``, and that a file is ``done``; from any thread."""

    moved: Callable[[int], None]
    done: Callable[[], None]


def silent() -> Progress:
    """Nobody."""
    return Progress(lambda _: None, lambda: None)


class Step(NamedTuple):
    """What became of an action; ``error`` is None where it is done.

    ``local`` and ``etag`` are the file and the object that are the same then, ``md5`` that of their bytes, if it was
    computed. ``proof`` tells how a download was proven; it is empty where the manifest has nothing to prove it with.
    ``note`` is what the user should know all the same. ``is_name_refused``: a repeat makes no difference, for the file
    is skipped because of its name.
    """

    action: Action
    error: str | None = None
    local: Identity | None = None
    etag: str | None = None
    md5: str | None = None
    proof: tuple[str, ...] = ()
    note: str | None = None
    is_name_refused: bool = False


class Carried(NamedTuple):
    """What became of a plan, in the order of its actions."""

    plan: Plan
    steps: tuple[Step, ...]

    @property
    def done(self) -> list[Step]:
        """What was done."""
        return [one for one in self.steps if one.error is None and one.action.action != "conflict"]

    @property
    def failed(self) -> list[Step]:
        """What was not, and why."""
        return [one for one in self.steps if one.error is not None]

    @property
    def conflicts(self) -> list[Step]:
        """What is left to the user."""
        return [one for one in self.steps if one.action.action == "conflict"]


def carry_out(
    deployment: Deployment,
    collection: Collection,
    plan: Plan,
    progress: Progress | None = None,
    *,
    said: Told = NOTHING_SAID,
    agreed: Mapping[str, Agreed] | None = None,
    portable: bool = False,
    stop: Stop | None = None,
) -> Carried:
    """Does what is planned: transfers first, many at once, and deletions after them if none of those failed.

    A file that cannot be transferred is told, and the rest goes on. With ``portable`` also those are refused whose
    names some other system could not hold. A repeat, after a failure or an end at any moment, does the rest: what is
    done already is recognized by its bytes, or by what both sides last agreed on (``agreed``). Raises
    ``Refused`` where another run works in the folder, ``Unavailable`` where there are no credentials or the folder
    cannot be opened; ``Stopped``.
    """
    if not [one for one in plan.actions if one.action != "conflict"]:
        return Carried(plan, tuple(map(Step, plan.actions)))
    progress = progress or silent()
    stop = stop or Stop()
    with ExitStack() as stack:
        objects = stack.enter_context(Objects(plan.s3_bucket, deployment.session, deployment.endpoint, stop=stop))
        unfinished = Unfinished(deployment.cache / "uploads")
        run = _Run(
            objects, collection, progress, said, unfinished, plan.folder, *_folders(plan, stack), agreed=agreed or {}
        )
        file_system = run.destination.file_system if run.destination else None
        refused = refusals(deployment, collection, plan, file_system, run.source, portable=portable)
        steps = {
            one.filename: Step(one, refused[one.filename], is_name_refused=True)
            for one in plan.actions
            if one.filename in refused
        }
        todo = [one for one in plan.actions if one.filename not in refused]
        steps |= _each(run, [one for one in todo if one.action in _TRANSFERS], stop)
        if uploads := plan.of("upload"):
            give_up_idle(objects, unfinished, {collection.prefix + one.filename for one in uploads})
        deletions = [one for one in todo if one.action in _DELETIONS]
        if any(step.error for step in steps.values()):
            why = "not deleted, as not all of the rest was done: mend that, or --exclude it, and run this again"
            steps |= {one.filename: Step(one, why) for one in deletions}
        else:
            steps |= _each(run, deletions, stop)
    steps |= {one.filename: Step(one) for one in plan.of("conflict")}
    return Carried(plan, tuple(steps[one.filename] for one in plan.actions))


class _Run(NamedTuple):
    """What the actions of one run share."""

    objects: Objects
    collection: Collection
    progress: Progress
    said: Told
    unfinished: Unfinished
    folder: str
    source: Folder | None
    destination: Destination | None
    agreed: Mapping[str, Agreed]


def _folders(plan: Plan, stack: ExitStack) -> tuple[Folder | None, Destination | None]:
    """The folder, open to be read and to be written, as far as the plan does either."""
    source = destination = None
    if plan.of("download", "delete_local"):
        destination = stack.enter_context(Destination(Path(plan.folder)))
        destination.tidy((one.filename, _wanted(one, plan.s3_prefix).token) for one in plan.of("download"))
    if plan.of("upload"):
        try:
            source = stack.enter_context(folder_at(plan.folder))
        except OSError as error:
            raise failure(plan.folder, "not read", error) from error
    return source, destination


def _each(run: _Run, actions: Sequence[Action], stop: Stop) -> Mapping[str, Step]:
    """What became of each, by filename. Raises ``Stopped``."""
    steps: dict[str, Step] = {}
    for outcome in _outcomes(run, actions, stop):
        action = outcome.item
        steps[action.filename] = outcome.result or Step(action, _why(run, action, outcome.error))
        if action.action in _TRANSFERS:
            run.progress.done()
    stop.check()
    return steps


def _outcomes(run: _Run, actions: Sequence[Action], stop: Stop) -> Iterator[Outcome[Action, Step]]:
    small: list[Action] = []
    others: list[Action] = []
    for one in actions:
        is_small = one.action == "download" and one.size <= PART and one.etag is not None
        (small if is_small else others).append(one)

    def put(came: Came[Action]) -> Step:
        try:
            if came.error:
                raise came.error
            return _download(run, came.item, came.body[0])
        finally:
            came.body.clear()  # the outcome would keep it
            run.objects.budget.give(came.taken)

    if small:
        wanted = ((one, _wanted(one, run.collection.prefix)) for one in small)
        for outcome in at_once(put, ahead(run.objects, wanted), stop, threads=_WRITERS):
            yield Outcome(outcome.item.item, outcome.result, outcome.error)
    if others:
        yield from at_once(lambda action: _DO[action.action](run, action), others, stop)


def _why(run: _Run, action: Action, error: Exception | None) -> str:
    """An error, without the file's name: it is told of a file."""
    if isinstance(error, OSError):
        error = failure(action.filename, "not read" if action.action == "upload" else "not written", error)
    why = str(error)
    for name in (f"{run.collection.prefix}{action.filename}: ", f"{action.filename!r}: ", f"{action.filename!r} was "):
        why = why.removeprefix(name)
    return why


def _download(run: _Run, action: Action, body: bytes | None = None) -> Step:
    wanted = _wanted(action, run.collection.prefix)
    if body is None and (before := _done_before(run, action)):
        return before
    with _given(run.destination).partial(action.filename, wanted.token) as partial:
        try:
            done = download(run.objects, wanted, partial, run.progress.moved, body)
        except Conflict:
            partial.discard()  # the next manifest tells of another object
            raise
        try:
            local = partial.finish(mtime_ns=_nanoseconds(action.last_modified), expected=action.local)
        except Refused:
            before = _done_before(run, action)
            if before is None:
                raise
            partial.discard()
            return before
    return Step(action, local=local, etag=wanted.etag, proof=done.verdict.by, note=done.verdict.note)


def _done_before(run: _Run, action: Action) -> Step | None:
    """The download as a step that is done, if an earlier run of the same plan has done it."""
    before = downloaded_before(_given(run.destination), action, run.agreed)
    if before is None:
        return None
    run.progress.moved(action.size)
    return Step(action, local=before.local, etag=action.etag, proof=before.proof)


def _nanoseconds(moment: Timestamp | None) -> int | None:
    return None if moment is None else round(datetime.fromisoformat(moment).timestamp() * 1000) * 1_000_000


def _upload(run: _Run, action: Action) -> Step:
    source, seen = _given(run.source), _given(action.local)
    key = run.collection.prefix + action.filename
    try:
        with unchanged(source, action.filename, seen) as file:
            sums = sums_of(file, seen.size)
            prompt = prompt_beside(source, action.filename)
            told = run.said._replace(prompt=prompt, local_path=_path(run, action.filename))
            metadata = headers.metadata(sums.md5, told)
            given = Given(key, seen.size, sums, action.etag, headers.of(key, metadata.values))
            stored = upload(run.objects, file, given, run.unfinished, run.progress.moved)
    except Changed as error:
        raise Refused(str(error)) from error
    notes = [_left_out(metadata.left_out)] if metadata.left_out else []
    if stored.others:
        notes.append(
            f"other unfinished uploads to its key ({len(stored.others)}) keep their parts in S3 until somebody aborts"
            " them (aws s3api list-multipart-uploads tells them) or a lifecycle rule does"
        )
    return Step(action, local=seen, etag=stored.etag, md5=sums.md5, note="; ".join(notes) or None)


def _left_out(fields: Sequence[str]) -> str:
    """What the user should know of a file that was uploaded without some of its metadata."""
    names = " and ".join(field.replace("-", " ") for field in fields)
    note = f"uploaded without its {names} (too long for S3 metadata)"
    return f"{note}; the caption beside it has it" if fields == ("prompt",) else note


def _path(run: _Run, filename: str) -> str:
    # As ``Path`` has it, in a tenth of the time: it is told of every file.
    return run.folder.rstrip(os.sep) + os.sep + filename.replace("/", os.sep)


def _copy(run: _Run, action: Action) -> Step:
    if action.version_id is None:
        raise Refused(
            "it was stored while the bucket was not versioned, so S3 has no older version of it; --exclude it"
        )
    key = run.collection.prefix + action.filename
    etag = copy_version(run.objects, key, action.version_id, action.size, action.etag)
    run.progress.moved(action.size)
    return Step(action, etag=etag)


def _delete_local(run: _Run, action: Action) -> Step:
    # The manifest may be seconds late: only S3 knows what is there.
    seen = run.objects.head(run.collection.prefix + action.filename)
    if (seen.etag if isinstance(seen, Present) else None) != action.etag:
        raise Refused("what is in S3 is not what the manifest told, so it is not deleted here: run this again")
    _given(run.destination).remove(action.filename, _given(action.local))
    return Step(action)


def _delete_remote(run: _Run, action: Action) -> Step:
    run.objects.delete(run.collection.prefix + action.filename, _given(action.etag))
    return Step(action)


_DO: Mapping[Doing, Callable[[_Run, Action], Step]] = {
    "download": _download,
    "upload": _upload,
    "copy": _copy,
    "delete_local": _delete_local,
    "delete_remote": _delete_remote,
}
_TRANSFERS = frozenset({"download", "upload", "copy"})
_DELETIONS = frozenset({"delete_local", "delete_remote"})


def _wanted(action: Action, prefix: str) -> Wanted:
    etag = _given(action.etag)
    return Wanted(
        action.filename,
        prefix + action.filename,
        action.size,
        etag,
        action.md5,
        action.checksum,
        action.version_id,
        action.declared,
    )


def _given(value: Value | None) -> Value:
    """What an action of its kind always has; a plan that was edited may lack it."""
    if value is None:
        raise Refused("the plan does not say what is there: make it anew with --plan")
    return value
