import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from s3_manifest.manifest.collections import DEFAULT_ROOT, parse_collections
from s3_manifest.reconcile.events import MalformedEvent, ObjectEvent, decode, decode_body
from s3_manifest_cli.local_stack.stack import BUCKET, PARAMETERS

SAMPLES = Path(__file__).parents[3] / "events"


def record(key="styles/16/a.jpg", name="ObjectCreated:Put", **fields):
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-03-01T08:00:00.000Z",
        "eventName": name,
        "userIdentity": {"principalId": "AWS:X"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "b", "arn": "arn:aws:s3:::b"},
            "object": {"key": key, "size": 3, "eTag": "0" * 32, "sequencer": "0055AED6DCD90281E5"},
        },
    } | fields


def body(*records):
    return json.dumps({"Records": list(records)})


def keys(text):
    return [change.key for change in decode_body(text)]


def without(path):
    """A record that lacks the field at the dotted path."""
    *steps, last = path.split(".")
    incomplete = record()
    parent = incomplete
    for step in steps:
        parent = parent[step]
    del parent[last]
    return incomplete


@pytest.mark.parametrize(
    "name",
    [
        "ObjectCreated:Put",
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:Delete",
        "LifecycleExpiration:DeleteMarkerCreated",
        "LifecycleTransition",
        "ObjectSomething:NotInventedYet",
    ],
)
def test_every_kind_of_event_names_a_key_to_observe(name):
    (change,) = decode_body(body(record(name=name)))
    assert change == ObjectEvent("b", "styles/16/a.jpg", name, "2026-03-01T08:00:00.000Z")


def test_a_removal_without_size_and_etag_is_accepted():
    removed = record(name="ObjectRemoved:Delete")
    removed["s3"]["object"] = {"key": "styles/16/a.jpg", "sequencer": "0055AED6DCD90281E5"}
    assert keys(body(removed)) == ["styles/16/a.jpg"]


def test_each_record_of_a_message_is_a_change_in_order():
    assert keys(body(record("b"), record("a"), record("b"))) == ["b", "a", "b"]


def test_an_event_without_records_has_no_changes():
    assert decode_body(body()) == []


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2", "2.3", "2.10"])
def test_any_version_2_is_accepted(version):
    assert keys(body(record(eventVersion=version))) == ["styles/16/a.jpg"]


@pytest.mark.parametrize("version", ["3.0", "1.0", "20.1", "2", "", "12.1", None, 2.1])
def test_any_other_version_is_refused(version):
    with pytest.raises(MalformedEvent, match="eventVersion"):
        decode_body(body(record(eventVersion=version)))


def test_unknown_fields_of_an_event_are_ignored():
    newer = record(glacierEventData={}, lifecycleEventData={"transitionEventData": {}}, somethingNew=[1])
    newer["s3"]["object"]["somethingNew"] = {"deep": None}
    assert keys(json.dumps({"Records": [newer], "More": 1})) == ["styles/16/a.jpg"]


def test_the_time_of_an_event_may_be_missing():
    (change,) = decode_body(body(without("eventTime")))
    assert change.time == ""


@pytest.mark.parametrize(
    "path",
    ["eventVersion", "eventSource", "eventName", "s3", "s3.bucket", "s3.bucket.name", "s3.object", "s3.object.key"],
)
def test_the_error_for_an_incomplete_record_names_the_missing_field(path):
    with pytest.raises(MalformedEvent, match=rf"Records\.0\.{path}: "):
        decode_body(body(without(path)))


@pytest.mark.parametrize(
    "wrong",
    [
        record(""),
        record(None),
        record(7),
        record(eventSource="aws:sqs"),
        record(s3=None),
        record(s3=[]),
        record(eventName=None),
        None,
        "text",
        [],
    ],
    ids=str,
)
def test_one_invalid_record_rejects_the_whole_message(wrong):
    with pytest.raises(MalformedEvent, match="not an S3 notification"):
        decode_body(body(record(), wrong))


TEST_MESSAGE = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b", "RequestId": "5582815E1AEA5ADF"}


def test_the_test_message_of_s3_names_no_key():
    assert decode_body(json.dumps(TEST_MESSAGE)) == []


def test_the_records_of_a_test_message_are_decoded():
    assert keys(json.dumps(TEST_MESSAGE | {"Records": [record("k")]})) == ["k"]


def sns(message, **fields):
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": message} | fields)


