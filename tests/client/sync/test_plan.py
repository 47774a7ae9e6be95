import io
from datetime import UTC, datetime, timedelta

import pytest
from unit.values import NOON, head_after

from s3_manifest.manifest.model import timestamp
from s3_manifest.sidecars.applied import Observation
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
LOCAL = LocalFile("a.png", 5, 1_000, 2_000, 7)
CHANGED_LOCAL = LOCAL._replace(ctime_ns=3_000)
REMOTE = RemoteFile("a.png", 5, "m", "e", "files", None, NOON)
CHANGED_REMOTE = REMOTE._replace(etag="other")
BASELINE = {"a.png": BaselineEntry("e", LOCAL.identity)}

LOCAL_ONLY = FileStatus("a.png", "local_only", LOCAL, None)
S3_ONLY = FileStatus("a.png", "s3_only", None, REMOTE)
OUT_OF_SYNC = FileStatus("a.png", "out_of_sync", LOCAL, REMOTE)
UNVERIFIABLE = FileStatus("a.png", "unverifiable", LOCAL, REMOTE, "why")
SYNCED = FileStatus("a.png", "synced", LOCAL, REMOTE)


def planned(verb, file, options, baseline=None):
    return [action.action for action in actions(verb, [file], options, baseline)]


@pytest.mark.parametrize(
    ("verb", "file", "delete", "action"),
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
def test_a_pull_makes_the_folder_match_s3_and_a_push_makes_s3_match_the_folder(verb, file, delete, action):
    assert planned(verb, file, SyncOptions(delete=delete)) == action


@pytest.mark.parametrize(
    ("file", "baseline", "delete", "action"),
    [
        (LOCAL_ONLY, None, True, ["upload"]),
        (LOCAL_ONLY, BASELINE, False, ["upload"]),
        # It was deleted from S3, and the local file is unchanged.
        (LOCAL_ONLY, BASELINE, True, ["delete_local"]),
        (LOCAL_ONLY._replace(local=CHANGED_LOCAL), BASELINE, True, ["conflict"]),
        (S3_ONLY, None, True, ["download"]),
        (S3_ONLY, BASELINE, False, ["download"]),
        (S3_ONLY, BASELINE, True, ["delete_remote"]),
        (S3_ONLY._replace(remote=CHANGED_REMOTE), BASELINE, True, ["conflict"]),
        (OUT_OF_SYNC._replace(local=CHANGED_LOCAL), BASELINE, False, ["upload"]),
        (OUT_OF_SYNC._replace(remote=CHANGED_REMOTE), BASELINE, False, ["download"]),
        (OUT_OF_SYNC._replace(local=CHANGED_LOCAL, remote=CHANGED_REMOTE), BASELINE, False, ["conflict"]),
        (OUT_OF_SYNC, None, False, ["conflict"]),
        (UNVERIFIABLE, None, False, ["conflict"]),
        (UNVERIFIABLE, BASELINE, False, []),
        (SYNCED, None, True, []),
    ],
)
def test_a_sync_takes_the_side_that_changed_since_the_last_one(file, baseline, delete, action):
    assert planned("sync", file, SyncOptions(delete=delete), baseline) == action


@pytest.mark.parametrize("verb", ["pull", "push", "sync"])
def test_an_unverifiable_file_needs_no_action_if_it_matches_the_baseline(verb):
    assert planned(verb, UNVERIFIABLE, SyncOptions(), BASELINE) == []
    for changed in (UNVERIFIABLE._replace(local=CHANGED_LOCAL), UNVERIFIABLE._replace(remote=CHANGED_REMOTE)):
        assert len(planned(verb, changed, SyncOptions(), BASELINE)) == 1
    assert planned(verb, OUT_OF_SYNC, SyncOptions(), BASELINE) != []


@pytest.mark.parametrize(
    ("prefer", "local_mtime", "action"),
    [
        ("local", "2026-01-01", "upload"),
        ("s3", "2026-01-01", "download"),
        ("newer", "2026-01-01", "download"),
        ("newer", "2027-01-01", "upload"),
        ("newer", "2026-06-01", "conflict"),
        (None, "2027-01-01", "conflict"),
    ],
)
def test_the_preferred_side_wins_a_conflict(prefer, local_mtime, action):
    mtime_ns = int(datetime.fromisoformat(local_mtime).replace(tzinfo=UTC).timestamp() * 1e9)
    remote = REMOTE._replace(last_modified="2026-06-01T00:00:00.000Z")
    file = OUT_OF_SYNC._replace(local=LOCAL._replace(mtime_ns=mtime_ns), remote=remote)
    assert planned("sync", file, SyncOptions(prefer=prefer)) == [action]


@pytest.mark.parametrize(
    ("file", "prefer", "action"),
    [
        (LOCAL_ONLY._replace(local=CHANGED_LOCAL), "local", "upload"),
        (LOCAL_ONLY._replace(local=CHANGED_LOCAL), "s3", "delete_local"),
        (LOCAL_ONLY._replace(local=CHANGED_LOCAL), "newer", "upload"),
        (S3_ONLY._replace(remote=CHANGED_REMOTE), "local", "delete_remote"),
        (S3_ONLY._replace(remote=CHANGED_REMOTE), "s3", "download"),
        (S3_ONLY._replace(remote=CHANGED_REMOTE), "newer", "download"),
    ],
)
def test_the_preferred_side_decides_about_a_file_that_one_side_changed_and_the_other_deleted(file, prefer, action):
    assert planned("sync", file, SyncOptions(delete=True, prefer=prefer), BASELINE) == [action]


@pytest.mark.parametrize(
    ("verb", "file", "size"),
    [
        ("pull", OUT_OF_SYNC._replace(remote=REMOTE._replace(size=9)), 9),
        ("push", OUT_OF_SYNC, 5),
        ("push", LOCAL_ONLY, 5),
    ],
)
def test_an_action_holds_the_planned_state_of_both_sides_and_the_size(verb, file, size):
    (action,) = actions(verb, [file], SyncOptions())
    assert action.size == size
    assert action.local == (file.local and file.local.identity)
    assert action.etag == (file.remote and file.remote.etag)


def plan(*action_types):
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
                action=action_type,
                filename=f"{number}.png",
                state="local_only",
                size=1,
                etag="e",
                local=Identity(1, 2, 3, 4),
            )
            for number, action_type in enumerate(action_types)
        ),
    )


