"""What is to be done so that a folder and a collection become the same, decided before any of it is done. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from pydantic import NonNegativeInt, ValidationError

from s3_manifest.manifest.model import Facts, Frozen, Timestamp, first_problem
from s3_manifest_cli.client.local.partials import Identity
from s3_manifest_cli.client.manifests.freshness import MAX_AGE_DAYS
from s3_manifest_cli.client.verify.compare import Compared, FileState
from s3_manifest_cli.errors import Invalid, Refused

Verb = Literal["pull", "push", "sync", "restore"]
Doing = Literal["download", "upload", "copy", "delete_local", "delete_remote", "conflict"]
"""``copy``: an older version of an object is made the newest. A ``conflict`` is left to the user: both sides changed,
or nobody can tell which one did."""

Preference = Literal["local", "s3", "newer"]

MAX_DELETE = 100


class Action(Frozen):
    """One file's part of a plan.

    ``local`` is the file here, and ``etag`` the object in S3, that the plan was made of, None where none was known of:
    where either is another by the time that it is this file's turn, nothing is done to it. ``md5``, ``declared``,
    ``checksum`` and ``last_modified`` are those of what is downloaded, ``size`` that or the upload's. A ``version_id``
    names the version of the object that is downloaded or copied; of a copy ``etag`` is that of the object which it
    replaces.
    """

    action: Doing
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
    """All that is to be done, in order of the files' names, and the manifest that it was decided from.

    ``folder`` is an absolute path, or empty where nothing is done to a folder.
    """

    plan: Literal[1] = 1
    verb: Verb
    folder: str
    kind: str
    id: str
    s3_bucket: str
    s3_prefix: str
    revision: int
    actions: tuple[Action, ...] = ()

    def of(self, *doings: Doing) -> list[Action]:
        """The actions that do one of these."""
        return [action for action in self.actions if action.action in doings]


class Wishes(NamedTuple):
    """``delete``: whether files go that the other side does not have. ``prefer``: which side stands in a conflict."""

    delete: bool = False
    prefer: Preference | None = None


class Agreed(NamedTuple):
    """A file as it was when the two sides were last seen to have the same bytes."""

    etag: str
    local: Identity


def actions(
    verb: Verb, files: Iterable[Compared], wishes: Wishes, base: Mapping[str, Agreed] | None = None
) -> tuple[Action, ...]:
    """What is to be done with each file that is not ``synced``.

    A pull makes the folder what the manifest says, a push the collection what the folder has. A sync does both: what
    changed on one side since ``base`` goes to the other. What changed on both, or is not in ``base``, is a conflict.
    Of files that nothing proves ``base`` is believed: those that did not change since then are the same.
    """
    known = base or {}

    def decided() -> Iterator[Action]:
        for one in files:
            if one.state == "synced" or (_is_in_doubt(one) and _is_agreed(one, known.get(one.filename))):
                continue
            doing: Doing | None
            if verb == "sync":
                doing = _synced(one, wishes, known.get(one.filename))
            elif verb == "pull":
                doing = "download" if one.remote else "delete_local" if wishes.delete else None
            else:
                doing = "upload" if one.local else "delete_remote" if wishes.delete else None
            if doing:
                yield _action(doing, one)

    return tuple(decided())


def _synced(one: Compared, wishes: Wishes, agreed: Agreed | None) -> Doing:
    here = one.local is not None and (agreed is None or one.local.identity != agreed.local)
    there = one.remote is not None and (agreed is None or one.remote.etag != agreed.etag)
    if one.remote is None or one.local is None:
        return _one_sided(one, wishes, is_known=agreed is not None, is_changed=here or there)
    if here != there:
        return "upload" if here else "download"
    return _preferred(one, wishes.prefer)


def _is_in_doubt(one: Compared) -> bool:
    """Whether nothing proves the bytes, or nothing but the uploader's word is against them."""
    return one.state == "unverifiable" or (one.state == "out_of_sync" and bool(one.remote and one.remote.declared))


def _is_agreed(one: Compared, agreed: Agreed | None) -> bool:
    """Whether both sides are as they were when they were last seen to have the same bytes."""
    return (one.remote and one.remote.etag, one.local and one.local.identity) == agreed


