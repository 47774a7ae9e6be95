import copy
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from s3_manifest.subscription import EVENTS, NotSubscribed, apply, subscribed, unsubscribed

NAME, ARN = "s3-manifest-images", "arn:aws:sqs:us-east-1:1:changes"


def queue(id_, **fields):
    return {"Id": id_, "QueueArn": "arn:aws:sqs:us-east-1:1:other", "Events": ["s3:ObjectCreated:*"]} | fields


OTHERS = {
    "TopicConfigurations": [{"Id": "topic", "TopicArn": "arn:aws:sns:x", "Events": ["s3:ObjectRemoved:*"]}],
    "LambdaFunctionConfigurations": [{"Id": f"{NAME}-0", "LambdaFunctionArn": "arn:aws:lambda:x", "Events": ["e"]}],
    "EventBridgeConfiguration": {},
    "QueueConfigurations": [
        queue("theirs"),
        queue(NAME),
        queue("x" + NAME + "-0"),
        {"QueueArn": "arn:no-id", "Events": ["e"]},
    ],
}


def ours(*prefixes):
    return subscribed({}, NAME, ARN, prefixes)["QueueConfigurations"]


def test_an_empty_bucket_gets_one_configuration_for_each_prefix():
    assert subscribed({}, NAME, ARN, ["actors/", "styles/"]) == {
        "QueueConfigurations": [
            {
                "Id": f"{NAME}-{index}",
                "QueueArn": ARN,
                "Events": list(EVENTS),
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
            }
            for index, prefix in enumerate(["actors/", "styles/"])
        ]
    }


def test_we_are_told_of_what_lifecycle_rules_do_as_well():
    assert set(EVENTS) >= {
        "s3:ObjectCreated:*",
        "s3:ObjectRemoved:*",
        "s3:LifecycleExpiration:*",
        "s3:LifecycleTransition",
    }


def test_what_others_configured_is_as_it_was():
    merged = subscribed(OTHERS, NAME, ARN, ["styles/"])
    assert merged["QueueConfigurations"] == [*OTHERS["QueueConfigurations"], *ours("styles/")]
    del merged["QueueConfigurations"]
    assert merged == {name: value for name, value in OTHERS.items() if name != "QueueConfigurations"}


def test_what_others_configured_is_not_altered_in_place():
    given = copy.deepcopy(OTHERS)
    subscribed(given, NAME, ARN, ["styles/"])
    unsubscribed(given, NAME)
    assert given == OTHERS


def test_to_subscribe_twice_is_as_once():
    once = subscribed(OTHERS, NAME, ARN, ["actors/", "styles/"])
    assert subscribed(once, NAME, ARN, ["actors/", "styles/"]) == once


def test_a_prefix_that_is_no_longer_wanted_is_taken_out():
    before = subscribed(OTHERS, NAME, ARN, ["actors/", "styles/"])
    assert subscribed(before, NAME, ARN, ["brushes/"]) == subscribed(OTHERS, NAME, ARN, ["brushes/"])


def test_to_unsubscribe_leaves_exactly_what_others_configured():
    assert unsubscribed(subscribed(OTHERS, NAME, ARN, ["actors/", "styles/"]), NAME) == OTHERS
    assert unsubscribed(subscribed({}, NAME, ARN, ["styles/"]), NAME) == {}


def test_to_unsubscribe_where_we_are_not_subscribed_changes_nothing():
    assert unsubscribed(OTHERS, NAME) == OTHERS


@pytest.mark.parametrize("other", [f"{NAME}-dev", f"{NAME}-2", f"{NAME}s"])
def test_another_stack_whose_name_begins_with_ours_keeps_its_own(other):
    theirs = subscribed({}, other, "arn:theirs", ["styles/"])
    assert unsubscribed(theirs, NAME) == theirs


def test_what_boto3_adds_to_the_answer_is_not_sent_back():
    assert unsubscribed({"ResponseMetadata": {"HTTPStatusCode": 200}}, NAME) == {}


class Bucket:
    """The two calls of a boto3 client, and what others do between them.

    ``after_put`` is run with the bucket after each write, ``refusals`` are raised by the first ones.
    """

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self, configuration=None, after_put=lambda bucket: None, refusals=()):
        self.configuration = configuration or {}
        self.after_put = after_put
        self.refusals = list(refusals)
        self.puts = 0

    def get_bucket_notification_configuration(self, **_):
        return copy.deepcopy(self.configuration) | {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def put_bucket_notification_configuration(self, **request):
        self.puts += 1
        if self.refusals:
            raise ClientError({"Error": {"Code": self.refusals.pop(0)}}, "PutBucketNotificationConfiguration")
        self.configuration = request["NotificationConfiguration"]
        self.after_put(self)


def subscribe(current):
    return subscribed(current, NAME, ARN, ["styles/"])


def applied(bucket, change=subscribe):
    pauses = []
    apply(bucket, "b", change, pauses.append)
    return pauses


def undoing(times, configuration):
    """Somebody whose own write, begun before ours, comes after it: so many times."""
    left = [configuration] * times

    def undo(bucket):
        if left:
            bucket.configuration = left.pop()

    return undo


def test_a_subscription_is_written_once_where_nobody_interferes():
    bucket = Bucket(OTHERS)
    assert applied(bucket) == []
    assert bucket.configuration == subscribe(OTHERS)
    assert bucket.puts == 1


def test_a_subscription_that_somebody_undid_is_written_again_upon_what_they_wrote():
    theirs = {"QueueConfigurations": [queue("new")]}
    bucket = Bucket(OTHERS, undoing(2, theirs))
    pauses = applied(bucket)
    assert bucket.configuration == subscribe(theirs)
    assert bucket.puts == 3
    assert len(pauses) == 2
    assert all(pause > 0 for pause in pauses)


def test_a_change_of_prefix_that_somebody_undid_is_noticed_too():
    earlier = subscribed({}, NAME, ARN, ["old/"])
    bucket = Bucket(earlier, undoing(1, earlier))
    applied(bucket)
    assert bucket.configuration == subscribe({})


def test_an_unsubscription_that_somebody_undid_is_written_again():
    bucket = Bucket(subscribe({}), undoing(1, subscribe({})))
    applied(bucket, lambda current: unsubscribed(current, NAME))
    assert bucket.configuration == {}


def test_a_queue_whose_policy_is_not_known_to_s3_yet_is_tried_again():
    bucket = Bucket(refusals=["InvalidArgument", "InvalidArgument"])
    assert len(applied(bucket)) == 2
    assert bucket.configuration == subscribe({})


@pytest.mark.parametrize(
    ("bucket", "words"),
    [
        (Bucket(after_put=undoing(99, {})), "at the same time"),
        (Bucket(refusals=["InvalidArgument"] * 99), "InvalidArgument"),
    ],
    ids=["undone", "refused"],
)
def test_after_about_a_minute_it_gives_up_and_says_why(bucket, words):
    pauses = []
    with pytest.raises(NotSubscribed, match=f"bucket b: .*{words}"):
        apply(bucket, "b", subscribe, pauses.append)
    assert 30 <= sum(pauses) <= 120
    assert bucket.puts == len(pauses)


def test_a_refusal_that_will_not_pass_is_raised_at_once():
    bucket = Bucket(refusals=["AccessDenied"])
    with pytest.raises(ClientError, match="AccessDenied"):
        applied(bucket)
    assert bucket.puts == 1
