"""A deployment with two buckets: a denied or missing one is named, and does not hold up the other."""

import pytest

from handlers.lambda_events import ASSETS, BUCKET, s3_event
from s3_manifest.manifest.jobs import Sweep, SweepAll

STYLE, ACTOR = "library/16/", "library/0042_european_30_male/"
DENIED = [(403, "AccessDenied"), (404, "NoSuchBucket")]
COUNTS = {"Commits": [1], "UnchangedCommits": [0], "Conflicts": [0]}


@pytest.fixture
def known(two_buckets, reconcile, metrics_by_bucket):
    """A style and an actor whose manifests are up to date, each in its bucket."""
    two_buckets.put(f"{STYLE}a.png")
    two_buckets.put(f"{ACTOR}b.png", bucket=ASSETS)
    assert reconcile({"s": s3_event(f"{STYLE}a.png"), "a": s3_event(f"{ACTOR}b.png", bucket=ASSETS)}) == []
    two_buckets.queued()
    metrics_by_bucket()
    return two_buckets


def rows_of(page):
    return [(row["kind"], row["s3_bucket"]) for row in page["collections"]]


def test_each_manifest_lies_beside_its_data_and_names_its_bucket(known, get):
    for bucket, prefix in ((BUCKET, STYLE), (ASSETS, ACTOR)):
        head = known.manifest(prefix, bucket=bucket)
        assert (head["s3_bucket"], head["s3_prefix"], head["total_files"]) == (bucket, prefix, 1)
    assert rows_of(get("/api/manifests").json) == [("actor", ASSETS), ("style", BUCKET)]


def test_a_prefix_of_one_bucket_names_no_collection_in_another(known, reconcile, log):
    assert reconcile({"m": s3_event("library/0042_european_30_male/b.png", bucket="another-bucket")}) == []
    (line,) = [line for line in log() if line["message"] == "dropped"]
    assert line["reason"] == f"its bucket is another-bucket, not {ASSETS} or {BUCKET}"


@pytest.mark.parametrize(("status", "code"), DENIED)
def test_events_of_a_denied_bucket_fail_and_those_of_the_other_are_committed(known, reconcile, log, status, code):
    known.put(f"{STYLE}new.png")
    known.put(f"{ACTOR}new.png", bucket=ASSETS)
    known.refuse_bucket(ASSETS, status, code)
    messages = {
        "style": s3_event(f"{STYLE}new.png"),
        "actor": s3_event(f"{ACTOR}new.png", bucket=ASSETS),
        "both": {"Records": s3_event(f"{STYLE}a.png")["Records"] + s3_event(f"{ACTOR}b.png", bucket=ASSETS)["Records"]},
    }
    assert sorted(reconcile(messages)) == ["actor", "both"]
    assert [file["filename"] for file in known.manifest(STYLE)["files"]] == ["a.png", "new.png"]
    reasons = [line["reason"] for line in log() if line["message"] == "failed"]
    assert len(reasons) == 2
    assert all(f"s3://{ASSETS}/" in reason and str(status) in reason for reason in reasons)
    known.faults.clear()
    assert reconcile({"actor": messages["actor"]}, receives=2) == []
    assert known.manifest(ACTOR, bucket=ASSETS)["total_files"] == 2


@pytest.mark.parametrize(("status", "code"), DENIED)
@pytest.mark.parametrize(("denied", "swept"), [(ASSETS, ("style", "16")), (BUCKET, ("actor", "0042_european_30_male"))])
def test_the_sweep_of_all_reaches_every_bucket_but_the_denied_one(known, sweep, log, denied, swept, status, code):
    known.refuse_bucket(denied, status, code)
    assert sweep({"all": SweepAll()}) == []
    per_bucket = known.jobs()
    assert sorted(job.bucket for job in per_bucket) == [ASSETS, BUCKET]
    failed = sweep({job.bucket: job for job in per_bucket})
    assert failed == [denied]
    assert [(job.kind, job.id) for job in known.jobs() if isinstance(job, Sweep)] == [swept]
    (line,) = [line for line in log() if line["message"] == "failed"]
    assert f"s3://{denied}/" in line["reason"]


