"""The collector and a writer, stopped or killed at every step of each: nothing referred to is ever lost."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from unit.environments import Hand
from unit.sweeping import known
from unit.values import NOON, PREFIX, PUT, STYLE

from s3_manifest.manifest.model import timestamp
from s3_manifest.manifest.runs import decode_page
from s3_manifest.query import reads
from s3_manifest.query.history import HistoryGone
from s3_manifest.query.reads import PageQuery
from s3_manifest.reconcile.commit import commit
from s3_manifest.storage import heads
from s3_manifest.sweep.garbage import collect_garbage

DAYS, HISTORY_DAYS = 6, 2
WRITER_STEPS, COLLECTOR_STEPS = range(1, 19), range(1, 12)

Act = Callable[[Hand, Any], None]


class Killed(BaseException):
    """The process is gone. Not an Exception: nothing may catch it and go on."""


class Stepped:
    """A store that calls ``at`` before the request of a number, and counts them."""

    def __init__(self, store: Any, number: int = 0, at: Callable[[], None] = lambda: None) -> None:
        self._store, self._number, self._at = store, number, at
        self.steps = 0

    def __getattr__(self, name: str) -> Any:
        def counted(*args, **more):
            self.steps += 1
            if self.steps == self._number:
                self._at()
            return getattr(self._store, name)(*args, **more)

        return counted


@pytest.fixture(autouse=True)
def _small(small_pages, monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr("s3_manifest.sweep.garbage._DELETE_BATCH", 3)


def lived() -> tuple[Hand, dict[int, dict[str, str]]]:
    """A paged manifest with a revision on each of some days, and what it said at each; a change is not told yet."""
    hand = known(24)
    said = {1: files_of(hand)}
    for number in range(1, DAYS + 1):
        hand.now = timestamp(datetime.fromisoformat(NOON) + timedelta(days=number))
        commit(
            hand.environment, STYLE, dict.fromkeys(hand.upload(f"{number * 5 % 24:04}.jpg", body=b"%d" % number), PUT)
        )
        said[hand.head().revision] = files_of(hand)
    hand.upload("0002.jpg", "0011b.jpg", body=b"by the writer")
    hand.store.remove(PREFIX + "0013.jpg")
    return hand, said


def files_of(hand: Hand) -> dict[str, str]:
    """What the pages of the head say; one that is not there is a KeyError."""
    pages = hand.head().pages
    assert pages
    runs = [decode_page(hand.store.objects[page.key][1], page) for page in pages]
    return {entry.filename: entry.etag for run in runs for entry in run.entries()}


def write(hand: Hand, store: Any) -> None:
    keys = [PREFIX + name for name in ("0002.jpg", "0011b.jpg", "0013.jpg", "0023.jpg")]
    commit(replace(hand.environment, store=store), STYLE, dict.fromkeys(keys, PUT))


def run_collector(hand: Hand, store: Any) -> None:
    collect_garbage(replace(hand.environment, store=store, history_days=HISTORY_DAYS), STYLE)


def until_killed(act: Act, hand: Hand, number: int) -> None:
    """Does it until its process is killed, before the request of that number."""

    def die() -> None:
        raise Killed

    try:
        act(hand, Stepped(hand.store, number, die))
    except Killed:
        return


def kept_revisions(hand: Hand, said: dict[int, dict[str, str]]) -> list[int]:
    """The revisions that can be read; each must say what it said."""
    said = said | {hand.head().revision: files_of(hand)}
    kept = []
    for revision in said:
        try:
            read = reads.page(hand.snapshot(), PageQuery(limit=1000, revision=revision))
        except HistoryGone:
            continue
        shown = {file["filename"]: file["etag"] for file in json.loads(read.json)["files"]}
        assert shown == said[revision]
        kept.append(revision)
    return kept


def check(hand: Hand, said: dict[int, dict[str, str]]) -> None:
    kept = kept_revisions(hand, said)
    last = hand.head().revision
    assert kept == list(range(kept[0], last + 1)), "there is a gap in the history"
    assert kept[0] <= DAYS + 1 - HISTORY_DAYS


@pytest.fixture(autouse=True)
def _whole_answers(monkeypatch):
    monkeypatch.setattr("s3_manifest.query.views.PAGES_READ", 100)


@pytest.mark.parametrize("act", [write, run_collector], ids=["the writer", "the collector"])
def test_the_steps_tried_are_all_that_there_are(act):
    hand, _ = lived()
    store = Stepped(hand.store)
    act(hand, store)
    steps = WRITER_STEPS if act is write else COLLECTOR_STEPS
    assert steps[-1] - 4 < store.steps < steps[-1]


@pytest.mark.parametrize("killed_at", COLLECTOR_STEPS)
@pytest.mark.parametrize("step", WRITER_STEPS)
def test_a_collector_that_runs_between_two_requests_of_a_writer_takes_nothing_from_it(step, killed_at):
    hand, said = lived()
    write(hand, Stepped(hand.store, step, lambda: until_killed(run_collector, hand, killed_at)))
    assert "0011b.jpg" in files_of(hand)
    check(hand, said)


@pytest.mark.parametrize("killed_at", WRITER_STEPS)
@pytest.mark.parametrize("step", COLLECTOR_STEPS)
def test_a_writer_that_commits_between_two_requests_of_a_collector_loses_nothing(step, killed_at):
    hand, said = lived()
    run_collector(hand, Stepped(hand.store, step, lambda: until_killed(write, hand, killed_at)))
    check(hand, said)


@pytest.mark.parametrize("step", COLLECTOR_STEPS)
def test_what_only_a_new_checkpoint_refers_to_is_kept_whenever_it_was_written(step, monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", DAYS + 2)
    hand, said = lived()

    def commit_twice() -> None:
        # The first leaves a checkpoint that refers to pages which the second takes the place of.
        for names in (["0002.jpg"], ["0006.jpg", "0013.jpg", "0018.jpg", "0023.jpg"]):
            commit(hand.environment, STYLE, dict.fromkeys(hand.upload(*names, body=b"more"), PUT))
            said[hand.head().revision] = files_of(hand)

    run_collector(hand, Stepped(hand.store, step, commit_twice))
    check(hand, said)


@pytest.mark.parametrize("killed_at", WRITER_STEPS)
def test_what_a_killed_writer_left_is_collected_later_and_nothing_else(killed_at):
    hand, said = lived()
    until_killed(write, hand, killed_at)
    hand.now = timestamp(datetime.fromisoformat(hand.now) + timedelta(days=1, seconds=1))
    run_collector(hand, hand.store)
    write(hand, hand.store)
    kept = kept_revisions(hand, said)
    assert kept == list(range(kept[0], hand.head().revision + 1))
    referred = {page.key for page in hand.head().pages}
    for key, (_, body) in list(hand.store.objects.items()):
        if key.startswith(heads.checkpoints_folder(STYLE)):
            referred |= {page.key for page in heads.decode(STYLE, body).pages}
    pages = {key for key in hand.store.objects if key.startswith(f"{STYLE.folder}pages/")}
    assert referred <= pages
