"""The reconcile function drains the change queue: real SQS requests, and which messages are left in it."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import Context, s3_event, sqs_record

import reconcile_handler
from s3_manifest.aws import runtime

POLLER_BATCH = 10


@pytest.fixture
def send(account) -> Callable[[Iterable[str | dict[str, Any]]], None]:
    """Puts messages into the change queue."""

    def send(bodies: Iterable[str | dict[str, Any]]) -> None:
        for body in bodies:
            text = body if isinstance(body, str) else json.dumps(body)
            account.sqs.send_message(QueueUrl=account.queue_url, MessageBody=text)

    return send


@pytest.fixture
def invoke(account) -> Callable[[], list[str]]:
    """Acts as the event source: receives a batch, invokes the function, and deletes the messages that did not fail."""

    def invoke() -> list[str]:
        received = account.sqs.receive_message(
            QueueUrl=account.queue_url, MaxNumberOfMessages=POLLER_BATCH, MessageSystemAttributeNames=["All"]
        )["Messages"]
        receives = [int(item["Attributes"]["ApproximateReceiveCount"]) for item in received]
        records = [
            sqs_record(item["Body"], item["MessageId"], receives=count)
            for item, count in zip(received, receives, strict=True)
        ]
        failed = failed_ids(reconcile_handler.handler({"Records": records}, Context()))
        assert set(failed) <= {item["MessageId"] for item in received}, "Lambda would fail the whole batch"
        for item in received:
            if item["MessageId"] not in failed:
                account.sqs.delete_message(QueueUrl=account.queue_url, ReceiptHandle=item["ReceiptHandle"])
        return failed

    return invoke


@pytest.fixture
def sequential(monkeypatch) -> None:
    """Makes requests sequentially: to concurrent ones moto, like SQS, may return fewer than ten messages."""
    monkeypatch.setattr(runtime, "parallel_map", lambda work, items: [work(item) for item in items])


def in_queue(account) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = account.sqs.get_queue_attributes(QueueUrl=account.queue_url, AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)


def upload(account, count: int) -> list[dict[str, Any]]:
    return [s3_event(f"styles/16/{name}") for name in account.fill("styles/16/", count)]


@pytest.mark.usefixtures("sequential")
def test_a_full_batch_is_committed_with_the_rest_of_the_queue(account, send, invoke, log):
    send(upload(account, 57))
    assert invoke() == []
    assert len(account.files("styles/16/")) == 57
    assert in_queue(account) == 0
    heads = [request for request in account.sent("PUT") if request.key.endswith("/manifest.json")]
    assert len(heads) == 1
    assert [line["messages"] for line in log() if line["message"] == "drained"] == [47]


def test_a_batch_that_is_not_full_makes_no_request_to_the_queue(account, send, invoke, monkeypatch):
    monkeypatch.setattr("s3_manifest.aws.messaging.receive", lambda *_: pytest.fail("a request to the queue"))
    send(upload(account, 9))
    assert invoke() == []
    assert in_queue(account) == 0


@pytest.mark.usefixtures("sequential")
def test_drained_messages_that_keep_failing_reach_the_dead_letter_queue(account, send, invoke, pass_seconds, log):
    dead = account.sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = account.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    account.sqs.set_queue_attributes(
        QueueUrl=account.queue_url, Attributes={"RedrivePolicy": redrive, "VisibilityTimeout": "360"}
    )
    send([*upload(account, 20), "{broken"])
    assert invoke() == []
    assert in_queue(account) == 1
    for _ in range(4):
        pass_seconds(361)
        (failed,) = invoke()
    pass_seconds(361)
    account.sqs.receive_message(QueueUrl=account.queue_url)
    (letter,) = account.sqs.receive_message(QueueUrl=dead)["Messages"]
    assert (letter["Body"], letter["MessageId"]) == ("{broken", failed)
    attempts = [line["attempt"] for line in log() if line["message"] == "failed"]
    assert attempts == [1, 2, 3, 4, 5]


def test_a_function_that_dies_before_its_commit_leaves_the_drained_messages(
    account, send, invoke, pass_seconds, monkeypatch
):
    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    send(upload(account, 30))
    monkeypatch.setattr("s3_manifest.reconcile.commit.heads.save", killed)
    with pytest.raises(Killed):
        invoke()
    assert in_queue(account) == 30


def test_a_batch_succeeds_even_if_the_queue_cannot_be_drained(account, send, invoke, log, monkeypatch):
    monkeypatch.setenv("CHANGE_QUEUE_URL", account.queue_url + "-of-others")
    send(upload(account, 25))
    assert invoke() == []
    assert in_queue(account) == 15
    assert len(account.files("styles/16/")) == 25  # the first commit lists the collection
    (warning, *_) = [line for line in log() if line["message"] == "queue request failed"]
    assert "NonExistentQueue" in warning["reason"]


def test_messages_that_sqs_does_not_delete_are_logged_and_delivered_again(account, send, invoke, log, monkeypatch):
    send(upload(account, 12))
    client = runtime._sqs()
    refused = {"Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError", "Message": "try again"}]}
    monkeypatch.setattr(client, "delete_message_batch", lambda **_: refused)
    assert invoke() == []
    assert in_queue(account) == 2
    assert ["InternalError: try again" in line["reason"] for line in log() if "queue request" in line["message"]] == [
        True
    ]
