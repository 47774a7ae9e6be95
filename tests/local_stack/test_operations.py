"""What an operator looks at: a dashboard of what is there, and alarms about it."""

import json

import pytest

from s3_manifest_cli.local_stack.stack import STACK

RECONCILE = ("EventsReceived", "EventsDropped", "EventsFailed", "Commits", "UnchangedCommits", "Conflicts")
SWEEP = ("Commits", "UnchangedCommits", "Conflicts", "DriftMissing", "DriftUnexpected", "DriftAltered", "Sweeps")


@pytest.fixture
def metrics(stack):
    """The dashboard's metrics, each as its namespace, its name, and what it is of."""
    found = stack.platform.client("cloudwatch").get_dashboard(DashboardName=stack.outputs["DashboardName"])
    widgets = [widget["properties"] for widget in json.loads(found["DashboardBody"])["widgets"]]
    assert {widget["region"] for widget in widgets} == {"us-east-1"}
    shown = [metric for widget in widgets for metric in widget["metrics"]]
    # Two stacks in one account must not add up.
    assert {tuple(metric[4:6]) for metric in shown if metric[0] == "S3Manifest"} == {("stack", STACK)}
    return {(metric[0], metric[1], metric[3]) for metric in shown}


@pytest.fixture
def there(stack):
    """The names of what the stack is made of."""
    queues = stack.platform.client("sqs").list_queues()["QueueUrls"]
    functions = stack.platform.client("lambda").list_functions()["Functions"]
    return {
        "AWS/SQS": {url.rpartition("/")[2] for url in queues},
        "AWS/Lambda": {function["FunctionName"] for function in functions},
        "AWS/ApiGateway": {stack.outputs["ApiId"]},
        "S3Manifest": {"reconcile", "sweep"},
    }


def test_the_dashboard_shows_our_own_metrics_by_the_function_that_tells_them(metrics):
    own = {(name, of) for namespace, name, of in metrics if namespace == "S3Manifest"}
    reconcile = {(name, "reconcile") for name in (*RECONCILE, "Retries", "Freshness")}
    assert own == reconcile | {(name, "sweep") for name in SWEEP}


def test_the_dashboard_shows_nothing_that_is_not_there(metrics, there):
    assert {(namespace, of) for namespace, _, of in metrics if of not in there[namespace]} == set()
    assert {namespace for namespace, _, _ in metrics} == set(there)


def test_every_alarm_is_about_something_that_is_there_and_notifies_nobody_unasked(stack, there):
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
        # Our own metrics are of one stack each: others in the account have theirs.
        assert dimensions.pop("stack", STACK) == STACK
        assert (alarm["MetricName"] == "Drift") == (len(alarm["Dimensions"]) == 2)
        assert [value in there[alarm["Namespace"]] for value in dimensions.values()] == [True]
        assert (alarm["AlarmActions"], alarm["TreatMissingData"]) == ([], "notBreaching")