def test_a_notification_wrapped_by_sns_is_unwrapped():
    assert keys(sns(body(record("k")), Subject="Amazon S3 Notification", SignatureVersion="1")) == ["k"]


def test_a_test_message_wrapped_by_sns_names_no_key():
    assert decode_body(sns(json.dumps(TEST_MESSAGE))) == []


@pytest.mark.parametrize("message", [None, {"Records": []}, "", "words of a person", "[]"], ids=str)
def test_an_sns_message_without_a_notification_is_refused(message):
    with pytest.raises(MalformedEvent):
        decode_body(sns(message))


def test_an_event_passed_by_lambda_is_decoded_like_its_json():
    assert decode({"Records": [record("a+b")]}) == decode_body(body(record("a+b")))


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("a+b.jpg", "a b.jpg"),
        ("a%2Bb.jpg", "a+b.jpg"),
        ("a%20b.jpg", "a b.jpg"),
        ("100%25.jpg", "100%.jpg"),
        ("a%252Fb", "a%2Fb"),
        ("a%2Fb", "a/b"),
        ("caf%C3%A9.jpg", "café.jpg"),
        ("cafe%CC%81.jpg", "cafe\u0301.jpg"),
        ("%F0%9F%8E%A8.png", "🎨.png"),
        ("%E7%94%BB.png", "画.png"),
        ("a%0Ab%00", "a\nb\x00"),
        ("..%2F..%2Fetc", "../../etc"),
        ("+", " "),
    ],
)
def test_a_key_is_decoded_once(encoded, key):
    assert keys(body(record(encoded))) == [key]


@pytest.mark.parametrize("key", ["a b+c%d/é/🎨 ?#&=;'\"<>\\", "//", " ", "%41", "a\u2028b"])
def test_every_key_encoded_by_s3_is_decoded_unchanged(key):
    assert keys(body(record(quote_plus(key, safe="/")))) == [key]


@pytest.mark.parametrize("encoded", ["%FF", "caf%E9.jpg", "%C3", "%ED%A0%80", "%C0%AF"])
def test_a_key_that_is_not_utf_8_is_refused(encoded):
    with pytest.raises(MalformedEvent, match="not percent-encoded UTF-8"):
        decode_body(body(record(encoded)))


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(MalformedEvent):
        decode({"Records": [record("\ud800")]})


@pytest.mark.parametrize("key", ["k" * 1024, "é" * 512])
def test_a_key_of_1024_bytes_is_accepted(key):
    assert keys(body(record(quote_plus(key)))) == [key]


@pytest.mark.parametrize("key", ["k" * 1025, "é" * 513])
def test_a_longer_key_is_refused(key):
    with pytest.raises(MalformedEvent, match="S3 allows 1024"):
        decode_body(body(record(quote_plus(key))))


@pytest.mark.parametrize("text", ["", "{", "hello", "{'Records': []}", '{"Records": []} x', "\x00"])
def test_a_message_that_is_not_json_is_refused(text):
    with pytest.raises(MalformedEvent, match="not JSON"):
        decode_body(text)


@pytest.mark.parametrize("text", ["[]", f"[{body(record())}]", "1", '"text"', "null", "true"])
def test_json_that_is_not_an_object_is_refused(text):
    with pytest.raises(MalformedEvent, match="not a JSON object"):
        decode_body(text)