def facts(**changed):
    made = head_after(None, Observation("styles/16/a.jpg", None))
    verified = timestamp(NOW - timedelta(days=1))
    return made.model_copy(update={"complete": True, "last_verified_at": verified} | changed)


def test_deletions_by_a_complete_manifest_are_allowed():
    check_deletions(plan("delete_local", "delete_remote"), facts(), NOW)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"complete": False}, "incomplete"),
        ({"last_verified_at": None}, "not compared with S3"),
        ({"last_verified_at": timestamp(NOW - timedelta(days=4))}, "not compared with S3"),
    ],
)
@pytest.mark.parametrize("action_type", ["delete_local", "delete_remote"])
def test_deletions_by_an_incomplete_or_stale_manifest_are_refused_with_a_remedy(changed, reason, action_type):
    with pytest.raises(Refused, match=f"{reason}.*rescan style/16"):
        check_deletions(plan("download", action_type), facts(**changed), NOW)
    check_deletions(plan("download", "upload", "conflict"), facts(**changed), NOW)


def test_deletions_are_limited():
    check_deletions(plan(*["delete_local"] * 3), facts(), NOW, max_delete=3)
    with pytest.raises(Refused, match="--max-delete"):
        check_deletions(plan(*["delete_local"] * 3, "delete_remote"), facts(), NOW, max_delete=3)


def test_a_plan_is_encoded_as_json_lines_and_decoded_again():
    written = list(encode(plan("download", "delete_local")))
    assert [line.count(b"\n") for line in written] == [1, 1, 1]
    assert decode(written) == plan("download", "delete_local")
    # The user removed a line, and the editor added an empty one.
    assert decode(io.BytesIO(written[0] + written[2] + b"\n")).actions == plan("download", "delete_local").actions[1:]


def without(whole, **changed):
    """The lines of a plan whose only action was edited."""
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
def test_an_invalid_plan_is_refused_with_the_line(lines, reason):
    with pytest.raises(Invalid, match=reason):
        decode(lines)
