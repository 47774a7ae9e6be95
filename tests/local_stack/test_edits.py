"""Edits over HTTP change S3, and then the manifest; no test here writes a manifest or a sidecar."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, http_put

CLIENTS, TIMES = 4, 3


def put(s3, stack, key, body=b"bytes", **more):
    s3.put_object(Bucket=stack.bucket, Key=key, Body=body, **more)


def path_of(style: str) -> str:
    return f"/api/styles/{quote(style)}"


def files_of(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {file["filename"]: file for file in manifest["files"]}


def test_a_file_is_described_hidden_shown_again_and_deleted(stack, s3, style, manifest_when):
    name = "deep/ü b+c.png"
    put(s3, stack, f"styles/{style}/{name}")
    image = f"{path_of(style)}/images/{quote(name, safe='')}"
    file = f"/api/manifests/style/{quote(style)}/files/{quote(name)}"
    assert stack.send("PATCH", image, {"good": False, "prompt": "größe", "labels": ["x"]}).status == 200
    shown = files_of(manifest_when(style, lambda m: m["files"] and not m["files"][0]["good"]))[name]
    assert (shown["prompt"], shown["labels"]) == ("größe", ["x"])
    answer = stack.send("DELETE", file)
    assert (answer.status, answer.body["hidden"]) == (200, True)
    manifest_when(style, lambda m: m["total_files"] == 0)
    assert stack.send("PATCH", image, {"hidden": None}).status == 200
    assert files_of(manifest_when(style, lambda m: m["total_files"] == 1))[name]["prompt"] == "größe"
    answer = stack.send("DELETE", file, query={"delete_from_s3": "true"})
    assert (answer.status, answer.body["deleted"]) == (200, True)
    manifest_when(style, lambda m: m["total_files"] == 0)
    sidecar = s3.get_object(Bucket=stack.bucket, Key=f"styles/{style}/prompt_metadata.json")["Body"].read()
    assert json.loads(sidecar) == {}
    assert stack.send("DELETE", file, query={"delete_from_s3": "true"}).status == 404


def test_a_presigned_upload_appears_in_the_manifest_with_the_announced_fields(stack, style, manifest_when):
    bodies = {"a.png": b"pixels", "deep/ü b+c.png": b"more pixels"}
    images = [
        {"filename": name, "size": len(body), "md5": hashlib.md5(body).hexdigest(), "prompt": f"größe of {name}"}
        for name, body in bodies.items()
    ]
    request = {"images": images, "generation": {"metadata": {"model": "sdxl"}}}
    uploads = stack.send("POST", f"{path_of(style)}/uploads", request).body["uploads"]
    for upload in uploads:
        body = bodies[upload["filename"]]
        assert http_put(upload["url"], b"z" * len(body), upload["headers"]) == 400
        assert http_put(upload["url"], body, upload["headers"] | {"x-amz-meta-prompt": "other"}) == 403
        assert http_put(upload["url"], body, upload["headers"]) == 200
        assert http_put(upload["url"], body, upload["headers"]) == 412
    manifest = manifest_when(style, lambda m: m["total_files"] == 2 and m["generations"][0].get("declared"))
    assert {file["filename"]: file["md5_hash"] for file in manifest["files"]} == {
        image["filename"]: image["md5"] for image in images
    }
    assert {file["prompt"] for file in manifest["files"]} == {image["prompt"] for image in images}
    (generation,) = manifest["generations"]
    assert (generation["image_count"], generation["metadata"]) == (2, {"model": "sdxl"})


def test_the_response_links_to_the_manifest_that_shows_the_change(stack, s3, style, manifest_when):
    put(s3, stack, f"styles/{style}/a.png")
    manifest_when(style, lambda m: m["total_files"] == 1)
    first = stack.send("PATCH", path_of(style), {"title": "Dynamic Größe"}).body
    manifest = stack.get(first["manifest"])
    assert (manifest.headers["x-manifest-reflected"], manifest.body["style_title"]) == ("true", "Dynamic Größe")
    again = stack.send("PATCH", path_of(style), {"title": "Dynamic Größe"}).body
    assert (again["reflected"], again["revision"]) == (True, manifest.body["revision"])
    file = f"{path_of(style).replace('styles', 'manifests/style')}/files/a.png"
    manifest = stack.get(stack.send("DELETE", file, query={"delete_from_s3": "true"}).body["manifest"])
    assert (manifest.headers["x-manifest-reflected"], manifest.body["files"]) == ("true", [])


def test_a_whole_collection_is_deleted(stack, s3, style, manifest_when):
    for name in ("a.png", "a.txt", "collection.json"):
        put(s3, stack, f"styles/{style}/{name}", b"{}")
    manifest_when(style, lambda m: m["total_files"] == 1)
    whole = f"/api/manifests/style/{quote(style)}"
    assert stack.send("DELETE", whole, query={"confirm": "no", "delete_from_s3": "true"}).status == 400
    answer = stack.send("DELETE", whole, query={"confirm": style, "delete_from_s3": "true"})
    assert (answer.status, answer.body["deleted"], answer.body["complete"]) == (200, 3, True)
    assert manifest_when(style, lambda m: m["total_files"] == 0 and not m["sidecars"])


def test_a_rescan_of_an_actor_is_requested_by_its_number(stack, s3, eventually):
    s3.put_object(Bucket=ACTOR_BUCKET, Key="system_actors/training_data/0042_european_30_male/a.png", Body=b"bytes")
    answer = stack.send("POST", "/api/training-data/42/rescan")
    assert answer.status == 202
    path = answer.body["manifest"]
    assert path == "/api/manifests/actor/0042_european_30_male"

    def verified() -> str:
        return (stack.get(path).body or {}).get("last_verified_at") or ""

    eventually(verified, lambda at: at > answer.body["requested_at"])


def test_concurrent_edits_during_uploads_are_all_in_the_manifest(stack, s3, style, manifest_when, eventually):
    names = [f"client {client}.png" for client in range(CLIENTS)]
    for name in [*names, "common.png"]:
        put(s3, stack, f"styles/{style}/{name}")

    def toggle(client: int) -> None:
        for number in range(TIMES):
            fields = {"good": number % 2 == 0, "prompt": f"edit {number} ü"}
            files = {names[client]: fields, "common.png": {"labels": [f"{client}"], "prompt": f"by {client}"}}
            answer = eventually(
                lambda files=files: stack.send("PATCH", f"{path_of(style)}/images", {"files": files}),
                lambda answer: answer.status != 503,
            )
            assert answer.status == 200
            put(s3, stack, f"styles/{style}/arrived {client} {number}.png")

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(toggle, range(CLIENTS)))
    sidecar = json.loads(s3.get_object(Bucket=stack.bucket, Key=f"styles/{style}/prompt_metadata.json")["Body"].read())
    common = sidecar.pop("common.png")
    assert common["prompt"] == f"by {common['labels'][0]}"
    assert sidecar == {name: {"good": TIMES % 2 == 1, "prompt": f"edit {TIMES - 1} ü"} for name in names}

    def is_complete(manifest: dict[str, Any]) -> bool:
        shown = {
            name: {field: file[field] for field in ("good", "prompt")} for name, file in files_of(manifest).items()
        }
        return (
            len(shown) == CLIENTS + 1 + CLIENTS * TIMES
            and {name: shown[name] for name in names} == sidecar
            and files_of(manifest)["common.png"]["labels"] == common["labels"]
        )

    manifest_when(style, is_complete)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/api/styles/16/images/a.png"),
        ("DELETE", "/api/training-data/42/images/a.png"),
        ("POST", "/api/styles/16/uploads"),
        ("POST", "/api/training-data/42/rescan"),
    ],
)
def test_an_unsigned_request_is_refused(stack, method, path):
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(f"{stack.api_url}{path}", method=method), timeout=30)
    with refused.value as answer:
        assert answer.code == 403
