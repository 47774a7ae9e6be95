"""A counter object: many writers increment it by compare-and-swap, so a lost write shows in the sum."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from s3_manifest.aws.clients import s3_client
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Conflict, Store

KEY = "counter"
_LONGEST_PAUSE = 0.16
_LONGEST_START = 30
_MOST_CONFLICTS = 500
# A server may answer 409 for as long as another write is under way.
_MOST_OF_ONE_ETAG = 20


def start(store: Store) -> None:
    store.put(KEY, b"0", replaces=None, metadata={})


def count(store: Store) -> int:
    return int(store.get(KEY).body)


def increment(store: Store, chance: random.Random) -> int:
    """Increments the counter; returns the number of conflicts.

    Fails if the server repeatedly refuses the current ETag, or if other writers always win.
    """
    refused: dict[str, int] = {}
    for conflicts in range(_MOST_CONFLICTS):
        stored = store.get(KEY)
        try:
            store.put(KEY, b"%d" % (int(stored.body) + 1), replaces=stored.etag, metadata={})
        except Conflict as conflict:
            refused[stored.etag] = refused.get(stored.etag, 0) + 1
            if refused[stored.etag] == _MOST_OF_ONE_ETAG:
                raise AssertionError(
                    f"the server refuses If-Match with the ETag that it gave for the object, {stored.etag},"
                    f" {_MOST_OF_ONE_ETAG} times in a row: no commit can succeed there"
                ) from conflict
            time.sleep(chance.random() * min(_LONGEST_PAUSE, 0.01 * 2**conflicts))
        else:
            return conflicts
    raise AssertionError(
        f"{_MOST_CONFLICTS} conflicts, and not one write: the server lets nobody win, or always the same"
    )


def in_threads(store: Store, threads: int, times: int) -> int:
    """Increments the counter from parallel threads; returns the number of conflicts."""
    together = threading.Barrier(threads)

    def work(seed: int) -> int:
        chance = random.Random(seed)
        together.wait(_LONGEST_START)
        return sum(increment(store, chance) for _ in range(times))

    return _sum(ThreadPoolExecutor(threads), work, threads)


def create_in_threads(store: Store, threads: int) -> int:
    """Creates the counter from parallel threads; returns how many succeeded."""
    together = threading.Barrier(threads)

    def work(seed: int) -> int:
        together.wait(_LONGEST_START)
        try:
            store.put(KEY, b"%d" % seed, replaces=None, metadata={})
        except Conflict:
            return 0
        return 1

    return _sum(ThreadPoolExecutor(threads), work, threads)


def in_processes(bucket: str, endpoint: str, processes: int, times: int) -> int:
    """Like ``in_threads``, each in a process with a client of its own."""
    context = get_context("spawn")
    together = context.Barrier(processes)
    pool = ProcessPoolExecutor(processes, context, _join, (bucket, endpoint, together))
    return _sum(pool, _in_this_process, processes, times)


_process_store: dict[str, S3Store] = {}


def _join(bucket: str, endpoint: str, together: threading.Barrier) -> None:
    _process_store["store"] = S3Store(bucket, s3_client(endpoint), s3_client(endpoint, retries=False))
    together.wait(_LONGEST_START)


def _in_this_process(seed: int, times: int) -> int:
    chance = random.Random(seed)
    return sum(increment(_process_store["store"], chance) for _ in range(times))


def _sum(
    pool: ThreadPoolExecutor | ProcessPoolExecutor, work: Callable[..., int], workers: int, *arguments: int
) -> int:
    with pool:
        return sum(task.result() for task in [pool.submit(work, seed, *arguments) for seed in range(workers)])
