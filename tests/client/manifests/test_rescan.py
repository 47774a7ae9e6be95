"""Sweeps that are requested, and the drift that they find."""

import json
import time

import pytest

from s3_manifest.query.waiting import Clock
from s3_manifest_cli.client.manifests.rescan import rescan, rescan_all, wait_for
from s3_manifest_cli.errors import NotYet


@pytest.fixture
def deployment(through_s3):
    """Only through S3: ``test_manifests`` proves that the HTTP API returns the same manifests."""
    return through_s3


@pytest.fixture
def clock(sweep_on):
    """A clock whose sleep runs the sweeps."""
    return Clock(time.monotonic, lambda _seconds: sweep_on())


def drift_of(swept):
    return sorted((drift.filename, drift.sort) for drift in swept.drift)


def test_a_sweep_without_differences_has_no_drift(deployment, add, style, clock):
    add({"styles/16/a.png": b"a"})
    request = rescan(deployment.manifests, style)
    swept = wait_for(deployment.manifests, request, 60, clock)
    assert swept.facts.last_verified_at >= request.requested_at
    assert swept.drift == []


def test_drift_is_listed_without_changes_that_events_reported(deployment, add, account, style, clock):
    add({"styles/16/gone.png": b"a", "styles/16/other.png": b"a", "styles/16/kept.png": b"a"})
    account.delete("styles/16/gone.png")
    account.put("styles/16/other.png", b"newer")
    account.put("styles/16/new.png", b"new")
    request = rescan(deployment.manifests, style)
    add({"styles/16/told.png": b"by its event"})
    swept = wait_for(deployment.manifests, request, 60, clock)
    assert drift_of(swept) == [("gone.png", "removed"), ("new.png", "added"), ("other.png", "modified")]
    assert {drift.revision for drift in swept.drift} == {swept.facts.revision}


def test_a_collection_without_a_manifest_has_no_drift(deployment, account, style, clock):
    account.put("styles/16/a.png")
    request = rescan(deployment.manifests, style)
    swept = wait_for(deployment.manifests, request, 60, clock)
    assert (swept.facts.total_files, swept.drift) == (1, None)


def test_an_incomplete_manifest_has_no_drift(deployment, add, account, style, clock):
    add({"styles/16/a.png": b"a"})
    account.put("styles/16/rest.png")
    head = account.manifest("styles/16/") | {"complete": False}
    account.put("_manifests/styles/16/manifest.json", json.dumps(head).encode())
    swept = wait_for(deployment.manifests, rescan(deployment.manifests, style), 60, clock)
    assert (swept.facts.complete, swept.facts.total_files, swept.drift) == (True, 2, None)


def test_drift_that_the_changes_do_not_show_is_unknown(deployment, add, account, style, clock):
    add({"styles/16/a.png": b"a"})
    account.put("styles/16/new.png")
    request = rescan(deployment.manifests, style)
    clock.sleep(0)
    for record in account.below("_manifests/styles/16/changes/"):
        account.delete(record)
    assert wait_for(deployment.manifests, request, 60, clock).drift is None


def test_waiting_for_an_unfinished_sweep_times_out(deployment, add, style, account):
    add({"styles/16/a.png": b"a"})
    request = rescan(deployment.manifests, style)
    with pytest.raises(NotYet, match=request.requested_at):
        wait_for(deployment.manifests, request, 0)
    empty = rescan(deployment.manifests, deployment.collection("style/17"))
    with pytest.raises(NotYet, match="no object"):
        wait_for(deployment.manifests, empty, 0)


def test_all_collections_are_swept_even_without_a_manifest(deployment, add, account, clock):
    add({"styles/1/a.png": b"a", "system_actors/training_data/0042_male/a.png": b"a"})
    account.put("styles/2/a.png")
    requests = rescan_all(deployment).requests
    assert [(request.collection.kind, request.collection.id) for request in requests] == [
        ("actor", "0042_male"),
        ("style", "1"),
    ]
    for request in requests:
        assert wait_for(deployment.manifests, request, 60, clock).drift == []
    assert deployment.manifests.facts(deployment.collection("style/2")).total_files == 1
