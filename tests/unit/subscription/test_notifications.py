"""A bucket's notification configuration: merged, written, verified, retried."""

import copy
from functools import partial
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from s3_manifest.subscription.notifications import (
    EVENTS,
    BucketNotifications,
    NotReadable,
    NotSubscribed,
    Superseded,
    with_eventbridge,
    with_queue,
    without_eventbridge,
    without_queue,
)
from s3_manifest.subscription.retrying import RetryPolicy

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


def own(*prefixes):
    return with_queue({}, NAME, ARN, prefixes)["QueueConfigurations"]


def test_an_empty_bucket_gets_one_configuration_for_each_prefix():
    assert with_queue({}, NAME, ARN, ["actors/", "styles/"]) == {
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


def test_the_events_include_lifecycle_actions_and_completed_restores():
    assert set(EVENTS) >= {
        "s3:ObjectCreated:*",
        "s3:ObjectRemoved:*",
        "s3:LifecycleExpiration:*",
        "s3:LifecycleTransition",
        "s3:ObjectRestore:Completed",
    }


def test_every_event_is_known_to_s3():
    event: Any = boto3.client("s3", region_name="us-east-1").meta.service_model.shape_for("Event")
    assert set(EVENTS) <= set(event.enum)


def test_configurations_of_others_stay_unchanged():
    merged = with_queue(OTHERS, NAME, ARN, ["styles/"])
    assert merged["QueueConfigurations"] == [*OTHERS["QueueConfigurations"], *own("styles/")]
    del merged["QueueConfigurations"]
    assert merged == {name: value for name, value in OTHERS.items() if name != "QueueConfigurations"}


def test_the_configuration_is_not_modified_in_place():
    original = copy.deepcopy(OTHERS)
    with_queue(original, NAME, ARN, ["styles/"])
    without_queue(original, NAME)
    assert original == OTHERS


def test_subscribing_again_changes_nothing():
    once = with_queue(OTHERS, NAME, ARN, ["actors/", "styles/"])
    assert with_queue(once, NAME, ARN, ["actors/", "styles/"]) == once


def test_a_prefix_that_is_no_longer_needed_is_removed():
    before = with_queue(OTHERS, NAME, ARN, ["actors/", "styles/"])
    assert with_queue(before, NAME, ARN, ["brushes/"]) == with_queue(OTHERS, NAME, ARN, ["brushes/"])


def test_unsubscribing_leaves_exactly_the_configurations_of_others():
    assert without_queue(with_queue(OTHERS, NAME, ARN, ["actors/", "styles/"]), NAME) == OTHERS
    assert without_queue(with_queue({}, NAME, ARN, ["styles/"]), NAME) == {}


def test_unsubscribing_without_a_subscription_changes_nothing():
    assert without_queue(OTHERS, NAME) == OTHERS


@pytest.mark.parametrize("other", [f"{NAME}-dev", f"{NAME}-2", f"{NAME}s"])
def test_a_stack_whose_name_begins_with_this_ones_keeps_its_configurations(other):
    foreign = with_queue({}, other, "arn:theirs", ["styles/"])
    assert without_queue(foreign, NAME) == foreign


def test_the_response_metadata_is_not_sent_back():
    assert without_queue({"ResponseMetadata": {"HTTPStatusCode": 200}}, NAME) == {}


class Bucket:
    """The two calls of a boto3 client, and what other parties do in the meantime.

    ``after_put`` is called with the bucket after each write. The first writes raise ``refusals``, the first reads
    ``unreadable``: error codes or errors. ``missing`` are destinations that do not exist.
    """

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self, configuration=None, after_put=lambda bucket: None, refusals=(), unreadable=(), missing=()):
        self.configuration = configuration or {}
        self.after_put = after_put
        self.refusals = list(refusals)
        self.unreadable = list(unreadable)
        self.missing = missing
        self.puts = 0

    def get_bucket_notification_configuration(self, **_):
        if self.unreadable:
            raise failure(self.unreadable.pop(0), "GetBucketNotificationConfiguration")
        return copy.deepcopy(self.configuration) | {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def put_bucket_notification_configuration(self, **request):
        self.puts += 1
        if self.refusals:
            raise failure(self.refusals.pop(0), "PutBucketNotificationConfiguration")
        if not request.get("SkipDestinationValidation"):
            queues = request["NotificationConfiguration"].get("QueueConfigurations", ())
            if missing := {queue["QueueArn"] for queue in queues} & set(self.missing):
                raise failure(invalid_destination(*missing), "PutBucketNotificationConfiguration")
        self.configuration = request["NotificationConfiguration"]
        self.after_put(self)


def failure(error, operation):
    if isinstance(error, Exception):
        return error
    response = {"Error": {"Code": error}} if isinstance(error, str) else error
    return ClientError(response, operation)


def invalid_destination(*arns):
    """S3's response to destinations that it cannot send to."""
    error = {"Code": "InvalidArgument", "Message": "Unable to validate the following destination configurations"}
    for number, arn in enumerate(arns, 1):
        error |= {f"ArgumentName{number}": arn, f"ArgumentValue{number}": "The destination queue does not exist"}
    return {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}


def subscribe(current):
    return with_queue(current, NAME, ARN, ["styles/"])


def unsubscribe(current):
    return without_queue(current, NAME)


def applied(bucket, change=subscribe, *, is_removal=False, queue_arn="", is_latest=lambda: True, pauses=None, **policy):
    """Writes a change; returns the pauses between attempts."""
    pauses = [] if pauses is None else pauses
    notifications = BucketNotifications(bucket, "b", RetryPolicy(pauses.append, **policy), is_latest)
    notifications.apply(change, None if is_removal else queue_arn)
    return pauses


def undoing(times, configuration):
    """Another party whose write, started before ours, arrives after it, ``times`` times."""
    pending = [configuration] * times

    def undo(bucket):
        if pending:
            bucket.configuration = pending.pop()

    return undo


def test_a_subscription_is_written_once_without_interference():
    bucket = Bucket(OTHERS)
    assert applied(bucket) == []
    assert bucket.configuration == subscribe(OTHERS)
    assert bucket.puts == 1


def test_a_subscription_that_another_party_overwrote_is_merged_again():
    foreign = {"QueueConfigurations": [queue("new")]}
    bucket = Bucket(OTHERS, undoing(2, foreign))
    pauses = applied(bucket)
    assert bucket.configuration == subscribe(foreign)
    assert bucket.puts == 3
    assert len(pauses) == 2
    assert all(pause > 0 for pause in pauses)


def test_a_change_of_prefix_that_another_party_overwrote_is_written_again():
    earlier = with_queue({}, NAME, ARN, ["old/"])
    bucket = Bucket(earlier, undoing(1, earlier))
    applied(bucket)
    assert bucket.configuration == subscribe({})


def test_a_removal_that_another_party_overwrote_is_written_again():
    bucket = Bucket(subscribe({}), undoing(1, subscribe({})))
    applied(bucket, lambda current: without_queue(current, NAME))
    assert bucket.configuration == {}


def test_a_queue_whose_policy_has_not_propagated_is_retried():
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
def test_a_subscription_fails_after_about_a_minute_with_the_reason(bucket, words):
    pauses = []
    with pytest.raises(NotSubscribed, match=f"bucket b: .*{words}"):
        applied(bucket, pauses=pauses)
    assert 30 <= sum(pauses) <= 120
    assert bucket.puts == len(pauses)


@pytest.mark.parametrize("code", ["NoSuchBucket", "MalformedXML", "InvalidRequest"])
def test_a_permanent_error_is_raised_immediately(code):
    bucket = Bucket(refusals=[code])
    with pytest.raises(ClientError, match=code):
        applied(bucket)
    assert bucket.puts == 1


UNAVAILABLE = {"Error": {"Code": "Odd"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
TIMEOUT = ReadTimeoutError(endpoint_url="https://s3")
BROKEN_OFF = ResponseParserError("Unable to parse response (no element found)")


@pytest.mark.parametrize("fault", ["AccessDenied", "OperationAborted", UNAVAILABLE, TIMEOUT, BROKEN_OFF], ids=str)
def test_temporary_errors_are_retried_for_reads_and_writes(fault):
    bucket = Bucket(refusals=[fault], unreadable=[fault])
    assert len(applied(bucket)) == 2
    assert bucket.configuration == subscribe({})


def test_a_lasting_denial_names_the_permissions_and_the_bucket():
    with pytest.raises(
        NotSubscribed, match=r"bucket b: .*AccessDenied.*allow this role s3:GetBucketNotification and"
    ) as caught:
        applied(Bucket(refusals=["AccessDenied"] * 99))
    assert not isinstance(caught.value, NotReadable)


def test_a_configuration_that_could_never_be_read_is_a_separate_error():
    with pytest.raises(NotReadable, match="AccessDenied"):
        applied(Bucket(unreadable=["AccessDenied"] * 99))
    with pytest.raises(NotSubscribed) as caught:
        applied(Bucket(unreadable=[TIMEOUT] * 99))
    assert not isinstance(caught.value, NotReadable)


def test_no_attempt_starts_when_the_time_is_nearly_up():
    remaining = [180.0, 120.0, 49.0]
    bucket = Bucket(refusals=["AccessDenied"] * 99)
    with pytest.raises(NotSubscribed, match="AccessDenied"):
        applied(bucket, seconds_left=lambda: remaining.pop(0))
    assert bucket.puts == 2


MISSING = "arn:aws:sqs:us-east-1:1:gone"
WITH_A_MISSING_QUEUE = {"QueueConfigurations": [queue("theirs", QueueArn=MISSING)]}


def test_unsubscribing_succeeds_although_another_destination_is_missing():
    bucket = Bucket(subscribe(WITH_A_MISSING_QUEUE), missing=[MISSING])
    assert applied(bucket, unsubscribe, is_removal=True) == []
    assert bucket.configuration == WITH_A_MISSING_QUEUE


def test_unsubscribing_writes_only_if_it_removes_something():
    bucket = Bucket(OTHERS, refusals=["AccessDenied"] * 99)
    assert applied(bucket, unsubscribe, is_removal=True) == []
    assert bucket.puts == 0


def test_subscribing_succeeds_although_destinations_of_others_are_invalid():
    bucket = Bucket(WITH_A_MISSING_QUEUE, missing=[MISSING])
    assert len(applied(bucket, queue_arn=ARN)) == 1
    assert bucket.configuration == subscribe(WITH_A_MISSING_QUEUE)


def test_this_stacks_queue_is_only_subscribed_if_s3_can_send_to_it():
    bucket = Bucket(subscribe(WITH_A_MISSING_QUEUE), missing=[MISSING, ARN])
    with pytest.raises(NotSubscribed, match=f"{ARN}: The destination queue does not exist"):
        applied(bucket, queue_arn=ARN)
    assert bucket.configuration == subscribe(WITH_A_MISSING_QUEUE)


def test_a_request_that_is_not_the_latest_writes_nothing():
    bucket = Bucket()
    with pytest.raises(Superseded):
        applied(bucket, is_latest=lambda: False)
    assert bucket.puts == 0


turn_on = partial(with_eventbridge, without=NAME)


def test_only_eventbridge_is_turned_on_and_off():
    without = {name: value for name, value in OTHERS.items() if name != "EventBridgeConfiguration"}
    assert turn_on(without) == OTHERS
    assert without_eventbridge(OTHERS) == without


@pytest.mark.parametrize("change", [turn_on, without_eventbridge])
def test_a_change_of_eventbridge_that_another_party_overwrote_is_written_again(change):
    before = {} if change is turn_on else {"EventBridgeConfiguration": {}}
    bucket = Bucket(before, undoing(1, before))
    assert len(applied(bucket, change)) == 1
    assert bucket.configuration == change(before)
