"""``python -m benchmarks.migration``: 289 actors and 1,699 legacy images, migrated on the local stack.

Generates the tree, starts the stack, stores the images that are in S3 beforehand, and runs the command: the plan; the
migration, killed in the middle; again, to its end; and once more. Then it compares each manifest of the HTTP API with
the tree, file by file and prompt by prompt. Exits with 1 on any difference.
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
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, STACK, Stack, local_stack
from s3_manifest_cli.terminal.failures import DIFFERENCES

THREADS = 16
SHOWN = 10


def run(actors: int, images: int, wait: float) -> list[str]:
    """Runs the benchmark and prints its progress; returns the defects."""
    tree = sample(actors, images)
    with tempfile.TemporaryDirectory(prefix="s3-manifest-migration-") as folder, local_stack() as stack:
        tree.write(Path(folder))
        _print(f"\nA tree of {actors:,} actors and {images:,} images: {len(tree.files):,} files")
        began = time.monotonic()
        _store(stack, tree)
        _print(f"{len(tree.objects):,} of its images are already in S3 ({time.monotonic() - began:.1f} s)")
        defects = _plan(stack, folder, tree)
        _print("\nThe migration, killed in the middle")
        stored = _kill(stack, folder, tree)
        for title, uploads in (
            ("The migration, resumed", tree.counts["local_only"] - stored),
            ("The migration again", 0),
        ):
            _print(f"\n{title}")
            defects += _migrate(stack, folder, wait, uploads)
        _print("\nEach manifest of the HTTP API, compared with the tree")
        began = time.monotonic()
        differing = _compare(stack, tree)
        files = sum(len(truth.files) for truth in tree.truth.values())
        prompts = sum(fact.prompt is not None for truth in tree.truth.values() for fact in truth.files.values())
        _print(f"  {len(tree.truth):,} manifests, {files:,} files, {prompts:,} prompts: {len(differing):,} differences")
        _print(f"  ({time.monotonic() - began:.1f} s)")
        return defects + differing


def _plan(stack: Stack, folder: str, tree: Sample) -> list[str]:
    _print("\nThe plan")
    planned = _command(stack, folder, "--plan")
    _print(_indented(planned.stdout))
    plan = json.loads(_command(stack, folder, "--plan", "--json").stdout)
    if plan["counts"] != {**dict.fromkeys(plan["counts"], 0), **tree.counts}:
        return [f"the plan counts {plan['counts']}, but the tree has {dict(tree.counts)}"]
    return []


def _kill(stack: Stack, folder: str, tree: Sample) -> int:
    """Starts the migration and kills it when a quarter of the images is stored; the number of stored images."""
    before, quarter = _stored(stack), tree.counts["local_only"] // 4
    with subprocess.Popen(
        _line(folder), env=_account(stack), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while _stored(stack) - before < quarter and process.poll() is None:
            time.sleep(0.02)
        process.kill()
    time.sleep(1)  # requests under way may still be answered
    stored = _stored(stack) - before
    _print(f"  {stored:,} of {tree.counts['local_only']:,} images were stored")
    return stored


def _stored(stack: Stack) -> int:
    pages = stack.platform.client("s3").get_paginator("list_objects_v2").paginate(Bucket=ACTOR_BUCKET, Prefix="system_")
    return sum(item["Key"].endswith((".png", ".PNG")) for page in pages for item in page.get("Contents", ()))


def _migrate(stack: Stack, folder: str, wait: float, uploads: int) -> list[str]:
    began = time.monotonic()
    process = _command(stack, folder, "--wait", str(wait), "--json")
    result = json.loads(process.stdout)
    _print(f"  {', '.join(f'{count:,} {status}' for status, count in result['counts'].items())}")
    _print(
        f"  {result['uploads']:,} uploads, sidecars of {result['edits']:,} collections, "
        f"{result['verified']:,} of {len(result['collections']):,} manifests verified; "
        f"exit code {process.returncode} ({time.monotonic() - began:.1f} s)"
    )
    if process.returncode != DIFFERENCES:  # files that are out of sync, orphaned or missing stay so
        return [f"exit code {process.returncode}: {process.stderr[-2000:]}"]
    defects = [] if result["verified"] == len(result["collections"]) else ["not all manifests were verified"]
    if result["uploads"] != uploads:
        defects.append(f"{result['uploads']} uploads instead of {uploads}")
    if not uploads and result["edits"]:
        defects.append("the second run found something to do")
    return defects


def _compare(stack: Stack, tree: Sample) -> list[str]:
    differing = []
    # Sequentially: concurrent requests would each start a worker.
    for prefix, truth in tree.truth.items():
        actor = prefix.rstrip("/").rpartition("/")[2]
        answer = stack.get("/api/s3/manifest", {"actorId": actor})
        manifest = answer.body if answer.status == 200 else None
        differing += [f"{prefix}: {difference}" for difference in differences(truth, manifest)]
    return differing


def _store(stack: Stack, tree: Sample) -> None:
    s3 = stack.platform.client("s3", Config(max_pool_connections=THREADS))

    def store(item: tuple[str, bytes]) -> None:
        s3.put_object(Bucket=ACTOR_BUCKET, Key=item[0], Body=item[1], ContentType="image/png")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(store, tree.objects.items()))


def _command(stack: Stack, folder: str, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [*_line(folder), *more]
    return subprocess.run(command, env=_account(stack), capture_output=True, text=True, check=False)


def _line(folder: str) -> list[str]:
    return [sys.executable, "-m", "s3_manifest_cli", "migrate", folder, "--stack", STACK]


def _account(stack: Stack) -> dict[str, str]:
    return os.environ | stack.platform.environment


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _print(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, default=289)
    parser.add_argument("--images", type=int, default=1699)
    parser.add_argument("--wait", type=float, default=300, help="seconds to wait for the manifests")
    arguments = parser.parse_args()
    defects = run(arguments.actors, arguments.images, arguments.wait)
    for defect in defects[:SHOWN]:
        _print(f"  {defect}")
    _print("\nNo defects." if not defects else f"\nDEFECTS: {len(defects):,}")
    sys.exit(1 if defects else 0)


if __name__ == "__main__":
    main()
