"""Announcements reach the rules on the bus."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET

PATTERN = {
    "source": ["s3-manifest"],
    "detail-type": ["Manifest Changed"],
    "detail": {"kind": ["style"], "id": [{"prefix": "announced"}]},
}


@pytest.fixture
def received(stack) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Returns the events that a rule on the default bus has sent to a queue since the last call."""
    sqs, events = stack.platform.client("sqs"), stack.platform.client("events")
    queue = sqs.create_queue(QueueName="interested")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="interested", EventPattern=json.dumps(PATTERN))
    events.put_targets(Rule="interested", Targets=[{"Id": "queue", "Arn": arn}])

    def received() -> list[dict[str, Any]]:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]

    yield received
    # Other tests of the stack list its rules.
    events.remove_targets(Rule="interested", Ids=["queue"])
    events.delete_rule(Name="interested")
    sqs.delete_queue(QueueUrl=queue)


def test_each_revision_reaches_a_rule_that_matches_its_kind(stack, s3, style, manifest_when, received, eventually):
    style = f"announced größe 🎨 {style}"
    key = f"styles/{style}/image.png"
    s3.put_object(Bucket=ACTOR_BUCKET, Key="system_actors/training_data/announced/a.png", Body=b"of another kind")
    s3.put_object(Bucket=stack.bucket, Key=key, Body=b"bytes")
    manifest = manifest_when(style, lambda m: m["total_files"] == 1)
    (event,) = eventually(received, bool)
    assert (event["source"], event["detail-type"]) == ("s3-manifest", "Manifest Changed")
    detail = event["detail"]
    assert (detail["id"], detail["revision"], detail["commit"]) == (style, 1, manifest["last_change"])
    assert detail["keys"] == {"added": [key], "modified": [], "removed": []}
    assert detail["total_size_bytes"] == 5

    s3.delete_object(Bucket=stack.bucket, Key=key)
    (event,) = eventually(received, bool)
    assert (event["detail"]["revision"], event["detail"]["keys"]["removed"]) == (2, [key])
