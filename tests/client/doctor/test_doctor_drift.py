"""The checks that compare manifests with S3: drift, lost and modified pages, overdue sweeps."""

import shlex
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from client.doctor_values import STACK
from unit.environments import Harness
from unit.values import BUCKET, COLLECTIONS, PREFIX, SMALL_PAGES, STYLE

from s3_manifest.manifest import layout
from s3_manifest.manifest.jobs import Sweep, SweepAll, decode_job
from s3_manifest.manifest.model import timestamp
from s3_manifest.storage import heads
from s3_manifest.storage.store import ReadFailed
from s3_manifest_cli.client.doctor.checks import manifests
from s3_manifest_cli.client.doctor.drift import DriftScan

NOW = datetime(2026, 3, 1, 13, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL_PAGES.items():
        monkeypatch.setattr(layout, name, value)


@pytest.fixture
def harness() -> Harness:
    """A style with two files, and its manifest."""
    harness = Harness()
    harness.commit(harness.upload("a.jpg", "b.jpg"))
    return harness


def problems(harness: Harness, interval: timedelta | None = DAY, now: datetime = NOW, seconds: float = 60):
    """Returns the findings that are not ok, by severity and subject."""
    deadline = time.monotonic() + seconds
    scan = DriftScan(harness.store, BUCKET, COLLECTIONS, deadline, lambda work, items: [work(item) for item in items])
    collections = scan.list_collections()
    findings = manifests.check(STACK, scan.compare(collections, 0), len(collections), now, interval)
    return {(finding.severity, finding.subject): finding for finding in findings if finding.severity != "ok"}


def job_of(command: str) -> Any:
    return decode_job(shlex.split(command[command.index("aws sqs") :])[-1])


def test_a_correct_manifest_is_ok(harness):
    assert problems(harness) == {}


def test_a_bucket_without_collections_has_no_problems():
    assert problems(Harness()) == {}


def test_files_added_removed_and_modified_without_an_event_are_drift_and_the_remedy_is_a_sweep(harness):
    harness.upload("a.jpg", body=b"other")
    harness.upload("new.jpg")
    harness.store.remove(PREFIX + "b.jpg")
    ((key, finding),) = problems(harness).items()
    assert key == ("error", "style/16")
    assert finding.found.startswith("3 files differ")
    assert all(name in finding.found for name in ("a.jpg", "b.jpg", "new.jpg"))
    assert job_of(finding.mend) == Sweep(kind="style", id="16")


def test_a_change_that_the_manifest_shows_at_the_second_comparison_is_not_drift(harness, monkeypatch):
    keys = harness.upload("c.jpg")
    monkeypatch.setattr("time.sleep", lambda _seconds: harness.commit(keys))
    assert problems(harness) == {}


def test_differences_of_the_last_minute_are_only_notices(harness):
    harness.now = timestamp(datetime.now(UTC))
    harness.upload("c.jpg")
    assert set(problems(harness)) == {("notice", "style/16")}
    harness.store.upload("actors/7/a.jpg", b"x")
    assert set(problems(harness)) == {("notice", "style/16"), ("notice", "actor/7")}
    harness.now = timestamp(datetime.now(UTC) - timedelta(minutes=2))
    harness.upload("d.jpg")
    harness.store.upload("actors/7/a.jpg", b"x")
    assert set(problems(harness)) == {("error", "style/16"), ("warning", "actor/7")}


def test_a_missing_object_is_an_error_whatever_its_age(harness):
    harness.store.remove(PREFIX + "b.jpg")
    assert set(problems(harness)) == {("error", "style/16")}


def test_a_collection_without_a_manifest_is_a_warning(harness):
    harness.store.upload("actors/7/a.jpg", b"x")
    harness.store.upload("actors/8/", b"")  # a folder is not a collection
    ((key, finding),) = problems(harness).items()
    assert key == ("warning", "actor/7")
    assert job_of(finding.mend) == Sweep(kind="actor", id="7")
    harness.store.upload("actors/9/a.jpg", b"x")
    ((key, finding),) = problems(harness).items()
    assert (key, job_of(finding.mend)) == (("warning", "actor/7, actor/9"), SweepAll())


def test_the_remedy_for_a_newer_manifest_is_an_upgrade(harness):
    harness.store.upload(STYLE.head_key, b'{"schema": 2}')
    ((key, finding),) = problems(harness).items()
    assert key == ("error", "style/16")
    assert finding.mend.startswith("Upgrade with")


def test_the_remedy_for_an_unreadable_manifest_is_a_rebuild(harness):
    harness.store.upload(STYLE.head_key, b"{")
    ((key, finding),) = problems(harness).items()
    assert key == ("error", "style/16")
    assert job_of(finding.mend) == Sweep(kind="style", id="16", rebuild=True)


@pytest.mark.parametrize("folder", ["pages/", "sidecars/"])
def test_a_lost_page_is_an_error_although_no_file_differs(harness, folder):
    harness.commit(harness.upload(*(f"{number}.jpg" for number in range(20))))
    harness.commit(harness.upload("prompt_metadata.json", body=b'{"a.jpg": "a fox"}'))
    assert problems(harness) == {}
    lost = next(key for key in harness.store.objects if key.startswith(STYLE.folder + folder))
    harness.store.remove(lost)
    ((key, finding),) = problems(harness).items()
    assert key == ("error", "style/16")
    assert lost in finding.found
    assert job_of(finding.mend) == Sweep(kind="style", id="16", rebuild=True)


def test_a_modified_page_is_an_error_although_no_file_differs(harness):
    harness.commit(harness.upload(*(f"{number}.jpg" for number in range(20))))
    key = harness.head().pages[0].key
    harness.store.upload(key, harness.store.objects[key][1].replace(b'"prompt":null', b'"prompt":"x"', 1))
    ((subject, finding),) = problems(harness).items()
    assert subject == ("error", "style/16")
    assert key in finding.found


def test_a_collection_that_cannot_be_read_is_not_checked(harness, monkeypatch):
    def refused(key):
        raise ReadFailed(key, "not read: 403")

    monkeypatch.setattr(harness.store, "get", refused)
    ((key, finding),) = problems(harness).items()
    assert key == ("not_checked", "style/16")
    assert "403" in finding.found


def test_a_collection_after_the_deadline_is_not_checked(harness):
    assert set(problems(harness, seconds=0)) == {("not_checked", "bucket")}


def test_a_manifest_without_a_sweep_for_two_intervals_is_a_warning(harness):
    created = datetime.fromisoformat(harness.head().created_at)
    assert problems(harness, now=created + 2 * DAY) == {}
    assert set(problems(harness, now=created + 2.1 * DAY)) == {("warning", "style/16")}
    assert problems(harness, now=created + 2.1 * DAY, interval=None) == {}


def test_an_incomplete_manifest_is_a_warning(harness):
    head = harness.head().model_copy(update={"complete": False})
    harness.store.upload(STYLE.head_key, heads.encode_head(head))
    assert set(problems(harness)) == {("warning", "style/16")}


def test_problems_with_sidecars_are_a_notice(harness):
    harness.commit(harness.upload("prompt_metadata.json", body=b"{"))
    assert set(problems(harness)) == {("notice", "style/16")}


def test_an_id_cannot_inject_a_command():
    odd = COLLECTIONS.lookup("style", "1'; rm -rf ~ #\n\"é")
    command = STACK.sweep_command(odd)
    assert len(shlex.split(command)) == 7
    assert job_of(command) == Sweep(kind="style", id=odd.id)
