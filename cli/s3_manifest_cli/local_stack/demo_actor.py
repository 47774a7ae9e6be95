"""The part of the demo that walks an actor, all of it over HTTP: uploads, views, edits, deletions."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.stack import Answer, Stack, http_put

ACTOR, NUMBER = "0007_asian_25_female", "7"
_PATH = f"/api/training-data/{NUMBER}"
_PICTURES = {
    "smiling.png": (png(48, (230, 180, 60)), "a woman smiling, soft light"),
    "profile.png": (png(40, (60, 180, 230)), "a woman in profile, 35 mm"),
    "blurred.png": (png(24, (120, 120, 120)), "a woman running"),
    "test shot.png": (png(16, (20, 20, 20)), "a grey card"),
}


Query = Mapping[str, str | int]


class Unexpected(click.ClickException):
    """The HTTP API did not answer as it should."""


def walk_actor(stack: Stack) -> None:
    """Uploads, describes, hides, deletes, rescans. Raises ``Unexpected``."""
    _headline("8. A new actor: four pictures of one generation, uploaded with presigned URLs")
    uploads = _uploads(stack)
    _put(stack, uploads)

    _headline("9. The actor's training data, asked for by number")
    _show(_ask(stack, "GET", _PATH), "images", "generations", "statistics")

    _headline("10. One is marked bad, one hidden, one deleted")
    _edit(stack, "PATCH", f"/api/actors/{NUMBER}/training-data/blurred.png", {"good": False, "labels": ["blurry"]})
    _edit(stack, "DELETE", f"{_PATH}/images/{quote('test shot.png')}", query={"delete_from_s3": "false"})
    _edit(stack, "DELETE", f"{_PATH}/images/profile.png", query={"delete_from_s3": "true"})
    _show(_ask(stack, "GET", f"/api/actors/{NUMBER}/training-data"))
    hidden = _ask(stack, "GET", f"/api/manifests/actor/{ACTOR}", {"list": "hidden"})
    click.echo(f"  hidden, and still in S3: {[entry['filename'] for entry in hidden.body['hidden']]}")

    _headline("11. Shown again, and compared with what is in S3")
    _edit(stack, "PATCH", f"/api/actors/{NUMBER}/training-data/{quote('test shot.png')}", {"hidden": None})
    answer = _ask(stack, "GET", _PATH, {"force_rescan": "true", "wait": 20})
    names = [image["filename"] for image in answer.body["images"]]
    click.echo(f"    {answer.body['total_images']} images, verified at {answer.body['last_verified_at']}: {names}")


def _uploads(stack: Stack) -> list[dict[str, Any]]:
    images = [
        {
            "filename": name,
            "size": len(body),
            "md5": hashlib.md5(body, usedforsecurity=False).hexdigest(),
            "prompt": said,
        }
        for name, (body, said) in _PICTURES.items()
    ]
    generation = {"type": "replicate_flux_kontext", "metadata": {"steps": 28}}
    path = f"/api/training-data/{ACTOR}/uploads"
    answer = _ask(stack, "POST", path, body={"images": images, "generation": generation})
    first = answer.body["uploads"][0]
    click.echo(_indented(first | {"url": first["url"].partition("?")[0] + "?…", "reflects": "…"}))
    uploads: list[dict[str, Any]] = answer.body["uploads"]
    return uploads


def _put(stack: Stack, uploads: list[dict[str, Any]]) -> None:
    status = http_put(uploads[0]["url"], b"x" * len(_PICTURES["smiling.png"][0]), uploads[0]["headers"])
    click.echo(f"  PUT {uploads[0]['filename']} with other bytes -> {status}: S3 refuses them")
    for upload in uploads:
        status = http_put(upload["url"], _PICTURES[upload["filename"]][0], upload["headers"])
        click.echo(f"  PUT {upload['filename']} -> {status}")
    for upload in uploads:
        _wait(stack, upload["reflects"])


def _edit(stack: Stack, method: str, path: str, body: object = None, query: Query | None = None) -> None:
    answer = _ask(stack, method, path, query, body)
    if answer.body["reflects"]:
        _wait(stack, answer.body["reflects"])


def _wait(stack: Stack, reflects: str) -> None:
    """Until the manifest shows the change with that token."""
    answer = stack.get(f"/api/training-data/{ACTOR}", {"reflects": reflects, "wait": 20})
    if answer.headers.get("x-manifest-reflected") != "true":
        raise Unexpected(f"after 20 s the manifest does not show it: {answer.status} {answer.body}")


def _ask(stack: Stack, method: str, path: str, query: Query | None = None, body: object = None) -> Answer:
    asked = path + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")
    said = "" if body is None or len(json.dumps(body)) > 100 else f" {json.dumps(body)}"
    answer = stack.send(method, path, body, query)
    click.echo(f"  {method} {asked}{said} -> {answer.status}")
    if answer.status != 200:
        raise Unexpected(f"{method} {asked} -> {answer.status}: {answer.body}")
    return answer


def _show(answer: Answer, *fields: str) -> None:
    click.echo(_indented({name: answer.body[name] for name in fields} if fields else answer.body))


def _headline(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _indented(body: object) -> str:
    return "\n".join(f"    {line}" for line in json.dumps(body, indent=2, ensure_ascii=False).splitlines())
