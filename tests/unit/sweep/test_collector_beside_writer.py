"""The collector and a writer, stopped or killed at every step of each: no referenced object is ever lost."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from unit.environments import Harness, with_store
from unit.sweeping import complete_harness
from unit.values import NOON, PREFIX, PUT, STYLE

from s3_manifest.manifest.model import timestamp
from s3_manifest.manifest.runs import decode_page
from s3_manifest.query import reads
from s3_manifest.query.history import HistoryExpired
from s3_manifest.query.reads import PageQuery
from s3_manifest.reconcile.commit import commit
from s3_manifest.storage import heads
from s3_manifest.sweep.garbage import collect_garbage

DAYS, HISTORY_DAYS = 6, 2
WRITER_STEPS, COLLECTOR_STEPS = range(1, 19), range(1, 12)

Act = Callable[[Harness, Any], None]


class Killed(BaseException):
    """The process has died. Not an Exception, so that no code catches it."""


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


def aged_harness() -> tuple[Harness, dict[int, dict[str, str]]]:
    """A paged manifest with one revision per day and uncommitted changes, and the files of each revision."""
    harness = complete_harness(24)
    history = {1: files_of(harness)}
    for number in range(1, DAYS + 1):
        harness.now = timestamp(datetime.fromisoformat(NOON) + timedelta(days=number))
        commit(
            harness.environment,
            STYLE,
            dict.fromkeys(harness.upload(f"{number * 5 % 24:04}.jpg", body=b"%d" % number), PUT),
        )
        history[harness.head().revision] = files_of(harness)
    harness.upload("0002.jpg", "0011b.jpg", body=b"by the writer")
    harness.store.remove(PREFIX + "0013.jpg")
    return harness, history


def files_of(harness: Harness) -> dict[str, str]:
    """The files in the pages of the head; a missing page raises KeyError."""
    pages = harness.head().pages
    assert pages
    runs = [decode_page(harness.store.objects[page.key][1], page) for page in pages]
    return {entry.filename: entry.etag for run in runs for entry in run.entries()}


def write(harness: Harness, store: Any) -> None:
    keys = [PREFIX + name for name in ("0002.jpg", "0011b.jpg", "0013.jpg", "0023.jpg")]
    commit(with_store(harness.environment, store), STYLE, dict.fromkeys(keys, PUT))


def run_collector(harness: Harness, store: Any) -> None:
    environment = replace(harness.environment, history_days=HISTORY_DAYS)
    collect_garbage(with_store(environment, store), STYLE)


def until_killed(act: Act, harness: Harness, number: int) -> None:
    """Runs ``act`` until its process is killed, just before the request with this number."""

    def die() -> None:
        raise Killed

    try:
        act(harness, Stepped(harness.store, number, die))
    except Killed:
        return


def retained_revisions(harness: Harness, history: dict[int, dict[str, str]]) -> list[int]:
    """The revisions that can be read; asserts that each has its original files."""
    history = history | {harness.head().revision: files_of(harness)}
    retained = []
    for revision in history:
        try:
            read = reads.page(harness.snapshot(), PageQuery(limit=1000, revision=revision))
        except HistoryExpired:
            continue
        shown = {file["filename"]: file["etag"] for file in json.loads(read.json)["files"]}
        assert shown == history[revision]
        retained.append(revision)
    return retained


def check(harness: Harness, history: dict[int, dict[str, str]]) -> None:
    retained = retained_revisions(harness, history)
    last = harness.head().revision
    assert retained == list(range(retained[0], last + 1)), "there is a gap in the history"
    assert retained[0] <= DAYS + 1 - HISTORY_DAYS


@pytest.fixture(autouse=True)
def _whole_answers(monkeypatch):
    monkeypatch.setattr("s3_manifest.query.reads.PAGES_READ", 100)


@pytest.mark.parametrize("act", [write, run_collector], ids=["the writer", "the collector"])
def test_the_step_lists_cover_every_request(act):
    harness, _ = aged_harness()
    store = Stepped(harness.store)
    act(harness, store)
    steps = WRITER_STEPS if act is write else COLLECTOR_STEPS
    assert steps[-1] - 4 < store.steps < steps[-1]


@pytest.mark.parametrize("killed_at", COLLECTOR_STEPS)
@pytest.mark.parametrize("step", WRITER_STEPS)
def test_a_collector_between_two_requests_of_a_writer_deletes_nothing_it_needs(step, killed_at):
    harness, history = aged_harness()
    write(harness, Stepped(harness.store, step, lambda: until_killed(run_collector, harness, killed_at)))
    assert "0011b.jpg" in files_of(harness)
    check(harness, history)


@pytest.mark.parametrize("killed_at", WRITER_STEPS)
@pytest.mark.parametrize("step", COLLECTOR_STEPS)
def test_a_writer_that_commits_between_two_requests_of_a_collector_loses_nothing(step, killed_at):
    harness, history = aged_harness()
    run_collector(harness, Stepped(harness.store, step, lambda: until_killed(write, harness, killed_at)))
    check(harness, history)


@pytest.mark.parametrize("step", COLLECTOR_STEPS)
def test_pages_of_only_a_new_checkpoint_stay_whatever_their_age(step, monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", DAYS + 2)
    harness, history = aged_harness()

    def commit_twice() -> None:
        # The first leaves a checkpoint that refers to pages that the second replaces.
        for names in (["0002.jpg"], ["0006.jpg", "0013.jpg", "0018.jpg", "0023.jpg"]):
            commit(harness.environment, STYLE, dict.fromkeys(harness.upload(*names, body=b"more"), PUT))
            history[harness.head().revision] = files_of(harness)

    run_collector(harness, Stepped(harness.store, step, commit_twice))
    check(harness, history)


@pytest.mark.parametrize("killed_at", WRITER_STEPS)
def test_only_leftovers_of_a_killed_writer_are_collected_later(killed_at):
    harness, history = aged_harness()
    until_killed(write, harness, killed_at)
    harness.now = timestamp(datetime.fromisoformat(harness.now) + timedelta(days=1, seconds=1))
    run_collector(harness, harness.store)
    write(harness, harness.store)
    retained = retained_revisions(harness, history)
    assert retained == list(range(retained[0], harness.head().revision + 1))
    referenced = {page.key for page in harness.head().pages}
    for key, (_, body) in list(harness.store.objects.items()):
        if key.startswith(STYLE.checkpoints_folder):
            referenced |= {page.key for page in heads.decode(STYLE, body).pages}
    pages = {key for key in harness.store.objects if key.startswith(f"{STYLE.folder}pages/")}
    assert referenced <= pages
