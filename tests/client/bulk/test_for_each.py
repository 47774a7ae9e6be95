"""Functions of the client for many collections: shared threads, memory and connections, and cancellation."""

import threading
import time
from pathlib import Path

import pytest
from client.transfers import refusal
from unit.docs.pages import blocks

from s3_manifest_cli import (
    Cancellation,
    Cancelled,
    NotFound,
    Selection,
    SyncOptions,
    Unavailable,
    for_each,
    local_paths,
    pull,
    push,
    select,
    status,
)
from s3_manifest_cli.client.access import threads
from s3_manifest_cli.client.bulk import for_each as bulk
from s3_manifest_cli.client.manifests import cache
from s3_manifest_cli.client.sync.runner import Runner
from s3_manifest_cli.client.transfer import objects


def working_threads():
    """The threads that this process works with, without those of the server and of its proxy."""
    return [thread for thread in threading.enumerate() if "(run)" in thread.name]


@pytest.fixture
def six(several):
    for number in range(6):
        several.put(f"style/{number}", "a.png", "b.png")
    several.requests()
    return several


def test_results_come_as_they_finish_and_have_their_types(six, tmp_path):
    selection = select(six.sides.deployment, ["style/*"])
    paths = local_paths(tmp_path / "{id}", selection.collections)
    pulled = for_each(
        selection, lambda deployment, style, options: pull(deployment, style, paths[style], options=options)
    )
    assert {(outcome.item.id, len(outcome.result.done)) for outcome in pulled} == {
        (str(number), 2) for number in range(6)
    }
    compared = for_each(selection, lambda deployment, style, _: status(deployment, paths[style], style))
    assert all(outcome.result.is_in_sync for outcome in compared)


def test_a_collection_that_fails_does_not_stop_the_others(six, tmp_path):
    six.sides.proxy.before = lambda request: refusal(403, "AccessDenied") if "/3/manifest.json" in request.key else None
    missing = six.sides.collections.lookup("style", "new")
    selection = select(six.sides.deployment, ["style/*"])
    selection.collections.append(missing)
    outcomes = {
        outcome.item.id: outcome.error
        for outcome in for_each(
            selection, lambda deployment, style, options: pull(deployment, style, tmp_path / style.id, options=options)
        )
    }
    assert isinstance(outcomes.pop("3"), Unavailable)
    assert isinstance(outcomes.pop("new"), NotFound)
    assert [*outcomes.values()] == [None] * 5


def test_a_manifest_that_was_deleted_is_no_failure_of_a_pattern(six):
    deleted = six.sides.collections.lookup("style", "deleted")
    selection = Selection(six.sides.deployment, [deleted], [], frozenset([deleted]))
    assert [*for_each(selection, lambda deployment, style, _: deployment.current_index(style))] == []


def test_all_transfers_share_one_connection_and_one_memory_budget(six, tmp_path, monkeypatch):
    made = []
    original = objects.Objects.__init__

    def counted(self, *arguments, **more):
        original(self, *arguments, **more)
        made.append(self)

    monkeypatch.setattr(objects.Objects, "__init__", counted)
    selection = select(six.sides.deployment, ["style/*"])
    done = for_each(
        selection, lambda deployment, style, options: pull(deployment, style, tmp_path / style.id, options=options)
    )
    assert len([*done]) == 6
    assert len(made) == 1


def test_threads_are_not_multiplied_by_collections(six, tmp_path):
    for number in range(6):
        (tmp_path / str(number)).mkdir()
        for name in range(20):
            (tmp_path / str(number) / f"{name}.txt").write_text("text")
    most = 0

    def watch(request):
        nonlocal most
        most = max(most, len(working_threads()))

    six.sides.proxy.before = watch
    selection = select(six.sides.deployment, ["style/*"])
    list(
        for_each(
            selection, lambda deployment, style, options: push(deployment, tmp_path / style.id, style, options=options)
        )
    )
    assert 6 < most <= threads.MAX_THREADS + 6
    assert working_threads() == []


def test_no_more_threads_are_reserved_than_exist():
    with (
        threads.reserved_threads(20) as first,
        threads.reserved_threads(20) as second,
        threads.reserved_threads(5) as third,
    ):
        assert (first, second, third) == (20, threads.MAX_THREADS - 20, 1)
    with threads.reserved_threads(100) as all_of_them:
        assert all_of_them == threads.MAX_THREADS


@pytest.mark.parametrize(
    "read",
    [
        lambda deployment, style: deployment.current_index(style),
        lambda deployment, style: deployment.manifests.index(style, None),
        lambda deployment, style: deployment.manifests.read(style),
    ],
    ids=["current index", "index", "manifest"],
)
@pytest.mark.parametrize("is_cached", [False, True])
def test_large_manifests_are_in_memory_one_after_the_other(six, monkeypatch, read, is_cached):
    if is_cached:
        for number in range(6):
            six.sides.deployment.current_index(six.sides.collections.lookup("style", str(number)))
    monkeypatch.setattr(bulk, "_FILES", 3)  # each has two
    monkeypatch.setattr(cache, "_BYTES_PER_FILE", 1)
    running, most = set(), 0

    def work(deployment, style, options):
        nonlocal most
        read(deployment, style)
        running.add(style)
        most = max(most, len(running))
        options.cancellation.sleep(0.05)
        read(deployment, style)  # it waits for no other collection
        running.remove(style)

    outcomes = list(for_each(select(six.sides.deployment, ["style/*"]), work))
    assert (len(outcomes), most) == (6, 1)


