"""``python -m benchmarks.soak``: many writers and killed functions; in the end the manifest equals the bucket.

Starts ``s3-manifest local serve``, uploads, overwrites and deletes in 16 threads, kills the functions' workers at
random meanwhile, waits until the queue is empty, and compares.
"""

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from botocore.config import Config

from s3_manifest_cli.local_stack.platform import Platform
from s3_manifest_cli.local_stack.stack import BUCKET, STACK, Stack, existing_stack

PREFIX = "styles/16/"
THREADS = 16
VISIBILITY_SECONDS = 30


@contextmanager
def serving(port: int) -> Iterator[tuple[Stack, psutil.Process]]:
    """The stack, started as by ``make serve``, and its process."""
    command = [sys.executable, "-m", "s3_manifest_cli", "local", "serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("Ctrl-C"):
                    break
            log = Path(re.findall(r"log +(.+)", "".join(lines))[0])
            platform = Platform(f"http://127.0.0.1:{port}", log)
            yield existing_stack(platform, STACK), psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def change_bucket(stack: Stack, uploads: int) -> Counter[str]:
    """Uploads, overwrites and deletes; the number of each."""
    s3 = stack.platform.client("s3", Config(max_pool_connections=THREADS))
    total: Counter[str] = Counter()

    def work(thread: int) -> Counter[str]:
        chance = random.Random(thread)
        mine: Counter[str] = Counter()
        for _ in range(uploads // THREADS):
            # All threads share the keys, so that changes of one key race.
            key = f"{PREFIX}{chance.randrange(uploads * 3 // 4):05d} bild+ü%.png"
            s3.put_object(Bucket=stack.bucket, Key=key, Body=chance.randbytes(chance.randrange(200)))
            mine["uploads"] += 1
            if chance.random() < 0.15:
                s3.delete_object(Bucket=stack.bucket, Key=key)
                mine["deletes"] += 1
        return mine

    with ThreadPoolExecutor(THREADS) as pool:
        for counted in pool.map(work, range(THREADS)):
            total += counted
    return total


def kill_workers(server: psutil.Process, every_seconds: float, stop: threading.Event) -> int:
    """Kills one of the functions' worker processes now and then; the number of killed processes."""
    killed = 0
    while not stop.wait(random.uniform(0, 2 * every_seconds)):
        with suppress(psutil.NoSuchProcess):  # it has already ended
            workers = [
                worker
                for platform in server.children()
                for worker in platform.children()
                if worker.status() != psutil.STATUS_ZOMBIE
            ]
            if workers:
                random.choice(workers).kill()
                killed += 1
    return killed


def wait_until_idle(stack: Stack) -> float:
    """Waits until the change queue is empty; the duration in seconds."""
    sqs = stack.platform.client("sqs")
    started = time.monotonic()
    names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    while any(int(n) for n in _attributes(sqs, stack.outputs["ChangeQueueUrl"], names)):
        time.sleep(0.5)
    return time.monotonic() - started


def in_bucket(stack: Stack) -> dict[str, tuple[int, str]]:
    pages = stack.platform.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack.bucket, Prefix=PREFIX)
    return {o["Key"]: (o["Size"], o["ETag"].strip('"')) for page in pages for o in page.get("Contents", [])}


def in_manifest(stack: Stack) -> dict[str, tuple[int, str]]:
    """The same from the HTTP API, page by page; for uploads in one part the MD5 is the ETag."""
    files: dict[str, tuple[int, str]] = {}
    query: dict[str, str | int] = {"limit": 1000}
    while True:
        answer = stack.get("/api/manifests/style/16", query)
        assert answer.status == 200, answer
        assert answer.body["complete"]
        files |= {file["s3_key"]: (file["size_bytes"], file["md5_hash"]) for file in answer.body["files"]}
        if not answer.body["cursor"]:
            assert answer.body["total_files"] == len(files)
            return files
        query["cursor"] = answer.body["cursor"]


def committed(log: Path) -> Counter[str]:
    """The sums of the figures in the function's log lines about commits."""
    totals: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        if '"message":"committed"' in line:
            entry = json.loads(line)
            totals.update({name: entry[name] for name in ("commits", "unchanged", "conflicts", "observed")})
    return totals


def _attributes(sqs: object, queue: str, names: list[str]) -> list[str]:
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)  # type: ignore[attr-defined]
    return [answer["Attributes"][name] for name in names]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.soak")
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=4570)
    parser.add_argument("--kill-every", type=float, default=4.0, help="seconds between killed workers, on average")
    arguments = parser.parse_args()
    with serving(arguments.port) as (stack, server):
        assert stack.bucket == BUCKET
        sqs = stack.platform.client("sqs")
        # Messages of a killed worker are delivered again after this time: six minutes in the template.
        queue = stack.outputs["ChangeQueueUrl"]
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)})
        wait_until_idle(stack)  # S3's test messages, received before, stay invisible for longer
        stop, started = threading.Event(), time.monotonic()
        with ThreadPoolExecutor(1) as killer:
            killing = killer.submit(kill_workers, server, arguments.kill_every, stop)
            changes = change_bucket(stack, arguments.uploads)
            print(
                f"{changes['uploads']} uploads and {changes['deletes']} deletes in {time.monotonic() - started:.0f} s"
            )
            time.sleep(5)
            stop.set()
        print(f"{killing.result()} workers killed; the queue was empty {wait_until_idle(stack):.0f} s after the last")
        (dead,) = _attributes(sqs, stack.outputs["DeadLetterQueueUrl"], ["ApproximateNumberOfMessages"])
        bucket, manifest = in_bucket(stack), in_manifest(stack)
        totals = committed(stack.platform.log)
    events = changes["uploads"] + changes["deletes"]
    requests = totals["observed"] + 2 * (totals["commits"] + totals["conflicts"])
    print(f"dead letters: {dead}; in the bucket: {len(bucket)}; in the manifest: {len(manifest)}")
    print(f"{totals['commits']} commits ({totals['unchanged']} unchanged), {totals['conflicts']} conflicts")
    print(f"S3 requests per event, of the functions that were not killed: {requests / events:.2f}")
    print("the manifest equals the bucket" if bucket == manifest else "THE MANIFEST DIFFERS FROM THE BUCKET")
    return 0 if bucket == manifest and dead == "0" else 1


if __name__ == "__main__":
    sys.exit(main())
