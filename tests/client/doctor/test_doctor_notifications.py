"""Whether S3 tells the queue of every change: notification configurations, and what is found wrong with them."""

import pytest

from s3_manifest.subscription.subscription import EVENTS, subscribed
from s3_manifest_cli.client.doctor.checks.notifications import Wanted, judge, topics

QUEUE, OLD_QUEUE, THEIRS = (f"arn:aws:sqs:us-east-1:1:{name}" for name in ("changes", "old", "theirs"))
TOPIC = "arn:aws:sns:us-east-1:1:topic"
WANTED = Wanted("bucket", "s3-manifest-it", QUEUE, ["actors/", "styles/"], "_manifests/", "FIX")
OURS = subscribed({}, WANTED.name, QUEUE, WANTED.prefixes)


def rule(id_="theirs", arn=THEIRS, events=("s3:ObjectCreated:*",), prefix="styles/", **suffix):
    name = "TopicArn" if ":sns:" in arn else "QueueArn"
    # As S3 itself spells the names.
    filters = [{"Name": "Prefix", "Value": prefix}] + [{"Name": "Suffix", "Value": one} for one in suffix.values()]
    return {"Id": id_, name: arn, "Events": list(events), "Filter": {"Key": {"FilterRules": filters}}}


def queues(*rules):
    return {"QueueConfigurations": list(rules)}


def wrong(configuration, forwarding=()):
    """What was found, by subject, but for what is well."""
    found = judge(configuration, WANTED, forwarding)
    return {(one.severity, one.subject): one for one in found if one.severity != "ok"}


def test_what_the_stack_itself_configures_is_well():
    assert {(one.severity, one.subject) for one in judge(OURS, WANTED)} == {("ok", "actors/"), ("ok", "styles/")}


def test_where_nothing_is_configured_no_prefix_is_told_of_and_fix_mends_it():
    found = wrong({})
    assert set(found) == {("error", "actors/"), ("error", "styles/")}
    assert {one.mend for one in found.values()} == {"FIX"}


ALL = EVENTS
MINE = WANTED.name + "-0"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule(MINE, QUEUE, ALL)], {}),
        # The types one by one are as good as all of them.
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
            {("error", "styles/"): "FIX"},
        ),
        ([rule(MINE, QUEUE, [e for e in ALL if "Created" not in e])], {("error", "styles/"): "FIX"}),
        ([rule(MINE, QUEUE, [e for e in ALL if "Expiration" not in e])], {("warning", "styles/"): "FIX"}),
        ([rule(MINE, QUEUE, ALL, "styles/1")], {("error", "styles/"): "FIX"}),
        ([rule(MINE, QUEUE, ALL, suffix=".png")], {("error", "styles/"): "FIX"}),
        # And so is more than the type that is needed.
        ([rule(MINE, QUEUE, [*(e for e in ALL if "Restore" not in e), "s3:ObjectRestore:*"])], {}),
        ([rule(MINE, QUEUE, [e for e in ALL if "Restore" not in e])], {("warning", "styles/"): "FIX"}),
        # An old queue of ours.
        ([rule(MINE, OLD_QUEUE, ALL)], {("error", "styles/"): "FIX", ("error", MINE): "FIX"}),
        (
            [rule(MINE, QUEUE, ALL), rule(WANTED.name + "-7", OLD_QUEUE, ALL, "gone/")],
            {("error", WANTED.name + "-7"): "FIX"},
        ),
        (
            [rule(MINE, QUEUE, ALL), rule(WANTED.name + "-7", QUEUE, ALL, "gone/")],
            {("warning", WANTED.name + "-7"): "FIX"},
        ),
        # The stack whose name begins with ours.
        ([rule(MINE, QUEUE, ALL), rule(WANTED.name + "-2-7", OLD_QUEUE, ALL, "gone/")], {}),
        # Manifests tell of themselves.
        ([rule(MINE, QUEUE, ALL, "")], {("error", MINE): "FIX"}),
        (
            [rule(MINE, QUEUE, ALL), rule("by hand", QUEUE, ALL, "_manifests/styles/")],
            {("error", "by hand"): "take 'by hand' out"},
        ),
        ([rule("by hand", QUEUE, ALL)], {("notice", "by hand"): ""}),
        # Somebody else's.
        ([rule(MINE, QUEUE, ALL), rule(prefix="invoices/")], {}),
        ([rule(MINE, QUEUE, ALL), rule(prefix="")], {("notice", "theirs"): ""}),
        ([rule(MINE, QUEUE, ALL), rule(events=["s3:ObjectTagging:*"])], {}),
        ([rule()], {("error", "styles/"): "FIX", ("error", "theirs"): "SNS topic"}),
        (
            [rule(prefix="styles/16/", events=["s3:ObjectCreated:Put"])],
            {("error", "styles/"): "FIX", ("error", "theirs"): "SNS"},
        ),
    ],
)
def test_each_thing_wrong_is_found_with_its_mend(rules, expected):
    found = wrong(queues(rule(WANTED.name + "-1", QUEUE, ALL, "actors/"), *rules))
    assert set(found) == set(expected)
    assert all(expected[key] in one.mend for key, one in found.items())


def test_a_topic_that_hands_on_to_the_queue_is_as_good_and_only_such_are_asked_for():
    configuration = queues(rule(MINE, QUEUE, ALL, "actors/")) | {
        "TopicConfigurations": [rule("fan-out", TOPIC, ALL), rule("other", TOPIC + "-2", ALL, "invoices/")]
    }
    assert topics(configuration, WANTED) == [TOPIC]
    assert wrong(configuration, [TOPIC]) == {}
    assert set(wrong(configuration)) == {("error", "styles/"), ("error", "fan-out")}


def test_eventbridge_is_no_stand_in():
    found = wrong({"EventBridgeConfiguration": {}})
    assert ("notice", "EventBridge") in found
    assert wrong(OURS | {"EventBridgeConfiguration": {}}) == {}
