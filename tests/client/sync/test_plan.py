import io
from datetime import UTC, datetime, timedelta

import pytest
from unit.values import NOON, merged

from s3_manifest.manifest.model import timestamp
from s3_manifest.sidecars.descriptions import Observation
from s3_manifest_cli.client.local.partials import Identity
from s3_manifest_cli.client.local.scan import LocalFile
from s3_manifest_cli.client.manifests.manifests import RemoteFile
from s3_manifest_cli.client.sync.plan import (
    Action,
    BaselineEntry,
    Plan,
    SyncOptions,
    actions,
    check_deletions,
    decode,
    encode,
)
from s3_manifest_cli.client.verify.compare import FileStatus
from s3_manifest_cli.errors import Invalid, Refused

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HERE = LocalFile("a.png", 5, 1_000, 2_000, 7)
CHANGED_HERE = HERE._replace(ctime_ns=3_000)
THERE = RemoteFile("a.png", 5, "m", "e", "files", None, NOON)
CHANGED_THERE = THERE._replace(etag="other")
AGREED = {"a.png": BaselineEntry("e", HERE.identity)}

LOCAL_ONLY = FileStatus("a.png", "local_only", HERE, None)
S3_ONLY = FileStatus("a.png", "s3_only", None, THERE)
OUT_OF_SYNC = FileStatus("a.png", "out_of_sync", HERE, THERE)
UNVERIFIABLE = FileStatus("a.png", "unverifiable", HERE, THERE, "why")
SYNCED = FileStatus("a.png", "synced", HERE, THERE)


def planned(verb, one, options, base=None):
    return [action.action for action in actions(verb, [one], options, base)]


@pytest.mark.parametrize(
    ("verb", "one", "delete", "action"),
    [
        ("pull", S3_ONLY, False, ["download"]),
        ("pull", OUT_OF_SYNC, False, ["download"]),
        ("pull", UNVERIFIABLE, False, ["download"]),
        ("pull", LOCAL_ONLY, False, []),
        ("pull", LOCAL_ONLY, True, ["delete_local"]),
        ("pull", SYNCED, True, []),
        ("push", LOCAL_ONLY, False, ["upload"]),
        ("push", OUT_OF_SYNC, False, ["upload"]),
        ("push", UNVERIFIABLE, False, ["upload"]),
        ("push", S3_ONLY, False, []),
        ("push", S3_ONLY, True, ["delete_remote"]),
        ("push", SYNCED, True, []),
    ],
)
def test_a_pull_makes_the_folder_what_s3_has_and_a_push_the_other_way_round(verb, one, delete, action):
    assert planned(verb, one, SyncOptions(delete=delete)) == action


@pytest.mark.parametrize(
    ("one", "base", "delete", "action"),
    [
        (LOCAL_ONLY, None, True, ["upload"]),
        (LOCAL_ONLY, AGREED, False, ["upload"]),
        # It was in S3 and is no more, and nobody touched it here since.
        (LOCAL_ONLY, AGREED, True, ["delete_local"]),
        (LOCAL_ONLY._replace(local=CHANGED_HERE), AGREED, True, ["conflict"]),
        (S3_ONLY, None, True, ["download"]),
        (S3_ONLY, AGREED, False, ["download"]),
        (S3_ONLY, AGREED, True, ["delete_remote"]),
        (S3_ONLY._replace(remote=CHANGED_THERE), AGREED, True, ["conflict"]),
        (OUT_OF_SYNC._replace(local=CHANGED_HERE), AGREED, False, ["upload"]),
        (OUT_OF_SYNC._replace(remote=CHANGED_THERE), AGREED, False, ["download"]),
        (OUT_OF_SYNC._replace(local=CHANGED_HERE, remote=CHANGED_THERE), AGREED, False, ["conflict"]),
        (OUT_OF_SYNC, None, False, ["conflict"]),
        (UNVERIFIABLE, None, False, ["conflict"]),
        (UNVERIFIABLE, AGREED, False, []),
        (SYNCED, None, True, []),
    ],
)
def test_a_sync_takes_the_side_that_changed_since_the_last_one(one, base, delete, action):
    assert planned("sync", one, SyncOptions(delete=delete), base) == action


@pytest.mark.parametrize("verb", ["pull", "push", "sync"])
def test_what_nothing_proves_is_believed_to_be_what_it_was_agreed_to_be(verb):
    assert planned(verb, UNVERIFIABLE, SyncOptions(), AGREED) == []
    for changed in (UNVERIFIABLE._replace(local=CHANGED_HERE), UNVERIFIABLE._replace(remote=CHANGED_THERE)):
        assert len(planned(verb, changed, SyncOptions(), AGREED)) == 1
    assert planned(verb, OUT_OF_SYNC, SyncOptions(), AGREED) != []


@pytest.mark.parametrize(
    ("prefer", "changed_here", "action"),
    [
        ("local", "2026-01-01", "upload"),
        ("s3", "2026-01-01", "download"),
        ("newer", "2026-01-01", "download"),
        ("newer", "2027-01-01", "upload"),
        ("newer", "2026-06-01", "conflict"),
        (None, "2027-01-01", "conflict"),
    ],
)
def test_in_a_conflict_that_side_stands_which_is_preferred(prefer, changed_here, action):
    mtime_ns = int(datetime.fromisoformat(changed_here).replace(tzinfo=UTC).timestamp() * 1e9)
    there = THERE._replace(last_modified="2026-06-01T00:00:00.000Z")
    one = OUT_OF_SYNC._replace(local=HERE._replace(mtime_ns=mtime_ns), remote=there)
    assert planned("sync", one, SyncOptions(prefer=prefer)) == [action]


