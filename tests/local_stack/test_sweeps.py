"""Changes without an event are found by a sweep, repaired, and logged."""

import json
from typing import Any

from s3_manifest_cli.local_stack.stack import Stack


def logged(stack: Stack, message: str, collection: str) -> list[dict[str, Any]]:
    """Returns the log records with a message about a collection."""
    records = []
    for line in stack.platform.log.read_text(errors="replace").splitlines():
        start = line.find('{"level"')
        if start >= 0 and f'"{message}"' in line and json.dumps(collection, ensure_ascii=False) in line:
            record = json.loads(line[start:])
            if (record["message"], record.get("collection")) == (message, collection):
                records.append(record)
    return records


def test_a_rescan_repairs_changes_without_an_event_and_reports_drift(
    stack, s3, style, silenced, manifest_when, eventually
):
    prefix = f"styles/{style}/"
    for name in ("kept.png", "altered.png", "removed.png"):
        s3.put_object(Bucket=stack.bucket, Key=prefix + name, Body=b"bytes")
    before = manifest_when(style, lambda m: m["total_files"] == 3)
    with silenced:
        s3.put_object(Bucket=stack.bucket, Key=f"{prefix}altered.png", Body=b"other bytes")
        s3.delete_object(Bucket=stack.bucket, Key=f"{prefix}removed.png")
        s3.put_object(Bucket=stack.bucket, Key=f"{prefix}added.png", Body=b"new")
    assert stack.get("/api/s3/manifest", {"styleId": style}).body["revision"] == before["revision"]

    requested_at = stack.post(f"/api/manifests/style/{style.replace(' ', '%20')}/rescan").body["requested_at"]
    manifest = manifest_when(style, lambda m: (m["last_verified_at"] or "") > requested_at)
    assert {file["filename"]: file["size_bytes"] for file in manifest["files"]} == {
        "added.png": 3,
        "altered.png": 11,
        "kept.png": 5,
    }
    (drift,) = eventually(lambda: logged(stack, "drift", prefix), bool)
    assert (drift["missing"], drift["unexpected"], drift["altered"], drift["level"]) == (1, 1, 1, "WARNING")
    assert drift["keys"] == [f"{prefix}{name}" for name in ("added.png", "altered.png", "removed.png")]
    changes = stack.get(
        f"/api/manifests/style/{style.replace(' ', '%20')}/changes", {"since": before["revision"]}
    ).body["changes"]
    causes = {
        file["cause"] for change in changes for file in (*change["added"], *change["modified"], *change["removed"])
    }
    assert causes == {"sweep"}


def test_a_rescan_of_a_correct_manifest_reports_no_drift(stack, s3, style, manifest_when, eventually):
    prefix = f"styles/{style}/"
    s3.put_object(Bucket=stack.bucket, Key=f"{prefix}a.png", Body=b"bytes")
    before = manifest_when(style, lambda m: m["total_files"] == 1)
    requested_at = stack.post(f"/api/manifests/style/{style.replace(' ', '%20')}/rescan").body["requested_at"]
    after = manifest_when(style, lambda m: (m["last_verified_at"] or "") > requested_at)
    assert (after["files"], after["revision"]) == (before["files"], before["revision"])
    eventually(lambda: logged(stack, "swept", prefix), bool)
    assert logged(stack, "drift", prefix) == []


def test_a_broken_manifest_is_rebuilt_on_request(stack, s3, style, manifest_when):
    key, head = f"styles/{style}/a.png", f"_manifests/styles/{style}/manifest.json"
    s3.put_object(Bucket=stack.bucket, Key=key, Body=b"bytes")
    manifest_when(style, lambda m: m["total_files"] == 1)
    s3.put_object(Bucket=stack.bucket, Key=head, Body=b"broken")
    assert stack.get("/api/s3/manifest", {"styleId": style}).status == 503
    path = f"/api/manifests/style/{style.replace(' ', '%20')}"
    assert stack.post(f"{path}/rescan", query={"rebuild": "true"}).status == 202
    manifest = manifest_when(style, lambda m: m["total_files"] == 1)
    assert (manifest["complete"], manifest["revision"]) == (True, 2)
    copies = s3.list_objects_v2(Bucket=stack.bucket, Prefix=f"_manifests/styles/{style}/set-aside/")["Contents"]
    assert len(copies) == 1
    assert stack.get(f"{path}/changes", {"since": 1}).status == 410
