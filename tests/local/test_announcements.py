"""What is announced reaches whoever has a rule on the bus."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from unit.values import head_of

from s3_manifest import runtime, settings
from s3_manifest.announcements import announcement
from s3_manifest_cli.platform import ACCESS_KEY, REGION, SECRET_KEY

PATTERN = {"source": ["s3-manifest"], "detail-type": ["Manifest Changed"], "detail": {"kind": ["style"]}}


@pytest.fixture
def announcing(stack, monkeypatch) -> Iterator[Callable[[str], None]]:
    """Gives this process the environment of a function that announces on that bus."""

    known = (settings.settings, runtime._events)

    def forget() -> None:
        for one in known:
            one.cache_clear()

    def announcing(bus: str) -> None:
        for name, value in {
            "BUCKET": stack.bucket,
            "COLLECTIONS": "style=styles/{style_id}/",
            "MANIFEST_ROOT": "_manifests/",
            "EVENT_BUS": bus,
            "S3_MANIFEST_ENDPOINT_URL": stack.platform.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }.items():
            monkeypatch.setenv(name, value)
        forget()

    yield announcing
    forget()


@pytest.fixture
def received(stack) -> Callable[[], list[dict[str, Any]]]:
    """The events that a rule on the default bus has sent into a queue of somebody's."""
    sqs, events = stack.platform.client("sqs"), stack.platform.client("events")
    queue = sqs.create_queue(QueueName="interested")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="interested", EventPattern=json.dumps(PATTERN))
    events.put_targets(Rule="interested", Targets=[{"Id": "queue", "Arn": arn}])

    def received() -> list[dict[str, Any]]:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in messages]

    return received


def test_an_announcement_reaches_a_rule_that_asks_for_its_kind(announcing, received, eventually):
    announcing("default")
    said = announcement(head_of(), added=["styles/16/größe 🎨.png"], altered=[], removed=[])
    runtime.announce(said.model_copy(update={"kind": "actor"}))
    runtime.announce(said)
    (event,) = eventually(received, bool)
    assert (event["source"], event["detail-type"]) == ("s3-manifest", "Manifest Changed")
    assert event["detail"] == said.model_dump(mode="json")


def test_with_announcements_off_nothing_is_sent(announcing, monkeypatch):
    announcing("")
    monkeypatch.setattr(runtime, "_events", lambda: pytest.fail("a client was made"))
    runtime.announce(announcement(head_of(), added=[], altered=[], removed=[]))