def test_large_manifests_are_read_over_http_one_after_the_other(through_http, add, monkeypatch):
    add({"styles/16/a.png": b"16", "styles/17/a.png": b"17"})
    monkeypatch.setattr(bulk, "_FILES", 1)
    both = threading.Barrier(2)

    def work(deployment, style, options):
        deployment.current_index(style)
        with pytest.raises(threading.BrokenBarrierError):
            both.wait(0.2)

    assert [outcome.error for outcome in for_each(select(through_http, ["style/*"]), work)] == [None, None]


def test_cancelling_ends_all_collections(six, tmp_path):
    cancellation = Cancellation()
    started = []

    def work(deployment, style, options):
        started.append(style.id)
        if len(started) == 3:
            cancellation.cancel()
        options.cancellation.sleep(60)

    began = time.monotonic()
    with pytest.raises(Cancelled):
        list(for_each(select(six.sides.deployment, ["style/*"]), work, SyncOptions(cancellation=cancellation)))
    assert time.monotonic() - began < 30


def test_leaving_the_iterator_cancels_what_is_in_progress(six):
    ended = []

    def work(deployment, style, options):
        if style.id == "0":
            return
        try:
            options.cancellation.sleep(60)
        finally:
            ended.append(style.id)

    for outcome in for_each(select(six.sides.deployment, ["style/*"]), work):
        assert outcome.item.id == "0"
        break
    assert working_threads() == []
    assert sorted(ended) == sorted(set(ended))


def test_an_unexpected_error_ends_the_run_and_is_raised(six):
    def work(deployment, style, options):
        if style.id == "2":
            raise ZeroDivisionError
        options.cancellation.sleep(60)

    with pytest.raises(ZeroDivisionError):
        list(for_each(select(six.sides.deployment, ["style/*"]), work))


def test_an_unexpected_error_in_one_transfer_does_not_cancel_the_others(six, tmp_path, monkeypatch):
    original = Runner.download

    def download(runner, action, body=None):
        if runner.collection.id == "2":
            raise ZeroDivisionError
        time.sleep(0.05)
        return original(runner, action, body)

    def work(deployment, style, options):
        try:
            return pull(deployment, style, tmp_path / style.id, options=options)
        except ZeroDivisionError as error:
            return error

    monkeypatch.setattr(Runner, "download", download)
    results = {outcome.item.id: outcome.result for outcome in for_each(select(six.sides.deployment, ["style/*"]), work)}
    assert isinstance(results.pop("2"), ZeroDivisionError)
    assert [len(result.done) for result in results.values()] == [2] * 5


def test_many_collections_are_compared_over_http(through_http, add, tmp_path):
    add({"styles/16/a.png": b"16", "styles/17/a.png": b"17", "styles/18/a.png": b"18"})
    for style in ("16", "17", "18"):
        (tmp_path / style).mkdir()
        (tmp_path / style / "a.png").write_text(style)
    selection = select(through_http, ["style/1[67]"])
    assert [collection.id for collection in selection.collections] == ["16", "17"]
    compared = for_each(selection, lambda deployment, style, _: status(deployment, tmp_path / style.id, style))
    assert [(outcome.error, outcome.result and outcome.result.is_in_sync) for outcome in compared] == [(None, True)] * 2


def test_over_http_the_collections_of_all_kinds_are_listed_once(through_http, api, add):
    add({"styles/16/a.png": b"16", "system_actors/training_data/0042_male/a.png": b"42"})
    api.requests.clear()
    selection = select(through_http, ["*/*"])
    assert [collection.id for collection in selection.collections] == ["0042_male", "16"]
    assert [path for _, path, _ in api.requests] == ["/api/manifests"]


def test_a_change_between_two_calls_is_seen_by_the_second(six, tmp_path):
    def copy(function):
        return lambda deployment, style, options: function(deployment, tmp_path / style.id, style)

    list(for_each(select(six.sides.deployment, ["style/*"]), copy(lambda own, path, style: pull(own, style, path))))
    selection = select(six.sides.deployment, ["style/*"])
    assert all(outcome.result.is_in_sync for outcome in for_each(selection, copy(status)))
    six.put("style/3", "new.png")
    different = [outcome.item.id for outcome in for_each(selection, copy(status)) if not outcome.result.is_in_sync]
    assert different == ["3"]


def test_no_collections_are_no_outcomes(six):
    assert [*for_each(Selection(six.sides.deployment, [], []), lambda *_: Path())] == []


def test_the_example_in_the_documents_works(several, tmp_path, monkeypatch, capsys):
    for name in ("style/10", "style/11", "style/20", "style/21"):
        several.put(name, "a.png")
    monkeypatch.chdir(tmp_path)
    (example,) = (block for block in blocks() if "for_each(" in block)
    exec(example, {"deployment": several.sides.deployment, "pull": pull})  # noqa: S102  # the project's own text
    *lines, failures = capsys.readouterr().out.splitlines()
    assert (sorted(lines), failures) == (["10 1", "11 1", "20 1"], "[]")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["10", "11", "20"]
