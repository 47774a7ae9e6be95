"""The part of the demo about an actor, over HTTP: uploads, views, edits, deletions."""

import hashlib
from typing import Any
from urllib.parse import quote

import click

from s3_manifest_cli.local_stack.demo_output import DemoFailed, headline, print_json, request
from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.stack import Query, Stack, http_put

ACTOR, NUMBER = "0007_asian_25_female", "7"
_PATH, _EDIT_PATH = f"/api/training-data/{NUMBER}", f"/api/actors/{NUMBER}/training-data"
_PICTURES = {
    "smiling.png": (png(48, (230, 180, 60)), "a woman smiling, soft light"),
    "profile.png": (png(40, (60, 180, 230)), "a woman in profile, 35 mm"),
    "blurred.png": (png(24, (120, 120, 120)), "a woman running"),
    "test shot.png": (png(16, (20, 20, 20)), "a grey card"),
}


def run_actor_demo(stack: Stack) -> None:
    """Uploads, describes, hides, deletes, rescans. Raises ``DemoFailed``."""
    headline("8. A new actor: four pictures of one generation, uploaded with presigned URLs")
    _put(stack, _sign(stack))

    headline("9. The actor's training data, by the actor's number")
    body = request(stack, "GET", _PATH).body
    print_json({field: body[field] for field in ("images", "generations", "statistics")})

    headline("10. One is marked bad, one hidden, one deleted")
    _edit(stack, "PATCH", f"{_EDIT_PATH}/blurred.png", body={"good": False, "labels": ["blurry"]})
    _edit(stack, "DELETE", f"{_PATH}/images/{quote('test shot.png')}", {"delete_from_s3": "false"})
    _edit(stack, "DELETE", f"{_PATH}/images/profile.png", {"delete_from_s3": "true"})
    print_json(request(stack, "GET", _EDIT_PATH).body)
    hidden = request(stack, "GET", f"/api/manifests/actor/{ACTOR}", {"list": "hidden"}).body["hidden"]
    click.echo(f"  hidden, and still in S3: {[entry['filename'] for entry in hidden]}")

    headline("11. The hidden one is shown again, and the collection compared with S3")
    _edit(stack, "PATCH", f"{_EDIT_PATH}/{quote('test shot.png')}", body={"hidden": None})
    body = request(stack, "GET", _PATH, {"force_rescan": "true", "wait": 20}).body
    names = [image["filename"] for image in body["images"]]
    click.echo(f"    {body['total_images']} images, verified at {body['last_verified_at']}: {names}")


def _sign(stack: Stack) -> list[dict[str, Any]]:
    """Requests presigned URLs for all pictures."""
    images = [
        {
            "filename": name,
            "size": len(content),
            "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "prompt": prompt,
        }
        for name, (content, prompt) in _PICTURES.items()
    ]
    generation = {"type": "replicate_flux_kontext", "metadata": {"steps": 28}}
    path = f"/api/training-data/{ACTOR}/uploads"
    uploads: list[dict[str, Any]] = request(
        stack, "POST", path, body={"images": images, "generation": generation}
    ).body["uploads"]
    print_json(uploads[0] | {"url": uploads[0]["url"].partition("?")[0] + "?…", "reflects": "…"})
    return uploads


def _put(stack: Stack, uploads: list[dict[str, Any]]) -> None:
    first = uploads[0]
    status = http_put(first["url"], b"x" * len(_PICTURES[first["filename"]][0]), first["headers"])
    click.echo(f"  PUT {first['filename']} with other bytes -> {status}: S3 rejects them")
    for upload in uploads:
        status = http_put(upload["url"], _PICTURES[upload["filename"]][0], upload["headers"])
        click.echo(f"  PUT {upload['filename']} -> {status}")
    for upload in uploads:
        _wait_for_change(stack, upload["reflects"])


def _edit(stack: Stack, method: str, path: str, query: Query | None = None, body: object = None) -> None:
    if token := request(stack, method, path, query, body).body["reflects"]:
        _wait_for_change(stack, token)


def _wait_for_change(stack: Stack, token: str) -> None:
    answer = stack.get(f"/api/training-data/{ACTOR}", {"reflects": token, "wait": 20})
    if answer.headers.get("x-manifest-reflected") != "true":
        raise DemoFailed(f"the manifest does not show the change after 20 s: {answer.status} {answer.body}")