@pytest.mark.parametrize(("status", "code"), DENIED)
def test_the_catalog_and_the_statistics_name_a_denied_bucket_beside_the_other(known, get, status, code):
    known.refuse_bucket(ASSETS, status, code)
    for path in ("/api/manifests", "/api/stats"):
        answer = get(path)
        assert answer.status == 200
        assert rows_of(answer.json) == [("style", BUCKET)]
        (problem,) = answer.json["problems"]
        assert (problem["kind"], problem["s3_bucket"]) == ("actor", ASSETS)
        assert f"s3://{ASSETS}/" in problem["problem"]
        assert str(status) in problem["problem"]
    assert get("/api/stats").json["partial"] is True


def test_a_denied_bucket_is_an_error_where_only_it_is_asked_for(known, get, edit, log):
    known.refuse_bucket(ASSETS)
    name = ACTOR.split("/")[1]
    requests = [
        lambda: get(f"/api/manifests/actor/{name}"),
        lambda: get(f"/api/actors/{name}/training-data"),
        lambda: get("/api/actors/42/training-data"),
        lambda: edit("DELETE", f"/api/manifests/actor/{name}/files", filename="b.png"),
    ]
    for send in requests:
        before = len(log())
        assert send().status == 503
        assert any(f"s3://{ASSETS}/" in line.get("reason", "") for line in log()[before:])
    assert get("/api/manifests/style/16").json["total_files"] == 1
    assert edit("DELETE", "/api/manifests/style/16/files", filename="a.png", delete_from_s3="true").status < 300
    assert known.below(STYLE) == []


def test_a_rescan_of_all_is_accepted_although_a_bucket_is_denied(known, post):
    known.refuse_bucket(ASSETS)
    assert post("/api/manifests/rescan").status == 202
    assert known.jobs() == [SweepAll()]


def test_edits_change_only_the_bucket_of_their_collection(known, edit):
    known.put(f"{ACTOR}a.png", bucket=ASSETS)
    known.put(f"{ACTOR}a.png")
    path = "/api/manifests/actor/0042_european_30_male/files"
    assert edit("DELETE", path, filename="a.png", delete_from_s3="true").status < 300
    assert known.below("library/") == [f"{ACTOR}a.png", f"{STYLE}a.png"]
    assert known.below(ACTOR, bucket=ASSETS) == [f"{ACTOR}b.png"]


def test_metrics_are_counted_for_the_stack_and_for_each_bucket(known, reconcile, metrics_by_bucket):
    known.put(f"{STYLE}new.png")
    known.put(f"{ACTOR}new.png", bucket=ASSETS)
    known.put(f"{ACTOR}more.png", bucket=ASSETS)
    reconcile(
        {
            "1": s3_event(f"{STYLE}new.png"),
            "2": s3_event(f"{ACTOR}new.png", f"{ACTOR}more.png", bucket=ASSETS),
        }
    )
    counted = metrics_by_bucket()
    fresh = {bucket: len(metrics.pop("Freshness")) for bucket, metrics in counted.items()}
    assert fresh == {"": 3, BUCKET: 1, ASSETS: 2}
    assert (counted[BUCKET], counted[ASSETS]) == (COUNTS, COUNTS)
    assert (counted[""]["Commits"], counted[""]["EventsReceived"]) == ([2], [3])


def test_a_batch_of_one_bucket_has_no_metrics_of_the_other(known, reconcile, metrics_by_bucket):
    reconcile({"1": s3_event(f"{STYLE}a.png")})
    assert metrics_by_bucket().keys() == {"", BUCKET}


def test_drift_is_counted_for_the_bucket_that_has_it(known, sweep, sweep_on, metrics_by_bucket, log, pass_seconds):
    known.put(f"{ACTOR}unnoticed.png", bucket=ASSETS)
    assert sweep({"m": Sweep(kind="actor", id="0042_european_30_male")}) == []
    pass_seconds(65)
    sweep_on()
    counted = metrics_by_bucket()
    assert counted.keys() == {"", ASSETS}
    assert sum(counted[ASSETS]["Drift"]) == sum(counted[""]["Drift"]) == 1
    (line,) = [line for line in log() if line["message"] == "drift"]
    assert (line["bucket"], line["collection"]) == (ASSETS, ACTOR)


def test_a_sweep_of_all_has_no_metrics_of_a_bucket(known, sweep, metrics_by_bucket):
    sweep({"m": SweepAll()})
    assert metrics_by_bucket().keys() == {""}
