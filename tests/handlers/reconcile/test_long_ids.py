"""An id that would make a key of the manifest longer than S3 allows is rejected on every route."""

import json

import pytest
from handlers.lambda_events import s3_event
from handlers.sweep.test_sweep import lines

from s3_manifest.manifest.jobs import Sweep

LONGEST = 1024 - len("_manifests/styles//") - 91
TOO_LONG = ["x" * (LONGEST + 1), "é" * (LONGEST // 2 + 1), "x" * 992, "x" * 1024]


@pytest.mark.parametrize("id_", TOO_LONG, ids=len)
def test_an_id_that_is_too_long_is_rejected_with_the_limit(get, post, edit, id_):
    path = f"/api/manifests/style/{id_}"
    image = {"images": [{"filename": "a.png", "size": 1, "md5": "0" * 32}]}
    replies = [
        get(path),
        get(f"{path}/changes"),
        get(f"{path}/removed"),
        get("/api/s3/manifest", styleId=id_),
        post(f"{path}/rescan"),
        post("/api/manifests/rescan", json.dumps({"collections": [{"kind": "style", "id": id_}]})),
        edit("PATCH", path, {"title": "x"}),
        edit("POST", f"{path}/uploads", image),
        edit("DELETE", f"{path}/files/a.png"),
    ]
    assert [reply.status for reply in replies] == [404, 404, 404, 404, 404, 400, 404, 400, 404]
    assert all(
        f"the limit is {LONGEST}" in reply.json["detail"] for reply in (*replies[:3], *replies[4:5], *replies[6:])
    )


def test_the_longest_id_gets_a_manifest(account, reconcile, get):
    key = f"styles/{'x' * LONGEST}/a.png"
    account.put(key)
    assert reconcile({"m": s3_event(key)}) == []
    assert get(f"/api/manifests/style/{'x' * LONGEST}").json["total_files"] == 1


@pytest.mark.parametrize("id_", TOO_LONG[:1], ids=len)
def test_an_event_with_an_id_that_is_too_long_is_dropped_with_the_reason(account, reconcile, log, id_):
    account.put(key := f"styles/{id_}/a.png")
    assert reconcile({"m": s3_event(key)}) == []
    assert f"the limit is {LONGEST}" in json.dumps(log())


@pytest.mark.parametrize("id_", TOO_LONG[:1], ids=len)
def test_a_sweep_skips_an_id_that_is_too_long_and_logs_the_reason(account, sweep, log, id_):
    account.put(f"styles/{id_}/a.png")
    assert sweep({"m": Sweep(kind="style", id=id_)}) == []
    assert f"the limit is {LONGEST}" in lines(log, "skipped")[0]["reason"]
