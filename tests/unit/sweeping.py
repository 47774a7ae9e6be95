"""Sweeps from the first message to the last, through a queue in memory."""

from collections.abc import Callable
from typing import Any

from unit.environments import Hand
from unit.values import PREFIX, STYLE

from s3_manifest.manifest.jobs import Job, Sweep, decode_job, encode_job
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepResult

PAUSE = 30.0
SWEEP_STYLE = Sweep(kind=STYLE.kind, id=STYLE.id)


def names(*numbers: int) -> list[str]:
    return [f"{n:04}.jpg" for n in numbers]


def known(count: int, **more: Any) -> Hand:
    """A hand with a complete manifest of so many files."""
    hand = Hand(**more)
    hand.commit(hand.upload(*names(*range(count))))
    forget(hand)
    return hand


def forget(hand: Hand) -> None:
    """Forgets what was asked so far."""
    for noted in (hand.asked, hand.delays, hand.announced, hand.store.requests, hand.store.looks, hand.store.written):
        noted.clear()


def swept(
    hand: Hand, job: Job = SWEEP_STYLE, left: Callable[[], Callable[[], float]] | None = None, *, repeated: bool = False
) -> list[SweepResult]:
    """What came of each message, the queue having been emptied; ``left`` makes each message's time."""
    queue, done = [encode_job(job)], list[SweepResult]()
    while queue:
        if left:
            hand.seconds_left = left()
        done.append(run_job(hand.environment, decode_job(queue.pop(0)), PAUSE, repeated=repeated))
        queue += map(encode_job, hand.asked)
        hand.asked.clear()
        assert len(done) < 300, "the sweep has no end"
    return done


def drift(done: list[SweepResult]) -> tuple[int, int, int]:
    """Missing, unexpected and modified files, of all messages together."""
    return sum(s.missing for s in done), sum(s.unexpected for s in done), sum(s.modified for s in done)


def truth(hand: Hand) -> list[tuple[str, str, str]]:
    """What is in the bucket: names, ETags and storage classes of the collection's own files."""
    keys = [key for key in sorted(hand.store.objects) if hand.collections.of(key) == STYLE]
    found = [(key.removeprefix(PREFIX), hand.store.objects[key][0]) for key in keys]
    return [
        (name, one.etag, one.storage_class)
        for name, one in found
        if name not in SIDECARS and (one.size or not name.endswith("/"))
    ]


def told(hand: Hand) -> list[tuple[str, str, str]]:
    """What the manifest says of the same."""
    return [(entry.filename, entry.etag, entry.storage_class) for entry in hand.entries()]
