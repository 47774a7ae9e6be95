"""``python -m benchmarks.follow``: a client that only reads the changes knows exactly what is in the bucket.

Starts ``s3-manifest local serve``; 16 threads upload, overwrite and delete some thousands of files, while a follower
requests ``GET …/changes?since=`` over HTTP, starting at revision 0. In the end the benchmark lists the bucket and
compares it with the follower's files.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from botocore.config import Config

from benchmarks.soak import PREFIX, in_bucket, serving, wait_until_idle
from s3_manifest_cli.local_stack.stack import Stack

WRITERS = 16
CHANGES = "/api/manifests/style/16/changes"


@dataclass
class Follower:
    """Collects keys, sizes and MD5s from changes alone; every change must fit the files known before."""

    revision: int = 0
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)

    def poll(self, stack: Stack) -> bool:
        """Requests the next changes once; whether there are more."""
        self.counted["requests"] += 1
        answer = stack.get(CHANGES, {"since": self.revision, "limit": 100})
        if answer.status == 404:  # nothing has been committed yet
            return False
        assert answer.status == 200, answer
        for change in answer.body["changes"]:
            assert change["revision"] == self.revision + 1, "a revision is missing"
            self.revision = change["revision"]
            self.counted["revisions"] += 1
            for kind in ("added", "modified", "removed"):
                self.counted[kind] += len(change[kind])
                for file in change[kind]:
                    self._apply(file["before"], file["after"])
        assert answer.body["next"] == self.revision
        return bool(answer.body["more"])

    def _apply(self, before: dict[str, str] | None, after: dict[str, str] | None) -> None:
        if before:
            assert self.files.pop(before["s3_key"]) == _facts(before), "the change does not fit the file known before"
        if after:
            assert after["s3_key"] not in self.files
            self.files[after["s3_key"]] = _facts(after)


def _facts(file: dict[str, str]) -> tuple[int, str]:
    return int(file["size_bytes"]), file["md5_hash"]


def write(stack: Stack, writer: int, files: int, changes: int) -> Counter[str]:
    """Uploads, overwrites and deletes of one writer; all writers share the same keys."""
    s3 = stack.platform.client("s3", Config(max_pool_connections=WRITERS))
    chance, counts = random.Random(writer), Counter[str]()
    for number in range(changes):
        # Some writer writes each key at least once; after that, keys are random.
        index = writer + number * WRITERS if writer + number * WRITERS < files else chance.randrange(files)
        key = f"{PREFIX}{index:05d}.png"
        if chance.random() < 0.1:
            s3.delete_object(Bucket=stack.bucket, Key=key)
            counts["deletes"] += 1
        else:
            s3.put_object(Bucket=stack.bucket, Key=key, Body=chance.randbytes(chance.randrange(100)))
            counts["uploads"] += 1
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.follow")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--changes", type=int, default=8000)
    parser.add_argument("--port", type=int, default=4571)
    arguments = parser.parse_args()
    follower, written = Follower(), threading.Event()

    def follow(stack: Stack) -> None:
        while not written.is_set():
            if not follower.poll(stack):
                time.sleep(0.2)

    with serving(arguments.port) as (stack, _), ThreadPoolExecutor(WRITERS + 1) as pool:
        following = pool.submit(follow, stack)
        share = -(-arguments.changes // WRITERS)
        writing = [pool.submit(write, stack, writer, arguments.files, share) for writer in range(WRITERS)]
        counts = sum((future.result() for future in writing), Counter[str]())
        waited = wait_until_idle(stack)
        written.set()
        following.result()
        while follower.poll(stack):
            pass
        bucket = in_bucket(stack)
    print(
        f"{counts['uploads']} uploads, {counts['deletes']} deletes by {WRITERS} writers; "
        f"idle {waited:.0f} s after the last"
    )
    counted = follower.counted
    print(f"{counted['requests']} requests returned {counted['revisions']} revisions: {counted['added']} files added,")
    print(f"{counted['modified']} modified, {counted['removed']} removed; revision {follower.revision}")
    print(f"in the bucket: {len(bucket)}; known to the follower: {len(follower.files)}")
    print("the follower knows the bucket" if follower.files == bucket else "THE FOLLOWER DIFFERS FROM THE BUCKET")
    return 0 if follower.files == bucket else 1


if __name__ == "__main__":
    sys.exit(main())
