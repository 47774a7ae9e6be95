"""The monthly bill that the page on deployment shows."""

import random

import pytest

from benchmarks import cost, freshness, prices
from benchmarks.cost import Deployment
from benchmarks.lambda_queue import IDLE_POLLERS, Source

SMALL = Deployment("small", 40, 4, 30_000)
SOURCE = Source(window=0, batch=10, concurrency=2, timeout=60)


@pytest.fixture
def bill(monkeypatch):
    random.seed(1)
    monkeypatch.setattr(freshness, "MIN_EVENTS", 60)
    return cost.bill(SMALL, SOURCE)


def test_metrics_are_counted_by_name_for_each_function_that_writes_them():
    handlers = {"reconcile": 5, "sweep": 5}
    shared = ("Commits", "UnchangedCommits", "Conflicts")
    assert cost.custom_metrics() == sum(handlers.values()) + len(handlers) * len(shared)


def test_without_changes_most_of_the_bill_is_cloudwatch(bill):
    cloudwatch = sum(dollars for item, dollars in bill.default.items() if item.startswith("CloudWatch"))
    assert cloudwatch > sum(bill.default.values()) / 2


def test_the_bill_includes_empty_polls_of_both_queues(bill):
    idle = IDLE_POLLERS * prices.MONTH_SECONDS / 20 * prices.SQS_REQUEST
    assert bill.default["SQS, polls of the sweep queue"] == pytest.approx(idle)
    changes = 3 * SMALL.changes_a_month * prices.SQS_REQUEST
    assert bill.default["SQS, changes, with polls that find nothing"] == pytest.approx(idle + changes, rel=0.3)


def test_a_single_change_costs_two_writes_and_optionally_an_announcement(bill):
    writes = 2 * SMALL.changes_a_month * prices.S3_WRITE
    assert bill.default["S3 requests of changes"] == pytest.approx(writes, rel=0.3)
    assert bill.options["announcements (`AnnounceChanges`)"] == pytest.approx(0.03, rel=0.1)


def test_options_are_not_on_the_default_bill(bill):
    assert not bill.default.keys() & bill.options.keys()
    assert not any("dashboard" in item.lower() or "announce" in item.lower() for item in bill.default)


def test_a_function_costs_a_fifth_less_on_arm64():
    assert prices.LAMBDA_GB_SECOND["arm64"] / prices.LAMBDA_GB_SECOND["x86_64"] == pytest.approx(0.8, rel=0.001)
