"""Decides what to transfer and delete so that a folder and a collection become the same. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import NonNegativeInt, ValidationError

from s3_manifest.manifest.model import Facts, Frozen, Timestamp, first_problem
from s3_manifest_cli.client.local.partials import Identity
from s3_manifest_cli.client.local.scan import LocalFile
from s3_manifest_cli.client.manifests.manifest_warnings import MAX_AGE_DAYS, is_stale
from s3_manifest_cli.client.manifests.manifests import RemoteFile
from s3_manifest_cli.client.sync.options import MAX_DELETE, Preference, SyncOptions
from s3_manifest_cli.client.verify.compare import FileState, FileStatus
from s3_manifest_cli.errors import Invalid, Refused

Verb = Literal["pull", "push", "sync", "restore"]
ActionType = Literal["download", "upload", "copy", "delete_local", "delete_remote", "conflict"]
"""``copy`` makes an older version of an object the newest. ``conflict``: both sides changed, or it is not known which
one did, and the user decides."""


class Action(Frozen):
    """The part of a plan for one file.

    ``local`` is the local file and ``etag`` the object in S3 as the plan saw them, None if there was none: if either
    changed since, nothing is done. ``size`` is that of the transferred file; ``md5``, ``declared``, ``checksum`` and
    ``last_modified`` are those of a download. ``version_id`` is the version to download or copy; for a copy, ``etag``
    is that of the object which it replaces.
    """

    action: ActionType
    filename: str
    state: FileState
    size: NonNegativeInt
    etag: str | None = None
    md5: str | None = None
    declared: str | None = None
    checksum: Mapping[str, str] | None = None
    last_modified: Timestamp | None = None
    version_id: str | None = None
    local: Identity | None = None


class Plan(Frozen):
    """The actions, sorted by filename, and their manifest. ``folder`` is absolute; it is empty if only S3 changes."""

    plan: Literal[1] = 1
    verb: Verb
    folder: str
    kind: str
    id: str
    s3_bucket: str
    s3_prefix: str
    revision: int
    actions: tuple[Action, ...] = ()

    def select(self, *types: ActionType) -> list[Action]:
        """The actions of these types."""
        return [action for action in self.actions if action.action in types]


class BaselineEntry(NamedTuple):
    """A file as it was when both sides were last known to have the same bytes."""

    etag: str
    local: Identity


def actions(
    verb: Verb, files: Iterable[FileStatus], options: SyncOptions, baseline: Mapping[str, BaselineEntry] | None = None
) -> tuple[Action, ...]:
    """The action for each file that is not ``synced``.

    A pull makes the folder match the manifest, a push makes the collection match the folder. A sync does both: what
    changed on one side since the baseline goes to the other. A file that changed on both sides, or that is not in the
    baseline, is a conflict. If nothing proves the bytes of a file, an unchanged baseline entry counts as proof.
    """
    known = baseline or {}
    chosen = ((_choose(verb, file, options, known.get(file.filename)), file) for file in files)
    return tuple(action_for(action_type, file) for action_type, file in chosen if action_type)


def _choose(verb: Verb, file: FileStatus, options: SyncOptions, entry: BaselineEntry | None) -> ActionType | None:
    local, remote = file.local, file.remote
    # Nothing proves the bytes, or only the uploader's claim contradicts them.
    is_in_doubt = file.state == "unverifiable" or (file.state == "out_of_sync" and remote and remote.declared)
    if file.state == "synced" or (is_in_doubt and (remote and remote.etag, local and local.identity) == entry):
        return None
    if verb == "pull":
        return "download" if remote else "delete_local" if options.delete else None
    if verb == "push":
        return "upload" if local else "delete_remote" if options.delete else None
    local_changed = local is not None and (entry is None or local.identity != entry.local)
    remote_changed = remote is not None and (entry is None or remote.etag != entry.etag)
    if remote is None or local is None:
        return _one_sided(file, options, is_known=entry is not None, is_changed=local_changed or remote_changed)
    if local_changed != remote_changed:
        return "upload" if local_changed else "download"
    return _preferred(local, remote, options.prefer)


def _one_sided(file: FileStatus, options: SyncOptions, *, is_known: bool, is_changed: bool) -> ActionType:
    """The action for a file that one side has. If the baseline knows it, the other side deleted it."""
    keep: ActionType = "upload" if file.remote is None else "download"
    if not is_known or not options.delete:
        return keep
    delete: ActionType = "delete_local" if file.remote is None else "delete_remote"
    if not is_changed:
        return delete
    if options.prefer is None:
        return "conflict"
    # The time of the deletion is not known, and a change that is deleted is lost: "newer" keeps the change.
    return keep if options.prefer in {"newer", "local" if file.remote is None else "s3"} else delete


def _preferred(local: LocalFile, remote: RemoteFile, preference: Preference | None) -> ActionType:
    if preference == "newer":
        # S3 has whole seconds.
        local_time = local.mtime_ns // 1_000_000_000
        remote_time = int(datetime.fromisoformat(remote.last_modified).timestamp())
        preference = None if local_time == remote_time else "local" if local_time > remote_time else "s3"
    return "conflict" if preference is None else "upload" if preference == "local" else "download"


def action_for(action_type: ActionType, file: FileStatus) -> Action:
    """The action for a file as both sides have it."""
    local, remote = file.local, file.remote
    source = local if action_type in {"upload", "delete_local"} or remote is None else remote
    downloaded = ("md5", "declared", "checksum", "last_modified") if action_type == "download" else ()
    return Action(
        action=action_type,
        filename=file.filename,
        state=file.state,
        size=source.size if source else 0,
        etag=remote.etag if remote else None,
        local=local.identity if local else None,
        **{name: getattr(remote, name) for name in downloaded},
    )


def check_deletions(plan: Plan, facts: Facts | None, now: datetime, *, max_delete: int = MAX_DELETE) -> None:
    """Raises ``Refused`` if the plan deletes too many files, or its manifest is missing, incomplete or stale."""
    deleted = plan.select("delete_local", "delete_remote") if facts else plan.select("delete_local")
    if not deleted:
        return
    name, count = f"{plan.kind}/{plan.id}", len(deleted)
    remedy = f"Run 's3-manifest rescan {name} --wait 300' first"
    verified = facts.last_verified_at if facts else None
    if facts is None:
        state, remedy = "is gone", "Run s3-manifest doctor"
    elif count > max_delete:
        files = "1 file" if count == 1 else f"{count:,} files"
        raise Refused(f"Would delete {files}; the limit is {max_delete:,}. Pass --max-delete {count} to allow it.")
    elif not facts.complete:
        state = "is incomplete"
    elif verified is None or is_stale(facts, now):
        state = f"was not compared with S3 in the last {MAX_AGE_DAYS} days (last: {verified or 'never'})"
    else:
        return
    raise Refused(f"Nothing is deleted, because the manifest of {name} {state}. {remedy}, or leave out --delete.")


def encode(plan: Plan) -> Iterator[bytes]:
    """JSON lines: the plan without its actions, and then each action."""
    yield plan.model_dump_json(exclude={"actions"}).encode() + b"\n"
    for action in plan.actions:
        yield action.model_dump_json(exclude_none=True).encode() + b"\n"


def decode(lines: Iterable[bytes]) -> Plan:
    """The plan that ``encode`` wrote; the user may have removed actions. Raises ``Invalid``."""
    plan: Plan | None = None
    actions: dict[str, Action] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if plan is None:
                plan = Plan.model_validate_json(line)
                continue
            action = Action.model_validate_json(line)
        except ValidationError as error:
            raise _invalid_line(number, first_problem(error)) from error
        if missing := [name for name in _NEEDED.get(action.action, ()) if getattr(action, name) is None]:
            raise _invalid_line(number, f"{action.filename!r} has no {' and no '.join(missing)}")
        if action.filename in actions:
            raise _invalid_line(number, f"{action.filename!r} is listed twice")
        actions[action.filename] = action
    if plan is None:
        raise Invalid("The plan is empty. Create it again with --plan.")
    return plan.model_copy(update={"actions": tuple(actions.values())})


def _invalid_line(number: int, problem: str) -> Invalid:
    return Invalid(f"line {number} of the plan: {problem}. Create the plan again with --plan.")


_NEEDED: Mapping[ActionType, tuple[str, ...]] = {
    "download": ("etag",),
    "upload": ("local",),
    "delete_local": ("local",),
    "delete_remote": ("etag",),
}
"""The fields that an action needs. A copy without a version fails with a message of its own."""
