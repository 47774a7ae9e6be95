"""``million`` on the local stack: S3, SQS, Lambda and API Gateway with the unmodified template.

The objects exist before the stack, so no event reports them: a rescan requested over HTTP finds them. Reports about the
functions are taken from their logs.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.config import Config

from benchmarks.soak import PREFIX, THREADS, committed, in_bucket, in_manifest, wait_until_idle
from s3_manifest_cli.local_stack.platform import Platform, running_platform
from s3_manifest_cli.local_stack.stack import Stack, deploy

BUCKET = "years-old-bucket"
CHANGES = 1000
_RESCAN = "/api/manifests/style/16/rescan"
_MANIFEST = "/api/manifests/style/16"


def run(count: int) -> bool:
    """Runs the benchmark and prints its progress; whether manifest and bucket agree."""
    with running_platform() as platform:
        s3 = platform.client("s3", Config(max_pool_connections=THREADS))
        s3.create_bucket(Bucket=BUCKET)
        with _step(f"{count:,} objects uploaded before the stack exists"):
            _each(lambda number: _put(s3, number), range(count))
        with _step("the template deployed over that bucket"):
            stack = deploy(platform, "million", {"ExistingBucket": BUCKET})
        with _step("a rescan, requested over HTTP", platform):
            _rescan(stack)
        print(f"  {_totals(stack)}", flush=True)
        is_true = in_manifest(stack) == in_bucket(stack)
        print(f"  the manifest {'equals' if is_true else 'DIFFERS FROM'} the bucket", flush=True)
        with _step(f"{CHANGES:,} random changes, and their events", platform):
            _each(lambda number: _change(s3, number), random.sample(range(count), CHANGES))
            wait_until_idle(stack)
        stays_true = in_manifest(stack) == in_bucket(stack)
        print(f"  the manifest {'equals' if stays_true else 'DIFFERS FROM'} the bucket", flush=True)
        with _step("another rescan", platform):
            _rescan(stack)
        drifts = [line for line in _lines(platform.log) if line["message"] == "drift"]
        print(f"  {_totals(stack)}; drift: {drifts or 'none'}", flush=True)
        return is_true and stays_true and not drifts


def _put(s3: Any, number: int) -> None:  # noqa: ANN401  # as boto3 has it
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}{number:08d}.png", Body=f"{number:032d}".encode())


def _change(s3: Any, number: int) -> None:  # noqa: ANN401
    key = f"{PREFIX}{number:08d}.png"
    match random.choice(("put", "overwrite", "delete")):
        case "put":
            s3.put_object(Bucket=BUCKET, Key=f"{key}.new", Body=random.randbytes(8))
        case "overwrite":
            s3.put_object(Bucket=BUCKET, Key=key, Body=random.randbytes(8))
        case _:
            s3.delete_object(Bucket=BUCKET, Key=key)


def _each(work: Any, numbers: Any) -> None:  # noqa: ANN401
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(work, numbers):
            pass


def _rescan(stack: Stack) -> None:
    """Requests a rescan and waits until the manifest shows that it is done."""
    answer = stack.post(_RESCAN)
    assert answer.status == 202, answer
    while True:
        time.sleep(2)
        manifest = stack.get(_MANIFEST, {"limit": 1})
        if manifest.status == 200 and (manifest.body["last_verified_at"] or "") > answer.body["requested_at"]:
            assert manifest.body["complete"]
            return


def _totals(stack: Stack) -> str:
    manifest = stack.get(_MANIFEST, {"limit": 1}).body
    head = stack.platform.client("s3").get_object(Bucket=BUCKET, Key=f"_manifests/{PREFIX}manifest.json")
    body = head["Body"].read()
    pages = len(json.loads(body).get("pages", ()))
    return (
        f"manifest: revision {manifest['revision']:,}, {manifest['total_files']:,} files in {pages:,} pages, "
        f"a head of {len(body):,} bytes"
    )


@contextmanager
def _step(title: str, platform: Platform | None = None) -> Iterator[None]:
    """Prints the duration of the block and, with a platform, counts from its functions' logs."""
    before, began = _counted(platform), time.monotonic()
    yield
    print(f"{title}: {time.monotonic() - began:.0f} s", flush=True)
    if platform:
        counted = _counted(platform) - before
        print("  functions: " + ", ".join(f"{count:,} {name}" for name, count in counted.items()), flush=True)


def _counted(platform: Platform | None) -> Counter[str]:
    if platform is None:
        return Counter()
    lines = Counter(line["message"] for line in _lines(platform.log))
    messages = Counter({"messages of the sweep queue": lines["swept"] + lines["sweep continues"]})
    return messages + committed(platform.log)


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    """The functions' log lines."""
    for line in log.read_text(errors="replace").splitlines():
        start = line.find('{"level"')
        if start < 0:
            continue
        try:
            entry = json.loads(line[start:])
        except ValueError:
            continue
        yield entry
