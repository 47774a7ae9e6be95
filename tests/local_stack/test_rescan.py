"""Rescans that are requested over HTTP arrive in the sweep queue."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from s3_manifest.manifest.jobs import Job, Sweep, SweepAll, decode_job


@pytest.fixture
def queued(stack, eventually, finished_sweeps) -> Iterator[Callable[[], Job]]:
    """Returns the next job of the sweep queue, which no function processes meanwhile."""
    functions, sqs = stack.platform.client("lambda"), stack.platform.client("sqs")
    queue = stack.outputs["SweepQueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    (mapping,) = functions.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)

    def queued() -> Job:
        def receive() -> list[Any]:
            return sqs.receive_message(QueueUrl=queue).get("Messages", [])

        (message,) = eventually(receive, bool)
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return decode_job(message["Body"])

    yield queued
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@pytest.mark.parametrize(
    ("id_", "path", "manifest"),
    [("16", "16", "16"), ("größe & co", "gr%C3%B6%C3%9Fe%20%26%20co", "-?id=gr%C3%B6%C3%9Fe%20%26%20co")],
)
def test_a_rescan_of_one_collection_is_in_the_sweep_queue(stack, queued, id_, path, manifest):
    answer = stack.post(f"/api/manifests/style/{path}/rescan", query={"rebuild": "true"})
    assert (answer.status, answer.body["manifest"]) == (202, f"/api/manifests/style/{manifest}")
    assert queued() == Sweep(kind="style", id=id_, rebuild=True)


def test_a_rescan_of_some_collections_is_in_the_sweep_queue(stack, queued):
    request = {"collections": [{"kind": "style", "id": "16"}, {"kind": "actor", "id": "7"}]}
    assert stack.post("/api/manifests/rescan", request).status == 202
    assert {queued(), queued()} == {Sweep(kind="style", id="16"), Sweep(kind="actor", id="7")}


def test_a_rescan_of_all_collections_is_in_the_sweep_queue(stack, queued):
    assert stack.post("/api/manifests/rescan").status == 202
    assert queued() == SweepAll()


def test_the_schedule_sends_a_sweep_of_all_collections(stack):
    events = stack.platform.client("events")
    rules = [rule for rule in events.list_rules()["Rules"] if "SweepRule" in rule["Name"]]
    assert [(rule["State"], rule["ScheduleExpression"]) for rule in rules] == [("ENABLED", "rate(1 day)")]
    (target,) = events.list_targets_by_rule(Rule=rules[0]["Name"])["Targets"]
    assert stack.outputs["SweepQueueUrl"].endswith(target["Arn"].rpartition(":")[2])
    assert decode_job(target["Input"]) == SweepAll()


@pytest.mark.parametrize("path", ["/api/manifests/rescan", "/api/manifests/style/16/rescan"])
def test_an_unsigned_rescan_is_refused(stack, path):
    request = Request(f"{stack.api_url}{path}", method="POST")
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=30)
    with refused.value as answer:
        assert answer.code == 403
