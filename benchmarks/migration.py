"""``python -m benchmarks.migration``: 289 actors and 1,699 images of the old world, migrated on the local stack.

Makes the tree, brings up the stack, stores what is to be in S3 already, and runs the command: the plan;
the migration, which is killed in the middle; again, to its end; and once more. Then each manifest, as
the HTTP API gives it, is compared with the tree, file by file and prompt by prompt. Exits with 1 on
any difference.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from botocore.config import Config

from benchmarks.legacy_sample import Sample, sample
from benchmarks.legacy_truth import differences
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import Stack, local_stack
from s3_manifest_cli.migration.report import DIFFERENCES

THREADS = 16
SHOWN = 10


def run(actors: int, images: int, wait: float) -> list[str]:
    """All of it, told as it goes; what was not as it should be."""
    made = sample(actors, images)
    with tempfile.TemporaryDirectory(prefix="s3-manifest-migration-") as folder, local_stack() as stack:
        made.write(Path(folder))
        _say(f"\nA tree of {actors:,} actors and {images:,} images: {len(made.files):,} files")
        began = time.monotonic()
        _store(stack, made)
        _say(f"{len(made.objects):,} of its images are in S3 already ({time.monotonic() - began:.1f} s)")
        wrong = _plan(stack, folder, made)
        _say("\nThe migration, killed in the middle")
        stored = _kill(stack, folder, made)
        for title, uploads in (
            ("The migration, from where it was", made.counts["local_only"] - stored),
            ("The migration again", 0),
        ):
            _say(f"\n{title}")
            wrong += _migrate(stack, folder, wait, uploads)
        _say("\nEach manifest, as the HTTP API gives it, against the tree")
        began = time.monotonic()
        found = _compare(stack, made)
        files = sum(len(one.files) for one in made.truth.values())
        prompts = sum(fact.prompt is not None for one in made.truth.values() for fact in one.files.values())
        _say(f"  {len(made.truth):,} manifests, {files:,} files, {prompts:,} prompts: {len(found):,} differences")
        _say(f"  ({time.monotonic() - began:.1f} s)")
        return wrong + found


def _plan(stack: Stack, folder: str, made: Sample) -> list[str]:
    _say("\nThe plan")
    planned = _command(stack, folder, "--plan")
    _say(_indented(planned.stdout))
    told = json.loads(_command(stack, folder, "--plan", "--json").stdout)
    if told["counts"] != {**dict.fromkeys(told["counts"], 0), **made.counts}:
        return [f"the plan counts {told['counts']}, and the tree was made with {dict(made.counts)}"]
    return []


def _kill(stack: Stack, folder: str, made: Sample) -> int:
    """Begins the migration and kills it once a quarter of the images is stored; how many were."""
    before, most = _stored(stack), made.counts["local_only"] // 4
    with subprocess.Popen(
        _line(stack, folder), env=_account(stack), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while _stored(stack) - before < most and process.poll() is None:
            time.sleep(0.02)
        process.kill()
    time.sleep(1)  # a request that it had sent may yet be answered
    stored = _stored(stack) - before
    _say(f"  {stored:,} of {made.counts['local_only']:,} images were stored")
    return stored


def _stored(stack: Stack) -> int:
    pages = stack.platform.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack.bucket, Prefix="system_")
    return sum(one["Key"].endswith((".png", ".PNG")) for page in pages for one in page.get("Contents", ()))


def _migrate(stack: Stack, folder: str, wait: float, uploads: int) -> list[str]:
    began = time.monotonic()
    done = _command(stack, folder, "--wait", str(wait), "--json")
    told = json.loads(done.stdout)
    _say(f"  {', '.join(f'{count:,} {status}' for status, count in told['counts'].items())}")
    _say(
        f"  {told['uploads']:,} uploads, words of {told['edits']:,} collections, "
        f"{told['verified']:,} of {len(told['collections']):,} manifests verified; "
        f"exit code {done.returncode} ({time.monotonic() - began:.1f} s)"
    )
    if done.returncode != DIFFERENCES:  # what is out of sync, orphaned or missing stays so
        return [f"exit code {done.returncode}: {done.stderr[-2000:]}"]
    wrong = [] if told["verified"] == len(told["collections"]) else ["not all manifests were verified"]
    if told["uploads"] != uploads:
        wrong.append(f"{told['uploads']} uploads, and there are {uploads} images to be uploaded")
    if not uploads and told["edits"]:
        wrong.append("the second run found something to do")
    return wrong


def _compare(stack: Stack, made: Sample) -> list[str]:
    found = []
    # One after the other: each request at once would start a worker of its own.
    for prefix, truth in made.truth.items():
        actor = prefix.rstrip("/").rpartition("/")[2]
        answer = stack.get("/api/s3/manifest", {"actorId": actor})
        found += [f"{prefix}: {wrong}" for wrong in differences(truth, answer.body if answer.status == 200 else None)]
    return found


def _store(stack: Stack, made: Sample) -> None:
    s3 = stack.platform.client("s3", Config(max_pool_connections=THREADS))

    def store(one: tuple[str, bytes]) -> None:
        s3.put_object(Bucket=stack.bucket, Key=one[0], Body=one[1], ContentType="image/png")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(store, made.objects.items()))


def _command(stack: Stack, folder: str, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [*_line(stack, folder), *more]
    return subprocess.run(command, env=_account(stack), capture_output=True, text=True, check=False)


def _line(stack: Stack, folder: str) -> list[str]:
    return [sys.executable, "-m", "s3_manifest_cli", "migrate", folder, "--bucket", stack.bucket]


def _account(stack: Stack) -> dict[str, str]:
    return os.environ | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": stack.platform.endpoint,
    }


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, default=289)
    parser.add_argument("--images", type=int, default=1699)
    parser.add_argument("--wait", type=float, default=300, help="seconds until the manifests must say all of it")
    given = parser.parse_args()
    wrong = run(given.actors, given.images, given.wait)
    for one in wrong[:SHOWN]:
        _say(f"  {one}")
    _say("\nAll is as it should be." if not wrong else f"\nNOT as it should be: {len(wrong):,}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