def _one_sided(one: Compared, wishes: Wishes, *, is_known: bool, is_changed: bool) -> Doing:
    """Of a file that one side has; where the other is known to have had it too, somebody deleted it there."""
    keep: Doing = "upload" if one.remote is None else "download"
    if not is_known or not wishes.delete:
        return keep
    drop: Doing = "delete_local" if one.remote is None else "delete_remote"
    if not is_changed:
        return drop
    if wishes.prefer is None:
        return "conflict"
    # Nobody knows when it was deleted; and what was changed since is not to be had again.
    return keep if wishes.prefer in {"newer", "local" if one.remote is None else "s3"} else drop


def _preferred(one: Compared, preference: Preference | None) -> Doing:
    if preference == "newer" and one.local and one.remote:
        # S3 tells whole seconds.
        here = one.local.mtime_ns // 1_000_000_000
        there = int(datetime.fromisoformat(one.remote.last_modified).timestamp())
        preference = None if here == there else "local" if here > there else "s3"
    if preference is None:
        return "conflict"
    return "upload" if preference == "local" else "download"


def _action(doing: Doing, one: Compared) -> Action:
    local, remote = one.local, one.remote
    source = local if doing in {"upload", "delete_local"} or remote is None else remote
    fetched = remote if doing == "download" else None
    return Action(
        action=doing,
        filename=one.filename,
        state=one.state,
        size=source.size if source else 0,
        etag=remote.etag if remote else None,
        md5=fetched.md5 if fetched else None,
        declared=fetched.declared if fetched else None,
        checksum=fetched.checksum if fetched else None,
        last_modified=fetched.last_modified if fetched else None,
        local=local.identity if local else None,
    )


def check_deletions(plan: Plan, facts: Facts, now: datetime, *, max_delete: int = MAX_DELETE) -> None:
    """Raises ``Refused`` where files would be deleted by a manifest that may not know all, or too many of them."""
    count = len(plan.of("delete_local", "delete_remote"))
    if not count:
        return
    name = f"{facts.kind}/{facts.id}"
    rescan = f"compare it with S3 first (s3-manifest rescan {name} --wait 300), or leave out --delete"
    if count > max_delete:
        files = "1 file" if count == 1 else f"{count:,} files"
        raise Refused(f"Would delete {files}; the limit is {max_delete:,}. Pass --max-delete {count} to allow it.")
    if not facts.complete:
        raise Refused(f"the manifest of {name} is incomplete, so nothing is deleted by it: {rescan}")
    verified = facts.last_verified_at
    if verified is None or datetime.fromisoformat(verified) < now - timedelta(days=MAX_AGE_DAYS):
        raise Refused(
            f"the manifest of {name} was not compared with S3 for {MAX_AGE_DAYS} days (the last time: {verified}), so"
            f" nothing is deleted by it: {rescan}"
        )


def encode(plan: Plan) -> Iterator[bytes]:
    """JSON lines: the plan without its actions, and then each action."""
    yield plan.model_dump_json(exclude={"actions"}).encode() + b"\n"
    for action in plan.actions:
        yield action.model_dump_json(exclude_none=True).encode() + b"\n"


def decode(lines: Iterable[bytes]) -> Plan:
    """The plan that ``encode`` wrote, some of its actions taken out by the user perhaps. Raises ``Invalid``."""
    plan: Plan | None = None
    found: dict[str, Action] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if plan is None:
                plan = Plan.model_validate_json(line)
                continue
            action = Action.model_validate_json(line)
        except ValidationError as error:
            raise Invalid(f"line {number} of the plan: {first_problem(error)}; {_ANEW}") from error
        lacking = [name for name in _NEEDED[action.action] if getattr(action, name) is None]
        if lacking:
            raise Invalid(f"line {number} of the plan: {action.filename!r} has no {' and no '.join(lacking)}; {_ANEW}")
        if action.filename in found:
            raise Invalid(f"line {number} of the plan: {action.filename!r} is there twice; {_ANEW}")
        found[action.filename] = action
    if plan is None:
        raise Invalid(f"the plan is empty; {_ANEW}")
    return plan.model_copy(update={"actions": tuple(found.values())})


_ANEW = "make it anew with --plan"
_NEEDED: Mapping[Doing, tuple[str, ...]] = {
    "download": ("etag",),
    "upload": ("local",),
    "copy": (),
    "delete_local": ("local",),
    "delete_remote": ("etag",),
    "conflict": (),
}
"""What an action cannot do without. Of a copy without a version it is told why there is none."""
