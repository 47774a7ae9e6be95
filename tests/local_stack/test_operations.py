"""The dashboard and the alarms refer to existing metrics."""

import json

import pytest

from s3_manifest_cli.local_stack.stack import STACK

RECONCILE = ("EventsReceived", "EventsDropped", "EventsFailed", "Commits", "UnchangedCommits", "Conflicts")
SWEEP = ("Commits", "UnchangedCommits", "Conflicts", "DriftMissing", "DriftUnexpected", "DriftAltered", "Sweeps")


@pytest.fixture
def metrics(stack):
    """Returns the dashboard's metrics: namespace, name and dimension."""
    dashboard = stack.platform.client("cloudwatch").get_dashboard(DashboardName=stack.outputs["DashboardName"])
    widgets = [widget["properties"] for widget in json.loads(dashboard["DashboardBody"])["widgets"]]
    assert {widget["region"] for widget in widgets} == {"us-east-1"}
    displayed = [metric for widget in widgets for metric in widget["metrics"]]
    # The metrics of two stacks in one account are separate.
    assert {tuple(metric[4:6]) for metric in displayed if metric[0] == "S3Manifest"} == {("stack", STACK)}
    return {(metric[0], metric[1], metric[3]) for metric in displayed}


@pytest.fixture
def existing(stack):
    """Returns the names of the stack's resources by namespace."""
    queues = stack.platform.client("sqs").list_queues()["QueueUrls"]
    functions = stack.platform.client("lambda").list_functions()["Functions"]
    return {
        "AWS/SQS": {url.rpartition("/")[2] for url in queues},
        "AWS/Lambda": {function["FunctionName"] for function in functions},
        "AWS/ApiGateway": {stack.outputs["ApiId"]},
        "S3Manifest": {"reconcile", "sweep"},
    }


def test_the_dashboard_shows_the_metrics_of_the_functions_that_emit_them(metrics):
    own = {(name, dimension) for namespace, name, dimension in metrics if namespace == "S3Manifest"}
    reconcile = {(name, "reconcile") for name in (*RECONCILE, "Retries", "Freshness")}
    assert own == reconcile | {(name, "sweep") for name in SWEEP}


def test_the_dashboard_shows_only_existing_metrics(metrics, existing):
    assert {
        (namespace, dimension) for namespace, _, dimension in metrics if dimension not in existing[namespace]
    } == set()
    assert {namespace for namespace, _, _ in metrics} == set(existing)


def test_every_alarm_has_an_existing_metric_and_by_default_no_action(stack, existing):
    alarms = stack.platform.client("cloudwatch").describe_alarms(AlarmNamePrefix="s3-manifest-")["MetricAlarms"]
    assert {alarm["MetricName"] for alarm in alarms} == {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateAgeOfOldestMessage",
        "Errors",
        "RecursiveInvocationsDropped",
        "Drift",
    }
    for alarm in alarms:
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
        # This project's metrics have the stack as a dimension.
        assert dimensions.pop("stack", STACK) == STACK
        assert (alarm["MetricName"] == "Drift") == (len(alarm["Dimensions"]) == 2)
        assert [value in existing[alarm["Namespace"]] for value in dimensions.values()] == [True]
        assert (alarm["AlarmActions"], alarm["TreatMissingData"]) == ([], "notBreaching")
