"""Hostile messages among real events end in the dead-letter queue and delay nothing."""

import time
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError
from handlers.hostile_messages import Fate, Hostile, hostile_messages

COUNT = 500
STYLES = ("hostile 0", "hostile 1", "hostile 2", "hostile 3", "hostile 4")


def send(sqs: Any, queue: str, message: Hostile) -> str | None:
    """Returns the message's id; None: the queue rejects it."""
    attributes = {
        name: {"DataType": value["dataType"], "StringValue": value["stringValue"]}
        for name, value in (message.attributes or {}).items()
    }
    try:
        return sqs.send_message(QueueUrl=queue, MessageBody=message.body, MessageAttributes=attributes)["MessageId"]
    except (ClientError, UnicodeEncodeError):
        return None


def drained(sqs: Any, queue: str) -> set[str]:
    """Removes all messages of a queue; returns their bodies."""
    bodies: set[str] = set()
    while received := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in received:
            bodies.add(message["Body"])
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return bodies


@pytest.mark.slow
def test_500_hostile_messages_among_500_uploads_are_all_handled_correctly(stack, s3, eventually, messages_in):
    sqs = stack.platform.client("sqs")
    queue, dead = stack.outputs["ChangeQueueUrl"], stack.outputs["DeadLetterQueueUrl"]
    usual = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "2"})
    sent: dict[str, Hostile] = {}
    uploaded: dict[str, set[str]] = {style: set() for style in STYLES}
    try:
        for number, message in enumerate(hostile_messages(Random(16), COUNT)):
            if message_id := send(sqs, queue, message):
                sent[message_id] = message
            style = STYLES[number % len(STYLES)]
            s3.put_object(Bucket=stack.bucket, Key=f"styles/{style}/{number}.png", Body=b"good")
            uploaded[style].add(f"{number}.png")
        eventually(lambda: messages_in("ChangeQueueUrl"), lambda count: count == 0, seconds=90)
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=usual)
    assert len(sent) > 0.9 * COUNT

    for style, filenames in uploaded.items():
        files = stack.get("/api/s3/manifest", {"styleId": style}).body["files"]
        assert {file["filename"] for file in files} == filenames

    dead_bodies = drained(sqs, dead)
    time.sleep(1)
    log = stack.platform.log.read_text(errors="replace")
    for message_id, message in sent.items():
        if message.fate is Fate.FAILED:
            assert message.body in dead_bodies
        elif message.fate is Fate.DROPPED:
            assert message_id in log
            assert message.body not in dead_bodies
        elif message.fate is Fate.OBSERVED:
            assert message.body not in dead_bodies
