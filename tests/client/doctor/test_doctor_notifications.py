"""The checks of notification configurations: whether the queue receives every change."""

import pytest
from client.doctor_values import STACK

from s3_manifest.subscription.notifications import EVENTS, with_queue
from s3_manifest_cli.client.doctor.checks.notifications import check, topics

QUEUE = STACK.change_queue_arn
OLD_QUEUE, THEIRS = (f"arn:aws:sqs:us-east-1:1:{name}" for name in ("old", "theirs"))
TOPIC = "arn:aws:sns:us-east-1:1:topic"
FIX = "s3-manifest doctor --stack it --fix"
OURS = with_queue({}, "s3-manifest-it", QUEUE, ["actors/", "styles/"])


def rule(id_="theirs", arn=THEIRS, events=("s3:ObjectCreated:*",), prefix="styles/", **suffix):
    name = "TopicArn" if ":sns:" in arn else "QueueArn"
    # S3 returns the names in this spelling.
    filters = [{"Name": "Prefix", "Value": prefix}] + [{"Name": "Suffix", "Value": value} for value in suffix.values()]
    return {"Id": id_, name: arn, "Events": list(events), "Filter": {"Key": {"FilterRules": filters}}}


def queues(*rules):
    return {"QueueConfigurations": list(rules)}


def problems(configuration, forwarding=()):
    """Returns the findings that are not ok, by severity and subject."""
    findings = check(configuration, STACK, forwarding)
    return {(finding.severity, finding.subject): finding for finding in findings if finding.severity != "ok"}


def test_the_configuration_of_the_stack_is_ok():
    findings = check(OURS, STACK)
    assert {(finding.severity, finding.subject) for finding in findings} == {("ok", "actors/"), ("ok", "styles/")}


def test_an_empty_configuration_is_an_error_for_each_prefix_that_fix_repairs():
    findings = problems({})
    assert set(findings) == {("error", "actors/"), ("error", "styles/")}
    assert {finding.mend for finding in findings.values()} == {FIX}


ALL = EVENTS
MINE = "s3-manifest-it-0"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule(MINE, QUEUE, ALL)], {}),
        # All types one by one equal the wildcard.
        (
            [
                rule(
                    MINE,
                    QUEUE,
                    [
                        *(e for e in ALL if "Removed" not in e),
                        "s3:ObjectRemoved:Delete",
                        "s3:ObjectRemoved:DeleteMarkerCreated",
                    ],
                )
            ],
            {},
        ),
        (
            [rule(MINE, QUEUE, [*(e for e in ALL if "Removed" not in e), "s3:ObjectRemoved:Delete"])],
            {("error", "styles/"): FIX},
        ),
        ([rule(MINE, QUEUE, [e for e in ALL if "Created" not in e])], {("error", "styles/"): FIX}),
        ([rule(MINE, QUEUE, [e for e in ALL if "Expiration" not in e])], {("warning", "styles/"): FIX}),
        ([rule(MINE, QUEUE, ALL, "styles/1")], {("error", "styles/"): FIX}),
        ([rule(MINE, QUEUE, ALL, suffix=".png")], {("error", "styles/"): FIX}),
        # A wildcard includes the type that is needed.
        ([rule(MINE, QUEUE, [*(e for e in ALL if "Restore" not in e), "s3:ObjectRestore:*"])], {}),
        ([rule(MINE, QUEUE, [e for e in ALL if "Restore" not in e])], {("warning", "styles/"): FIX}),
        # An old queue of this stack.
        ([rule(MINE, OLD_QUEUE, ALL)], {("error", "styles/"): FIX, ("error", MINE): FIX}),
        (
            [rule(MINE, QUEUE, ALL), rule("s3-manifest-it-7", OLD_QUEUE, ALL, "gone/")],
            {("error", "s3-manifest-it-7"): FIX},
        ),
        (
            [rule(MINE, QUEUE, ALL), rule("s3-manifest-it-7", QUEUE, ALL, "gone/")],
            {("warning", "s3-manifest-it-7"): FIX},
        ),
        # Another stack whose name begins with this one's.
        ([rule(MINE, QUEUE, ALL), rule("s3-manifest-it-2-7", OLD_QUEUE, ALL, "gone/")], {}),
        # Manifests send events about themselves.
        ([rule(MINE, QUEUE, ALL, "")], {("error", MINE): FIX}),
        (
            [rule(MINE, QUEUE, ALL), rule("by hand", QUEUE, ALL, "_manifests/styles/")],
            {("error", "by hand"): '.Id != "by hand"'},
        ),
        ([rule("by hand", QUEUE, ALL)], {("notice", "by hand"): ""}),
        # Rules of another owner.
        ([rule(MINE, QUEUE, ALL), rule(prefix="invoices/")], {}),
        ([rule(MINE, QUEUE, ALL), rule(prefix="")], {("notice", "theirs"): ""}),
        ([rule(MINE, QUEUE, ALL), rule(events=["s3:ObjectTagging:*"])], {}),
        ([rule()], {("error", "styles/"): FIX, ("error", "theirs"): "SNS topic"}),
        (
            [rule(prefix="styles/16/", events=["s3:ObjectCreated:Put"])],
            {("error", "styles/"): FIX, ("error", "theirs"): "SNS"},
        ),
    ],
)
def test_each_problem_is_reported_with_its_remedy(rules, expected):
    findings = problems(queues(rule("s3-manifest-it-1", QUEUE, ALL, "actors/"), *rules))
    assert set(findings) == set(expected)
    assert all(expected[key] in finding.mend for key, finding in findings.items())


def test_a_topic_that_forwards_to_the_queue_counts_and_only_topics_with_our_prefixes_are_queried():
    configuration = queues(rule(MINE, QUEUE, ALL, "actors/")) | {
        "TopicConfigurations": [rule("fan-out", TOPIC, ALL), rule("other", TOPIC + "-2", ALL, "invoices/")]
    }
    assert topics(configuration, STACK) == [TOPIC]
    assert problems(configuration, [TOPIC]) == {}
    assert set(problems(configuration)) == {("error", "styles/"), ("error", "fan-out")}


def test_eventbridge_does_not_replace_notifications():
    findings = problems({"EventBridgeConfiguration": {}})
    assert ("notice", "EventBridge") in findings
    assert problems(OURS | {"EventBridgeConfiguration": {}}) == {}
