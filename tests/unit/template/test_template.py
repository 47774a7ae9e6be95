"""The template's settings fit together."""

from typing import Any

import pytest

from s3_manifest_cli.local_stack.stack import template

PARAMETERS: dict[str, Any] = template()["Parameters"]
RESOURCES: dict[str, Any] = template()["Resources"]
MAPPINGS: dict[str, Any] = template()["Mappings"]
TIMEOUTS = [int(timeout) for timeout in PARAMETERS["ReconcileTimeout"]["AllowedValues"]]
WINDOWS = [int(window) for window in PARAMETERS["BatchingWindowSeconds"]["AllowedValues"]]
FULLEST_WAIT = 20
"""The seconds that Lambda may collect messages when traffic is low, with any smaller window."""


def by_both(mapping: str, timeout: int, window: int) -> int:
    return MAPPINGS[mapping][str(timeout)][str(window)]


def test_the_mappings_have_a_value_for_each_timeout_and_window():
    for mapping in ("VisibilityTimeout", "ChangesLate"):
        assert {int(timeout) for timeout in MAPPINGS[mapping]} == set(TIMEOUTS)
        assert all({int(window) for window in row} == set(WINDOWS) for row in MAPPINGS[mapping].values())


@pytest.mark.parametrize("timeout", TIMEOUTS)
@pytest.mark.parametrize("window", WINDOWS)
def test_a_message_stays_invisible_for_six_timeouts_and_the_window(timeout, window):
    assert by_both("VisibilityTimeout", timeout, window) == 6 * timeout + window


@pytest.mark.parametrize("timeout", TIMEOUTS)
@pytest.mark.parametrize("window", WINDOWS)
def test_no_legal_configuration_makes_a_change_late(timeout, window):
    gathering = max(window, FULLEST_WAIT) if window else 0
    assert by_both("ChangesLate", timeout, window) >= gathering + timeout + 240


def test_the_queue_and_its_alarm_depend_on_both_parameters():
    both = [{"Ref": "ReconcileTimeout"}, {"Ref": "BatchingWindowSeconds"}]
    queue = RESOURCES["ChangeQueue"]["Properties"]
    assert queue["VisibilityTimeout"] == {"Fn::FindInMap": ["VisibilityTimeout", *both]}
    alarm = RESOURCES["ChangesLateAlarm"]["Properties"]
    assert alarm["Threshold"] == {"Fn::FindInMap": ["ChangesLate", *both]}


def test_by_default_no_change_waits_for_others():
    # More than ten messages in a batch require a window.
    source = RESOURCES["ReconcileFunction"]["Properties"]["Events"]["Changes"]["Properties"]
    assert PARAMETERS["BatchingWindowSeconds"]["Default"] == 0
    assert source["MaximumBatchingWindowInSeconds"] == {"Ref": "BatchingWindowSeconds"}
    assert source["BatchSize"] == {"Fn::If": ["GathersChanges", 1000, 10]}
    condition = template()["Conditions"]["GathersChanges"]
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": "BatchingWindowSeconds"}, "0"]}]}


def test_the_sweep_queue_hides_a_message_for_six_timeouts():
    timeout = RESOURCES["SweepFunction"]["Properties"]["Timeout"]
    assert RESOURCES["SweepQueue"]["Properties"]["VisibilityTimeout"] == 6 * timeout
