"""A follower of a collection's changes has the bucket's content without listing it."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.config import Config

from s3_manifest_cli.local_stack.stack import Stack

FILES = int(os.environ.get("FILES", "1000"))
"""FILES=5000 takes a minute or two; ``benchmarks/follow.py`` measures it."""

WRITERS = 16


class Follower:
    """Maintains a copy of the manifest from its changes alone."""

    def __init__(self, stack: Stack, path: str) -> None:
        self.stack = stack
        self.path = path
        self.since = 0
        self.files: dict[str, str] = {}
        self.size_bytes = 0
        self.answers = 0

    def catch_up(self) -> None:
        """Requests changes until there are no more; each must fit the copy."""
        more = True
        while more:
            answer = self.stack.get(f"{self.path}/changes", {"since": self.since, "limit": 50})
            if answer.status == 404 and not self.since:
                return  # there is no manifest yet
            assert answer.status == 200, answer
            self.answers += 1
            for change in answer.body["changes"]:
                assert change["revision"] == self.since + 1
                self.take(change)
            assert answer.body["next"] == self.since
            more = answer.body["more"]

    def take(self, change: dict[str, Any]) -> None:
        self.since = change["revision"]
        for file in change["added"]:
            assert file["filename"] not in self.files
        for file in (*change["modified"], *change["removed"]):
            assert self.files.pop(file["filename"]) == file["before"]["etag"]
            self.size_bytes -= file["before"]["size_bytes"]
        for file in (*change["added"], *change["modified"]):
            self.files[file["filename"]] = file["after"]["etag"]
            self.size_bytes += file["after"]["size_bytes"]
        assert (len(self.files), self.size_bytes) == (change["total_files"], change["total_size_bytes"])


def write(stack: Stack, prefix: str) -> int:
    """Uploads every file, overwrites and deletes some, uploads some again; returns the number of operations."""
    s3 = stack.platform.client("s3", Config(max_pool_connections=WRITERS))
    names = [f"{number:05} bild+ü%.png" for number in range(FILES)]

    def work(writer: int) -> int:
        chance = random.Random(writer)
        operations = 0
        for name in names[writer::WRITERS]:
            s3.put_object(Bucket=stack.bucket, Key=prefix + name, Body=chance.randbytes(chance.randrange(200)))
            operations += 1
            # Any writer's file, so that changes of one key race too.
            other = prefix + chance.choice(names)
            draw = chance.random()
            if draw < 0.2:
                s3.put_object(Bucket=stack.bucket, Key=other, Body=chance.randbytes(chance.randrange(200)))
                operations += 1
            elif draw < 0.35:
                s3.delete_object(Bucket=stack.bucket, Key=other)
                operations += 1
        return operations

    with ThreadPoolExecutor(WRITERS) as pool:
        return sum(pool.map(work, range(WRITERS)))


def in_bucket(stack: Stack, prefix: str) -> dict[str, str]:
    pages = stack.platform.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack.bucket, Prefix=prefix)
    return {o["Key"].removeprefix(prefix): o["ETag"].strip('"') for page in pages for o in page.get("Contents", ())}


@pytest.mark.slow
def test_a_follower_of_16_writers_matches_the_bucket(stack, style, eventually):
    prefix, path = f"styles/{style}/", f"/api/manifests/style/{style.replace(' ', '%20')}"
    follower, done, failures = Follower(stack, path), threading.Event(), []

    def follow() -> None:
        try:
            while not done.wait(0.2):
                follower.catch_up()
        except AssertionError as error:
            failures.append(error)

    thread = threading.Thread(target=follow)
    began = time.monotonic()
    thread.start()
    try:
        operations = write(stack, prefix)
        written = time.monotonic() - began
        expected = in_bucket(stack, prefix)
        eventually(lambda: failures or follower.files == expected, bool, seconds=120)
    finally:
        done.set()
        thread.join()
    assert failures == []
    print(
        f"\n{operations} operations in {written:.1f} s, all followed after {time.monotonic() - began:.1f} s:"
        f" {follower.since} revisions in {follower.answers} answers, {len(follower.files)} files"
    )
    # No further change follows.
    follower.catch_up()
    assert follower.files == expected
    assert operations > FILES
    manifest = stack.get(path, {"limit": 1}).body
    assert (manifest["revision"], manifest["total_files"]) == (follower.since, len(expected))