@pytest.mark.parametrize(
    ("one", "prefer", "action"),
    [
        (LOCAL_ONLY._replace(local=CHANGED_HERE), "local", "upload"),
        (LOCAL_ONLY._replace(local=CHANGED_HERE), "s3", "delete_local"),
        (LOCAL_ONLY._replace(local=CHANGED_HERE), "newer", "upload"),
        (S3_ONLY._replace(remote=CHANGED_THERE), "local", "delete_remote"),
        (S3_ONLY._replace(remote=CHANGED_THERE), "s3", "download"),
        (S3_ONLY._replace(remote=CHANGED_THERE), "newer", "download"),
    ],
)
def test_what_one_side_changed_and_the_other_deleted_is_as_that_side_has_it_which_is_preferred(one, prefer, action):
    assert planned("sync", one, SyncOptions(delete=True, prefer=prefer), AGREED) == [action]


@pytest.mark.parametrize(
    ("verb", "one", "size"),
    [
        ("pull", OUT_OF_SYNC._replace(remote=THERE._replace(size=9)), 9),
        ("push", OUT_OF_SYNC, 5),
        ("push", LOCAL_ONLY, 5),
    ],
)
def test_an_action_knows_both_sides_as_they_were_and_how_much_is_moved(verb, one, size):
    (action,) = actions(verb, [one], SyncOptions())
    assert action.size == size
    assert action.local == (one.local and one.local.identity)
    assert action.etag == (one.remote and one.remote.etag)


def plan(*doings):
    return Plan(
        verb="pull",
        folder="f",
        kind="style",
        id="16",
        s3_bucket="b",
        s3_prefix="styles/16/",
        revision=3,
        actions=tuple(
            Action(
                action=doing, filename=f"{number}.png", state="local_only", size=1, etag="e", local=Identity(1, 2, 3, 4)
            )
            for number, doing in enumerate(doings)
        ),
    )


def facts(**changed):
    made = merged(None, Observation("styles/16/a.jpg", None))
    verified = timestamp(NOW - timedelta(days=1))
    return made.model_copy(update={"complete": True, "last_verified_at": verified} | changed)


def test_deletions_are_planned_by_a_manifest_that_knows_all():
    check_deletions(plan("delete_local", "delete_remote"), facts(), NOW)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"complete": False}, "incomplete"),
        ({"last_verified_at": None}, "not compared with S3"),
        ({"last_verified_at": timestamp(NOW - timedelta(days=4))}, "not compared with S3"),
    ],
)
@pytest.mark.parametrize("doing", ["delete_local", "delete_remote"])
def test_by_another_manifest_nothing_is_deleted_and_the_mend_is_told(changed, reason, doing):
    with pytest.raises(Refused, match=f"{reason}.*rescan style/16"):
        check_deletions(plan("download", doing), facts(**changed), NOW)
    check_deletions(plan("download", "upload", "conflict"), facts(**changed), NOW)


def test_no_more_is_deleted_than_may_be():
    check_deletions(plan(*["delete_local"] * 3), facts(), NOW, max_delete=3)
    with pytest.raises(Refused, match="--max-delete"):
        check_deletions(plan(*["delete_local"] * 3, "delete_remote"), facts(), NOW, max_delete=3)


def test_a_plan_is_a_line_of_json_for_each_action_and_can_be_read_again():
    written = list(encode(plan("download", "delete_local")))
    assert [line.count(b"\n") for line in written] == [1, 1, 1]
    assert decode(written) == plan("download", "delete_local")
    # The user has taken a line out, and the editor added an empty one.
    assert decode(io.BytesIO(written[0] + written[2] + b"\n")).actions == plan("download", "delete_local").actions[1:]


def without(whole, **changed):
    """The lines of a plan whose one action somebody has edited."""
    return list(encode(whole.model_copy(update={"actions": (whole.actions[0].model_copy(update=changed),)})))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "empty"),
        ([b"{}"], "line 1"),
        ([b"no json"], "line 1"),
        (
            [next(encode(plan())), b'{"action": "burn", "filename": "a", "state": "synced", "size": 1}'],
            "line 2.*action",
        ),
        ([next(encode(plan())).replace(b'"plan":1', b'"plan":2')], "line 1.*plan"),
        ([*encode(plan("download")), list(encode(plan("delete_local")))[1]], "line 3.*'0.png' is listed twice"),
        (without(plan("download"), etag=None), "line 2.*'0.png' has no etag"),
        (without(plan("upload"), local=None), "line 2.*'0.png' has no local"),
        (without(plan("delete_local"), local=None), "line 2.*'0.png' has no local"),
        (without(plan("delete_remote"), etag=None), "line 2.*'0.png' has no etag"),
        (without(plan("download"), size=-1), "line 2.*size"),
        (without(plan("download"), last_modified="yesterday"), "line 2.*last_modified"),
    ],
)
def test_a_plan_that_cannot_be_read_is_refused_and_the_line_told(lines, reason):
    with pytest.raises(Invalid, match=reason):
        decode(lines)
