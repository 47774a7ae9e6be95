import copy
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from s3_manifest.subscription.subscription import (
    EVENTS,
    NotReadable,
    NotSubscribed,
    Superseded,
    apply,
    subscribed,
    unsubscribed,
    with_eventbridge,
    without_eventbridge,
)

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


def test_the_events_include_what_lifecycle_rules_do_and_the_end_of_a_restore():
    assert set(EVENTS) >= {
        "s3:ObjectCreated:*",
        "s3:ObjectRemoved:*",
        "s3:LifecycleExpiration:*",
        "s3:LifecycleTransition",
        "s3:ObjectRestore:Completed",
    }


def test_the_events_are_ones_that_s3_knows():
    known = boto3.client("s3", region_name="us-east-1").meta.service_model.shape_for("Event").enum
    assert set(EVENTS) <= set(known)


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

    ``after_put`` is run with the bucket after each write, ``refusals`` are raised by the first writes and
    ``unreadable`` by the first reads: codes, or the whole of an error. ``dead`` are destinations that are gone.
    """

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self, configuration=None, after_put=lambda bucket: None, refusals=(), unreadable=(), dead=()):
        self.configuration = configuration or {}
        self.after_put = after_put
        self.refusals = list(refusals)
        self.unreadable = list(unreadable)
        self.dead = dead
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
            if gone := {one["QueueArn"] for one in queues} & set(self.dead):
                raise failure(invalid_destination(*gone), "PutBucketNotificationConfiguration")
        self.configuration = request["NotificationConfiguration"]
        self.after_put(self)


def failure(found, operation):
    if isinstance(found, Exception):
        return found
    given = {"Error": {"Code": found}} if isinstance(found, str) else found
    return ClientError(given, operation)


def invalid_destination(*arns):
    """S3's answer to a destination that it cannot send to."""
    error = {"Code": "InvalidArgument", "Message": "Unable to validate the following destination configurations"}
    for number, arn in enumerate(arns, 1):
        error |= {f"ArgumentName{number}": arn, f"ArgumentValue{number}": "The destination queue does not exist"}
    return {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}


def subscribe(current):
    return subscribed(current, NAME, ARN, ["styles/"])


def unsubscribe(current):
    return unsubscribed(current, NAME)


def applied(bucket, change=subscribe, **options):
    pauses = []
    apply(bucket, "b", change, pauses.append, **options)
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


@pytest.mark.parametrize("code", ["NoSuchBucket", "MalformedXML", "InvalidRequest"])
def test_a_refusal_that_will_not_pass_is_raised_at_once(code):
    bucket = Bucket(refusals=[code])
    with pytest.raises(ClientError, match=code):
        applied(bucket)
    assert bucket.puts == 1


UNAVAILABLE = {"Error": {"Code": "Odd"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
TIMEOUT = ReadTimeoutError(endpoint_url="https://s3")
BROKEN_OFF = ResponseParserError("Unable to parse response (no element found)")


@pytest.mark.parametrize("fault", ["AccessDenied", "OperationAborted", UNAVAILABLE, TIMEOUT, BROKEN_OFF], ids=str)
def test_what_passes_by_itself_is_tried_again_wherever_it_happens(fault):
    bucket = Bucket(refusals=[fault], unreadable=[fault])
    assert len(applied(bucket)) == 2
    assert bucket.configuration == subscribe({})


def test_a_denial_that_lasts_names_the_permissions_and_the_bucket():
    with pytest.raises(NotSubscribed, match=r"bucket b: .*AccessDenied.*allow s3:GetBucketNotification and") as caught:
        applied(Bucket(refusals=["AccessDenied"] * 99))
    assert not isinstance(caught.value, NotReadable)


def test_a_configuration_that_could_never_be_read_is_told_apart():
    with pytest.raises(NotReadable, match="AccessDenied"):
        applied(Bucket(unreadable=["AccessDenied"] * 99))
    with pytest.raises(NotSubscribed) as caught:
        applied(Bucket(unreadable=[TIMEOUT] * 99))
    assert not isinstance(caught.value, NotReadable)


def test_no_attempt_begins_when_the_time_is_nearly_up():
    left = [180.0, 120.0, 49.0]
    bucket = Bucket(refusals=["AccessDenied"] * 99)
    with pytest.raises(NotSubscribed, match="AccessDenied"):
        applied(bucket, seconds_left=lambda: left.pop(0))
    assert bucket.puts == 2


GONE = "arn:aws:sqs:us-east-1:1:gone"
WITH_A_DEAD_ONE = {"QueueConfigurations": [queue("theirs", QueueArn=GONE)]}


def test_to_unsubscribe_succeeds_where_another_destination_is_gone():
    bucket = Bucket(subscribe(WITH_A_DEAD_ONE), dead=[GONE])
    assert applied(bucket, unsubscribe, removing=True) == []
    assert bucket.configuration == WITH_A_DEAD_ONE


def test_to_unsubscribe_writes_nothing_where_nothing_is_ours():
    bucket = Bucket(OTHERS, refusals=["AccessDenied"] * 99)
    assert applied(bucket, unsubscribe, removing=True) == []
    assert bucket.puts == 0


def test_to_subscribe_goes_on_where_s3_names_only_destinations_of_others_as_invalid():
    bucket = Bucket(WITH_A_DEAD_ONE, dead=[GONE])
    assert len(applied(bucket, queue_arn=ARN)) == 1
    assert bucket.configuration == subscribe(WITH_A_DEAD_ONE)


def test_our_own_queue_is_never_subscribed_unless_s3_could_send_to_it():
    bucket = Bucket(subscribe(WITH_A_DEAD_ONE), dead=[GONE, ARN])
    with pytest.raises(NotSubscribed, match=f"{ARN}: The destination queue does not exist"):
        applied(bucket, queue_arn=ARN)
    assert bucket.configuration == subscribe(WITH_A_DEAD_ONE)


def test_a_request_that_is_not_the_latest_writes_nothing():
    bucket = Bucket()
    with pytest.raises(Superseded):
        applied(bucket, is_latest=lambda: False)
    assert bucket.puts == 0


def test_a_request_that_was_overtaken_while_it_wrote_says_so():
    answers = [True, False]
    bucket = Bucket()
    with pytest.raises(Superseded):
        applied(bucket, is_latest=lambda: answers.pop(0))
    assert bucket.puts == 1


def test_eventbridge_is_turned_on_and_off_beside_what_others_configured():
    without = {name: value for name, value in OTHERS.items() if name != "EventBridgeConfiguration"}
    assert with_eventbridge(without) == OTHERS
    assert without_eventbridge(OTHERS) == without


@pytest.mark.parametrize("change", [with_eventbridge, without_eventbridge])
def test_a_change_of_eventbridge_that_another_party_undid_is_made_again(change):
    before = {} if change is with_eventbridge else {"EventBridgeConfiguration": {}}
    bucket = Bucket(before, undoing(1, before))
    assert len(applied(bucket, change)) == 1
    assert bucket.configuration == change(before)
