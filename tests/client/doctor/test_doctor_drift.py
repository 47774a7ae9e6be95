"""Manifests compared with what is in S3: what differs at a second look too, what is lost, broken or late."""

import shlex
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from client.doctor_values import DEPLOYED
from unit.environments import Hand
from unit.values import COLLECTIONS, PREFIX, SMALL_PAGES, STYLE

from s3_manifest.manifest import layout
from s3_manifest.manifest.jobs import Sweep, SweepAll, decode_job
from s3_manifest.manifest.model import timestamp
from s3_manifest.storage import heads
from s3_manifest.storage.store import ReadFailed
from s3_manifest_cli.client.doctor.checks import manifests
from s3_manifest_cli.client.doctor.drift import Place, every, look

NOW = datetime(2026, 3, 1, 13, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL_PAGES.items():
        monkeypatch.setattr(layout, name, value)


@pytest.fixture
def hand() -> Hand:
    """A style with two files, and its manifest."""
    hand = Hand()
    hand.commit(hand.upload("a.jpg", "b.jpg"))
    return hand


def place(hand: Hand, seconds: float = 60) -> Place:
    return Place(hand.store, COLLECTIONS, time.monotonic() + seconds, lambda work, items: [work(one) for one in items])


def judged(hand: Hand, pause: timedelta | None = DAY, now: datetime = NOW, **more: Any):
    """What was found wrong, by severity and subject."""
    where = place(hand, **more)
    collections = every(where)
    found = manifests.judge(DEPLOYED, look(where, collections, 0), len(collections), now, pause)
    return {(one.severity, one.subject): one for one in found if one.severity != "ok"}


def job_of(command: str) -> Any:
    return decode_job(shlex.split(command[command.index("aws sqs") :])[-1])


def test_a_manifest_that_says_what_is_there_is_well(hand):
    assert judged(hand) == {}


def test_where_there_are_no_collections_nothing_is_wrong():
    assert judged(Hand()) == {}


def test_files_that_came_went_and_changed_without_an_event_are_drift_and_the_mend_is_a_sweep(hand):
    hand.upload("a.jpg", body=b"other")
    hand.upload("new.jpg")
    hand.store.remove(PREFIX + "b.jpg")
    ((key, found),) = judged(hand).items()
    assert key == ("error", "style/16")
    assert found.found.startswith("3 files")
    assert all(name in found.found for name in ("a.jpg", "b.jpg", "new.jpg"))
    assert job_of(found.mend) == Sweep(kind="style", id="16")


def test_what_the_manifest_says_a_moment_later_is_not_drift(hand, monkeypatch):
    keys = hand.upload("c.jpg")
    monkeypatch.setattr("time.sleep", lambda _seconds: hand.commit(keys))
    assert judged(hand) == {}


def test_what_was_written_in_the_last_minute_may_be_on_its_way(hand):
    hand.now = timestamp(datetime.now(UTC))
    hand.upload("c.jpg")
    assert set(judged(hand)) == {("notice", "style/16")}
    hand.store.upload("actors/7/a.jpg", b"x")
    assert set(judged(hand)) == {("notice", "style/16"), ("notice", "actor/7")}
    hand.now = timestamp(datetime.now(UTC) - timedelta(minutes=2))
    hand.upload("d.jpg")
    hand.store.upload("actors/7/a.jpg", b"x")
    assert set(judged(hand)) == {("error", "style/16"), ("warning", "actor/7")}


def test_what_is_gone_may_be_gone_for_long(hand):
    hand.store.remove(PREFIX + "b.jpg")
    assert set(judged(hand)) == {("error", "style/16")}


def test_a_collection_without_a_manifest_is_found(hand):
    hand.store.upload("actors/7/a.jpg", b"x")
    hand.store.upload("actors/8/", b"")  # a folder is none
    ((key, found),) = judged(hand).items()
    assert key == ("warning", "actor/7")
    assert job_of(found.mend) == Sweep(kind="actor", id="7")
    hand.store.upload("actors/9/a.jpg", b"x")
    ((key, found),) = judged(hand).items()
    assert (key, job_of(found.mend)) == (("warning", "actor/7, actor/9"), SweepAll())


def test_a_manifest_that_cannot_be_read_is_to_be_made_anew(hand):
    hand.store.upload(STYLE.head_key, b'{"schema": 2}')
    ((key, found),) = judged(hand).items()
    assert key == ("error", "style/16")
    assert job_of(found.mend) == Sweep(kind="style", id="16", rebuild=True)


@pytest.mark.parametrize("folder", ["pages/", "sidecars/"])
def test_a_page_that_is_lost_is_found_though_nothing_differs(hand, folder):
    hand.commit(hand.upload(*(f"{number}.jpg" for number in range(20))))
    hand.commit(hand.upload("prompt_metadata.json", body=b'{"a.jpg": "a fox"}'))
    assert judged(hand) == {}
    lost = next(key for key in hand.store.objects if key.startswith(STYLE.folder + folder))
    hand.store.remove(lost)
    ((key, found),) = judged(hand).items()
    assert key == ("error", "style/16")
    assert lost in found.found
    assert job_of(found.mend) == Sweep(kind="style", id="16", rebuild=True)


def test_a_page_that_was_modified_is_found_though_nothing_differs(hand):
    hand.commit(hand.upload(*(f"{number}.jpg" for number in range(20))))
    key = hand.head().pages[0].key
    hand.store.upload(key, hand.store.objects[key][1].replace(b'"prompt":null', b'"prompt":"x"', 1))
    ((about, found),) = judged(hand).items()
    assert about == ("error", "style/16")
    assert key in found.found


def test_what_s3_does_not_answer_about_is_not_checked(hand, monkeypatch):
    def refused(key):
        raise ReadFailed(key, "not read: 403")

    monkeypatch.setattr(hand.store, "get", refused)
    ((key, found),) = judged(hand).items()
    assert key == ("not_checked", "style/16")
    assert "403" in found.found


def test_what_time_did_not_suffice_for_is_not_checked(hand):
    assert set(judged(hand, seconds=0)) == {("not_checked", "bucket")}


def test_a_manifest_that_no_sweep_has_compared_for_two_of_their_pauses_is_found(hand):
    made = datetime.fromisoformat(hand.head().created_at)
    assert judged(hand, now=made + 2 * DAY) == {}
    assert set(judged(hand, now=made + 2.1 * DAY)) == {("warning", "style/16")}
    assert judged(hand, now=made + 2.1 * DAY, pause=None) == {}


def test_one_that_is_not_complete_is_found(hand):
    head = hand.head().model_copy(update={"complete": False})
    hand.store.upload(STYLE.head_key, heads.encode_head(head))
    assert set(judged(hand)) == {("warning", "style/16")}


def test_problems_with_sidecars_are_told_of(hand):
    hand.commit(hand.upload("prompt_metadata.json", body=b"{"))
    assert set(judged(hand)) == {("notice", "style/16")}


def test_an_id_is_no_part_of_a_command():
    odd = COLLECTIONS.named("style", "1'; rm -rf ~ #\n\"é")
    command = DEPLOYED.sweep(odd)
    assert len(shlex.split(command)) == 7
    assert job_of(command) == Sweep(kind="style", id=odd.id)
