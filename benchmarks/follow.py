"""``python -m benchmarks.follow``: someone who only ever asks for the changes knows exactly what is in the bucket.

Starts ``s3-manifest local serve``; 16 threads upload, overwrite and delete some thousands of files,
while a follower asks ``GET …/changes?since=`` over HTTP, from revision 0 on. In the end the bucket is
listed, by this check and not by the follower, and compared with what the follower knows.
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
    """Knows keys, sizes and MD5s from changes alone; every change must fit what it knew before."""

    revision: int = 0
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)

    def ask(self, stack: Stack) -> bool:
        """Asks once; whether there is more to ask for."""
        self.counted["requests"] += 1
        answer = stack.get(CHANGES, {"since": self.revision, "limit": 100})
        if answer.status == 404:  # nothing was ever committed yet
            return False
        assert answer.status == 200, answer
        for change in answer.body["changes"]:
            assert change["revision"] == self.revision + 1, "a revision was left out"
            self.revision = change["revision"]
            self.counted["revisions"] += 1
            for sort in ("added", "modified", "removed"):
                self.counted[sort] += len(change[sort])
                for one in change[sort]:
                    self._apply(one["before"], one["after"])
        assert answer.body["next"] == self.revision
        return bool(answer.body["more"])

    def _apply(self, before: dict[str, str] | None, after: dict[str, str] | None) -> None:
        if before:
            assert self.files.pop(before["s3_key"]) == _facts(before), "it was not as its change says it was before"
        if after:
            assert after["s3_key"] not in self.files
            self.files[after["s3_key"]] = _facts(after)


def _facts(file: dict[str, str]) -> tuple[int, str]:
    return int(file["size_bytes"]), file["md5_hash"]


def write(stack: Stack, writer: int, files: int, changes: int) -> Counter[str]:
    """One writer's uploads, overwrites and deletes; all writers share the same keys."""
    s3 = stack.platform.client("s3", Config(max_pool_connections=WRITERS))
    chance, made = random.Random(writer), Counter[str]()
    for number in range(changes):
        # Each key is written by somebody at least once; then any of them.
        index = writer + number * WRITERS if writer + number * WRITERS < files else chance.randrange(files)
        key = f"{PREFIX}{index:05d}.png"
        if chance.random() < 0.1:
            s3.delete_object(Bucket=stack.bucket, Key=key)
            made["deletes"] += 1
        else:
            s3.put_object(Bucket=stack.bucket, Key=key, Body=chance.randbytes(chance.randrange(100)))
            made["uploads"] += 1
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.follow")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--changes", type=int, default=8000)
    parser.add_argument("--port", type=int, default=4571)
    arguments = parser.parse_args()
    follower, written = Follower(), threading.Event()

    def follow(stack: Stack) -> None:
        while not written.is_set():
            if not follower.ask(stack):
                time.sleep(0.2)

    with serving(arguments.port) as (stack, _), ThreadPoolExecutor(WRITERS + 1) as pool:
        following = pool.submit(follow, stack)
        each = -(-arguments.changes // WRITERS)
        writing = [pool.submit(write, stack, writer, arguments.files, each) for writer in range(WRITERS)]
        made = sum((one.result() for one in writing), Counter[str]())
        waited = wait_until_idle(stack)
        written.set()
        following.result()
        while follower.ask(stack):
            pass
        bucket = in_bucket(stack)
    print(
        f"{made['uploads']} uploads, {made['deletes']} deletes by {WRITERS} writers; idle {waited:.0f} s after the last"
    )
    counted = follower.counted
    print(f"{counted['requests']} requests told of {counted['revisions']} revisions: {counted['added']} files added,")
    print(f"{counted['modified']} modified, {counted['removed']} removed; revision {follower.revision}")
    print(f"in the bucket: {len(bucket)}; known to the follower: {len(follower.files)}")
    print("the follower knows the bucket" if follower.files == bucket else "THE FOLLOWER KNOWS SOMETHING ELSE")
    return 0 if follower.files == bucket else 1


if __name__ == "__main__":
    sys.exit(main())
