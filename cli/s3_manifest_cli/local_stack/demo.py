"""``s3-manifest local demo``: real S3 changes, and what the manifest says of each."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from s3_manifest_cli.local_stack.demo_actor import walk_actor
from s3_manifest_cli.local_stack.demo_copy import walk_copy
from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.stack import Stack, local_stack

STYLE, ACTOR = "styles/16/", "system_actors/training_data/0042_european_30_male/"
_GIVE_UP_SECONDS = 60

Manifest = Mapping[str, Any]
Query = tuple[str, Mapping[str, str | int]]


_STYLE_PATH = "/api/manifests/style/16"
_STYLE_QUERY: Query = ("/api/s3/manifest", {"styleId": "16"})
_ACTOR_QUERY: Query = ("/api/s3/manifest", {"actorId": "0042_european_30_male"})


class NeverSaid(click.ClickException):
    """The manifest did not come to say what it should have."""


def run_demo() -> None:
    """Brings the stack up, walks some collections through their changes, and takes it down again."""
    click.echo("Bringing up the whole stack on this machine:")
    with local_stack() as stack:
        walk(stack)
    click.echo("\nDone, and everything is stopped. `make serve` keeps it up for you to try.")


def walk(stack: Stack) -> None:
    """The demo itself. Raises ``NeverSaid``."""
    s3 = stack.platform.client("s3")

    def upload(key: str, body: bytes, **metadata: str) -> None:
        s3.put_object(Bucket=stack.bucket, Key=key, Body=body, ContentType="image/png", Metadata=metadata)
        click.echo(f"  PUT s3://{stack.bucket}/{key}  {len(body)} bytes" + (f"  {metadata}" if metadata else ""))

    _headline("1. Two pictures of a style, with their prompts (the first time, the functions have to start)")
    upload(f"{STYLE}image_001.png", png(64, (200, 80, 40)), prompt="a lighthouse at dusk, dynamic simplicity")
    upload(f"{STYLE}image_002.png", png(48, (40, 160, 90)), prompt="a fox in the reeds", **{"generation-id": "7"})
    _show(stack, _STYLE_QUERY, lambda manifest: manifest["total_files"] == 2)

    _headline("2. Two training pictures of an actor, another collection")
    upload(f"{ACTOR}portrait.png", png(32, (90, 90, 220)))
    upload(f"{ACTOR}profile left.png", png(32, (220, 90, 220)))
    _show(stack, _ACTOR_QUERY, lambda manifest: manifest["total_files"] == 2)

    _headline("3. One of them is overwritten")
    better = png(96, (250, 120, 60))
    upload(f"{STYLE}image_001.png", better, prompt="a lighthouse at dawn")
    _show(stack, _STYLE_QUERY, lambda manifest: manifest["files"][0]["size_bytes"] == len(better))

    _headline("4. One is deleted")
    s3.delete_object(Bucket=stack.bucket, Key=f"{STYLE}image_002.png")
    click.echo(f"  DELETE s3://{stack.bucket}/{STYLE}image_002.png")
    _show(stack, _STYLE_QUERY, lambda manifest: manifest["total_files"] == 1)

    _headline("5. All collections")
    answer = stack.get("/api/manifests")
    click.echo(f"  GET /api/manifests -> {answer.status}")
    click.echo(_indented(answer.body))

    _headline("6. What changed in the style, and what it was at first")
    _show_changes(stack)

    _headline("7. The style is compared with what is in S3 (the first time, the function has to start)")
    _rescan(stack)
    walk_actor(stack)
    walk_copy(stack)


def _show_changes(stack: Stack) -> None:
    answer = stack.get(f"{_STYLE_PATH}/changes", {"since": 0})
    click.echo(f"  GET {_STYLE_PATH}/changes?since=0 -> {answer.status}")
    for change in answer.body["changes"]:
        for sort in ("added", "modified", "removed"):
            for one in change[sort]:
                said = f"{sort} {one['filename']} ({one['cause']})"
                click.echo(f"    revision {change['revision']}, {change['committed_at']}: {said}")
    answer = stack.get(_STYLE_PATH, {"revision": 1})
    names = ", ".join(f"{file['filename']} ({file['size_bytes']} bytes)" for file in answer.body["files"])
    click.echo(f"  GET {_STYLE_PATH}?revision=1 -> {answer.status}: {names}")


def _rescan(stack: Stack) -> None:
    answer = stack.post(f"{_STYLE_PATH}/rescan")
    click.echo(f"  POST {_STYLE_PATH}/rescan -> {answer.status}, {answer.body}")
    verified = _until(stack, _STYLE_QUERY, lambda m: (m["last_verified_at"] or "") > answer.body["requested_at"])
    click.echo(f"  last_verified_at is {verified['last_verified_at']} now: the manifest says what is in S3")


def _show(stack: Stack, query: Query, says: Callable[[Manifest], bool]) -> None:
    """Asks until the manifest says it, and prints how long after the S3 change that was, and all it says."""
    path, parameters = query
    changed = time.monotonic()
    manifest = _until(stack, query, says)
    milliseconds = (time.monotonic() - changed) * 1000
    asked = "&".join(f"{name}={value}" for name, value in parameters.items())
    click.echo(f"  GET {path}?{asked} -> 200, {milliseconds:.0f} ms after the change was made in S3")
    click.echo(_indented(manifest))


def _until(stack: Stack, query: Query, says: Callable[[Manifest], bool]) -> Manifest:
    """What the manifest says once it says that. Raises ``NeverSaid``."""
    path, parameters = query
    began = time.monotonic()
    while True:
        answer = stack.get(path, parameters)
        if answer.status == 200 and says(answer.body):
            manifest: Manifest = answer.body
            return manifest
        if time.monotonic() - began > _GIVE_UP_SECONDS:
            raise NeverSaid(f"after {_GIVE_UP_SECONDS} s GET {path} still answers {answer.status}: {answer.body}")
        time.sleep(0.01)


def _headline(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _indented(body: object) -> str:
    return "\n".join(f"    {line}" for line in json.dumps(body, indent=2, ensure_ascii=False).splitlines())