@pytest.mark.parametrize("text", ["{}", '{"Records": null}', '{"Records": {}}', '{"Event": "other"}'])
def test_an_object_without_a_list_of_records_is_refused(text):
    with pytest.raises(MalformedEvent, match="Records"):
        decode_body(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"Records":' * 100_000, body(record()).replace("3", "[" * 9999)])
def test_a_deeply_nested_message_is_refused(text):
    with pytest.raises(MalformedEvent):
        decode_body(text)


def test_nested_sns_envelopes_are_unwrapped():
    text = body(record("k"))
    for _ in range(8):
        text = sns(text)
    assert keys(text) == ["k"]


def bridge(key="styles/16/a.jpg", kind="Object Created", **fields):
    """An event as EventBridge delivers it: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html"""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-03-01T08:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:s3:::b"],
        "detail": {
            "version": "0",
            "bucket": {"name": "b"},
            "object": {"key": key, "size": 5, "etag": "0" * 32, "sequencer": "617f08299329d189"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "reason": "PutObject",
        },
    } | fields


@pytest.mark.parametrize(
    "kind",
    [
        "Object Created",
        "Object Deleted",
        "Object Restore Completed",
        "Object Restore Expired",
        "Object Storage Class Changed",
        "Object Access Tier Changed",
        "Object Not Invented Yet",
    ],
)
def test_every_eventbridge_event_of_s3_names_a_key_to_observe(kind):
    (change,) = decode_body(json.dumps(bridge(kind=kind)))
    assert change == ObjectEvent("b", "styles/16/a.jpg", kind, "2026-03-01T08:00:00Z")


@pytest.mark.parametrize(
    "key", ["a+b.jpg", "a b.jpg", "100%.jpg", "a%2Bb", "%41", "%FF", "café.jpg", "🎨.png", "a\nb\x00"]
)
def test_a_key_from_eventbridge_is_not_percent_encoded(key):
    assert keys(json.dumps(bridge(key))) == [key]


def test_a_deletion_from_eventbridge_names_neither_size_nor_etag():
    event = bridge(kind="Object Deleted")
    event["detail"]["object"] = {"key": "k", "sequencer": "617f0837b476e463"}
    assert keys(json.dumps(event | {"replay-name": "again"})) == ["k"]


def test_an_eventbridge_event_wrapped_by_sns_is_unwrapped():
    assert keys(sns(json.dumps(bridge("k+%")))) == ["k+%"]


def test_an_eventbridge_event_passed_by_lambda_is_decoded_like_its_json():
    assert decode(bridge("a+b")) == decode_body(json.dumps(bridge("a+b")))


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (bridge(source="aws.ec2"), "source"),
        (bridge(source=None), "source"),
        (bridge(**{"detail-type": 7}), "detail-type"),
        (bridge(detail=None), "detail"),
        (bridge(detail={}), r"detail\.bucket"),
        (bridge(detail={"bucket": {"name": "b"}, "object": {}}), r"detail\.object\.key"),
        (bridge(detail={"bucket": {"name": ""}, "object": {"key": "k"}}), r"detail\.bucket\.name"),
        (bridge(""), r"detail\.object\.key"),
        (bridge(time=7), "time"),
    ],
    ids=str,
)
def test_the_error_for_another_eventbridge_event_names_the_field(wrong, where):
    with pytest.raises(MalformedEvent, match=rf"not an EventBridge event of S3: {where}: "):
        decode_body(json.dumps(wrong))


@pytest.mark.parametrize("key", ["k" * 1025, "é" * 513])
def test_a_longer_key_from_eventbridge_is_refused(key):
    with pytest.raises(MalformedEvent, match="S3 allows 1024"):
        decode_body(json.dumps(bridge(key)))


def test_half_a_surrogate_pair_from_eventbridge_is_refused():
    with pytest.raises(MalformedEvent):
        decode(bridge("\ud800"))


@pytest.mark.parametrize(
    ("sample", "collection"),
    [
        ("s3-put", "s3://storyboard-user-files/styles/16/"),
        ("s3-put-odd-key", "s3://storyboard-user-files/styles/16/"),
        ("s3-copy", "s3://storyboard-user-files/styles/16/"),
        ("s3-multipart", "s3://storyboard-user-files/styles/16/"),
        ("s3-delete", "s3://storyboard-user-files/styles/16/"),
        ("s3-delete-marker", "s3://storyboard-user-files/styles/16/"),
        ("s3-put-actor", "s3://story-boards-assets/system_actors/training_data/7/"),
        ("s3-lifecycle-expiration", "s3://story-boards-assets/system_actors/training_data/7/"),
    ],
)
def test_a_sample_event_names_a_collection_of_the_stack_with_two_buckets(sample, collection):
    collections = parse_collections(PARAMETERS["Collections"], DEFAULT_ROOT, BUCKET)
    (event,) = decode(json.loads((SAMPLES / f"{sample}.json").read_text()))
    found = collections.collection_of(event.bucket, event.key)
    assert f"s3://{found.bucket}/{found.prefix}" == collection


def test_the_sample_batch_has_events_of_both_buckets():
    records = json.loads((SAMPLES / "sqs-batch.json").read_text())["Records"]
    events = [event for index in (1, 2, 4, 5) for event in decode_body(records[index]["body"])]
    assert [(event.bucket, event.key.partition("/")[0]) for event in events] == [
        ("storyboard-user-files", "styles"),
        ("story-boards-assets", "system_actors"),
        ("storyboard-user-files", "exports"),
        ("storyboard-user-files", "styles"),
    ]
