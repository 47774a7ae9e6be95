"""``s3-manifest local demo``: changes objects in S3 and prints their manifests."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from s3_manifest_cli.local_stack.demo_actor import run_actor_demo
from s3_manifest_cli.local_stack.demo_copy import run_copy_demo
from s3_manifest_cli.local_stack.demo_output import DemoFailed, headline, print_json, request, url
from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, Query, Stack, local_stack

STYLE, ACTOR = "styles/16/", "system_actors/training_data/0042_european_30_male/"
_TIMEOUT_SECONDS = 60

_STYLE_PATH = "/api/manifests/style/16"
_STYLE_QUERY = {"styleId": "16"}
_ACTOR_QUERY = {"actorId": "0042_european_30_male"}

Manifest = Mapping[str, Any]


def run_demo() -> None:
    """Deploys the stack, changes some collections, and removes the stack again."""
    click.echo("Bringing up the whole stack on this machine:")
    with local_stack() as stack:
        run_style_demo(stack)
        run_actor_demo(stack)
        run_copy_demo(stack)
        click.echo("\nDone. Stopping everything and removing its files …")
    click.echo("Everything is stopped. `make serve` keeps it up for you to try.")


def run_style_demo(stack: Stack) -> None:
    """Uploads, overwrites, deletes, and prints the manifest after each. Raises ``DemoFailed``."""
    s3 = stack.platform.client("s3")

    def upload(key: str, body: bytes, bucket: str = stack.bucket, **metadata: str) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="image/png", Metadata=metadata)
        click.echo(f"  PUT s3://{bucket}/{key}  {len(body)} bytes" + (f"  {metadata}" if metadata else ""))

    headline("1. Two pictures of a style, with their prompts (the first time, the functions have to start)")
    upload(f"{STYLE}image_001.png", png(64, (200, 80, 40)), prompt="a lighthouse at dusk, dynamic simplicity")
    upload(f"{STYLE}image_002.png", png(48, (40, 160, 90)), prompt="a fox in the reeds", **{"generation-id": "7"})
    _print_manifest(stack, _STYLE_QUERY, lambda manifest: manifest["total_files"] == 2)

    headline("2. Two training pictures of an actor, in another bucket")
    upload(f"{ACTOR}portrait.png", png(32, (90, 90, 220)), ACTOR_BUCKET)
    upload(f"{ACTOR}profile left.png", png(32, (220, 90, 220)), ACTOR_BUCKET)
    _print_manifest(stack, _ACTOR_QUERY, lambda manifest: manifest["total_files"] == 2)

    headline("3. One picture is overwritten")
    better = png(96, (250, 120, 60))
    upload(f"{STYLE}image_001.png", better, prompt="a lighthouse at dawn")
    _print_manifest(stack, _STYLE_QUERY, lambda manifest: manifest["files"][0]["size_bytes"] == len(better))

    headline("4. One picture is deleted")
    s3.delete_object(Bucket=stack.bucket, Key=f"{STYLE}image_002.png")
    click.echo(f"  DELETE s3://{stack.bucket}/{STYLE}image_002.png")
    _print_manifest(stack, _STYLE_QUERY, lambda manifest: manifest["total_files"] == 1)

    headline("5. All collections, of both buckets")
    print_json(request(stack, "GET", "/api/manifests").body)

    headline("6. The style's changes, and its first revision")
    for change in request(stack, "GET", f"{_STYLE_PATH}/changes", {"since": 0}).body["changes"]:
        for kind in ("added", "modified", "removed"):
            for file in change[kind]:
                text = f"{kind} {file['filename']} ({file['cause']})"
                click.echo(f"    revision {change['revision']}, {change['committed_at']}: {text}")
    answer = request(stack, "GET", _STYLE_PATH, {"revision": 1})
    names = ", ".join(f"{file['filename']} ({file['size_bytes']} bytes)" for file in answer.body["files"])
    click.echo(f"    {names}")

    headline("7. The style is compared with S3 (the first time, the function has to start)")
    requested = request(stack, "POST", f"{_STYLE_PATH}/rescan").body["requested_at"]
    manifest = _wait_for(stack, _STYLE_QUERY, lambda manifest: (manifest["last_verified_at"] or "") > requested)
    click.echo(f"  last_verified_at is now {manifest['last_verified_at']}: the manifest equals S3")


def _print_manifest(stack: Stack, query: Query, is_current: Callable[[Manifest], bool]) -> None:
    """Waits until the manifest is current, and prints the delay and the manifest."""
    start = time.monotonic()
    manifest = _wait_for(stack, query, is_current)
    delay = (time.monotonic() - start) * 1000
    click.echo(f"  GET {url('/api/s3/manifest', query)} -> 200, {delay:.0f} ms after the change was made in S3")
    print_json(manifest)


def _wait_for(stack: Stack, query: Query, is_current: Callable[[Manifest], bool]) -> Manifest:
    start, path = time.monotonic(), "/api/s3/manifest"
    while True:
        answer = stack.get(path, query)
        if answer.status == 200 and is_current(answer.body):
            manifest: Manifest = answer.body
            return manifest
        if time.monotonic() - start > _TIMEOUT_SECONDS:
            raise DemoFailed(f"GET {path} still returns {answer.status} after {_TIMEOUT_SECONDS} s: {answer.body}")
        time.sleep(0.01)
