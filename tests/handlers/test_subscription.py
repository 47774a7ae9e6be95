"""The subscription function: a CloudFormation request in, a bucket's notifications merged, an answer in any case."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NamedTuple

import pytest

import reconcile_handler
import subscription_handler
from handlers.account import xml
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import BUCKET, REGION, Context, sqs_event_of

OTHERS = {
    "QueueConfigurations": [
        {
            "Id": "thumbnails",
            "QueueArn": f"arn:aws:sqs:{REGION}:123456789012:changes",
            "Events": ["s3:ObjectCreated:Put"],
        }
    ],
    "TopicConfigurations": [
        {
            "Id": "audit",
            "TopicArn": f"arn:aws:sns:{REGION}:123456789012:audit",
            "Events": ["s3:ObjectRemoved:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "logs/"}]}},
        }
    ],
    "LambdaFunctionConfigurations": [
        {
            "Id": "s3-manifestos",
            "LambdaFunctionArn": f"arn:aws:lambda:{REGION}:123456789012:function:x",
            "Events": ["s3:ObjectRestore:*"],
        }
    ],
}


class Delivered(NamedTuple):
    """What was sent to the ResponseURL."""

    method: str
    path: str
    content_type: str | None
    body: bytes


class CloudFormation:
    """The end of a ResponseURL, on loopback, and the requests it waits for answers to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.delivered: list[Delivered] = []

    def ask(self, request_type: str, physical_id: str | None = None, **properties: str | None) -> dict[str, Any]:
        """Sends a request to the function; the answer that came. A property that is None is left out."""
        given = {
            "ServiceToken": f"arn:aws:lambda:{REGION}:123456789012:function:subscription",
            "ServiceTimeout": "300",
            "Bucket": BUCKET,
            "QueueArn": f"arn:aws:sqs:{REGION}:123456789012:changes",
            "Collections": "style=styles/{style_id}/,actor=system_actors/training_data/{actor_id}/",
            "ManifestRoot": "_manifests/",
            "Name": "s3-manifest-images",
        } | properties
        event = {
            "RequestType": request_type,
            "ServiceToken": given["ServiceToken"],
            "ResponseURL": f"{self.url}/answer?X-Amz-Signature=abc%2Fdef",
            "StackId": f"arn:aws:cloudformation:{REGION}:123456789012:stack/images/51af3dc0",
            "RequestId": f"request-{len(self.delivered)}",
            "LogicalResourceId": "Subscription",
            "ResourceType": "Custom::Subscription",
            "ResourceProperties": {name: value for name, value in given.items() if value is not None},
        } | ({"PhysicalResourceId": physical_id} if physical_id else {})
        before = len(self.delivered)
        subscription_handler.handler(event, Context(function_name="subscription"))
        (delivered,) = self.delivered[before:]
        assert (delivered.method, delivered.path) == ("PUT", "/answer?X-Amz-Signature=abc%2Fdef")
        # The URL is signed for none.
        assert not delivered.content_type
        # CloudFormation takes no longer answer, and waits on as if there had been none.
        assert len(delivered.body) <= 4096
        answer = json.loads(delivered.body)
        asked = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
        assert {name: answer[name] for name in asked} == asked
        assert answer["Status"] in {"SUCCESS", "FAILED"}
        assert answer["PhysicalResourceId"]
        assert bool(answer.get("Reason")) == (answer["Status"] == "FAILED")
        return answer


@pytest.fixture
def cloudformation(account, monkeypatch) -> Iterator[CloudFormation]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            here.delivered.append(Delivered(self.command, self.path, self.headers["Content-Type"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        here = CloudFormation(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield here
        server.shutdown()
        thread.join()


def configuration(account, bucket: str = BUCKET) -> dict[str, Any]:
    found = account.s3.get_bucket_notification_configuration(Bucket=bucket)
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


def prefixes(found: dict[str, Any], name: str = "s3-manifest-images") -> dict[str, list[str]]:
    """The prefixes that the queue is told about, with the events, by the configurations of that name."""
    return {
        one["Filter"]["Key"]["FilterRules"][0]["Value"]: one["Events"]
        for one in found.get("QueueConfigurations", ())
        if one["Id"].startswith(name + "-")
    }


def test_create_tells_the_queue_of_every_change_below_the_collections(account, cloudformation):
    answer = cloudformation.ask("Create")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", BUCKET)
    found = configuration(account)
    events = {"s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*", "s3:LifecycleTransition"}
    assert {prefix: set(listed) for prefix, listed in prefixes(found).items()} == {
        "styles/": events,
        "system_actors/training_data/": events,
    }
    assert {one["QueueArn"] for one in found["QueueConfigurations"]} == {account.queue_arn}


def test_an_upload_after_create_comes_into_the_queue_and_the_manifest(account, cloudformation):
    cloudformation.ask("Create")
    account.put("styles/16/größe +.png")
    account.put("elsewhere/a.png")
    received = account.received()
    assert [json.loads(message["Body"]).get("Event") for message in received].count(None) == 1
    assert failed_ids(reconcile_handler.handler(sqs_event_of(received), Context())) == []
    assert list(account.files("styles/16/")) == ["größe +.png"]


def test_what_others_configured_survives_create_update_and_delete(account, cloudformation):
    account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)
    before = configuration(account)
    cloudformation.ask("Create")
    cloudformation.ask("Update", BUCKET, Collections="style=styles/{style_id}/")
    found = configuration(account)
    assert list(prefixes(found)) == ["styles/"]
    assert {**found, "QueueConfigurations": found["QueueConfigurations"][:1]} == before
    cloudformation.ask("Delete", BUCKET)
    assert configuration(account) == before


def test_events_on_their_way_to_eventbridge_go_on(account, cloudformation):
    # moto stores that they are wanted, and does not tell.
    first = [xml(200, "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>")]
    account.faults.append(lambda request: first.pop() if request.method == "GET" and first else None)
    assert cloudformation.ask("Create")["Status"] == "SUCCESS"
    (written,) = account.sent("PUT")
    assert b"<EventBridgeConfiguration" in written.body


def test_two_stacks_may_watch_one_bucket(account, cloudformation):
    cloudformation.ask("Create", Name="s3-manifest-images", Collections="style=styles/{style_id}/")
    cloudformation.ask("Create", Name="s3-manifest-images2", Collections="cat=cats/{cat_id}/")
    cloudformation.ask("Delete", BUCKET, Name="s3-manifest-images", Collections="style=styles/{style_id}/")
    assert prefixes(configuration(account)) == {}
    assert list(prefixes(configuration(account), "s3-manifest-images2")) == ["cats/"]


def test_a_repeat_changes_nothing(account, cloudformation):
    cloudformation.ask("Create")
    once = configuration(account)
    assert cloudformation.ask("Create")["Status"] == "SUCCESS"
    assert configuration(account) == once


def test_update_to_another_bucket_changes_the_physical_id_and_the_delete_of_the_first_follows(account, cloudformation):
    account.make_bucket("second")
    cloudformation.ask("Create")
    answer = cloudformation.ask("Update", BUCKET, Bucket="second")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "second")
    assert set(prefixes(configuration(account, "second"))) == {"styles/", "system_actors/training_data/"}
    # What CloudFormation does once the rest of the stack is updated: the old id, with its old properties.
    answer = cloudformation.ask("Delete", BUCKET)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", BUCKET)
    assert configuration(account) == {}
    assert len(prefixes(configuration(account, "second"))) == 2


def test_delete_acts_on_the_physical_id(account, cloudformation):
    account.make_bucket("second")
    cloudformation.ask("Create")
    cloudformation.ask("Create", Bucket="second")
    cloudformation.ask("Delete", "second", Bucket=BUCKET)
    assert len(prefixes(configuration(account))) == 2
    assert configuration(account, "second") == {}


def test_delete_succeeds_when_the_bucket_is_gone(account, cloudformation):
    assert cloudformation.ask("Delete", "long-gone", Bucket="long-gone")["Status"] == "SUCCESS"


def test_delete_succeeds_whatever_the_collections_are_by_now(account, cloudformation):
    cloudformation.ask("Create")
    assert cloudformation.ask("Delete", BUCKET, Collections="nonsense")["Status"] == "SUCCESS"
    assert configuration(account) == {}


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"Bucket": "no-such-bucket"}, "bucket"),
        ({"Collections": "style=styles/"}, "style_id"),
        ({"Collections": ""}, "no collections"),
        ({"Collections": "style=" + "styles/" * 1000}, "style"),
        ({"Collections": "style=" + "größe/" * 600}, "style"),
        ({"ManifestRoot": "styles/"}, "overlap"),
        ({"QueueArn": None}, "QueueArn"),
        ({"Name": None}, "Name"),
        ({"Bucket": None}, "Bucket"),
    ],
    ids=[
        "bucket is missing",
        "no placeholder",
        "no collections",
        "long",
        "long, not ASCII",
        "root overlaps",
        "no queue",
        "no name",
        "no bucket",
    ],
)
@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_failure_is_answered_with_its_reason(account, cloudformation, request_type, properties, reason):
    answer = cloudformation.ask(request_type, BUCKET if request_type == "Update" else None, **properties)
    assert answer["Status"] == "FAILED"
    assert reason in answer["Reason"]
    assert configuration(account) == {}


@pytest.mark.parametrize("request_type", ["Create", "Update", "Delete"])
def test_a_refusal_by_s3_is_answered(account, cloudformation, request_type):
    account.refuse("GET", "", 403)
    answer = cloudformation.ask(request_type, BUCKET if request_type != "Create" else None)
    assert answer["Status"] == "FAILED"
    assert "AccessDenied" in answer["Reason"]


def test_a_write_that_somebody_else_undoes_is_made_again(account, cloudformation):
    undone = []

    def undo(request):
        written = len(account.sent("PUT"))
        if request.method == "GET" and written > len(undone) and len(undone) < 2:
            undone.append(request)
            account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)

    account.faults.append(undo)
    assert cloudformation.ask("Create")["Status"] == "SUCCESS"
    found = configuration(account)
    assert len(undone) == 2
    assert len(prefixes(found)) == 2
    assert [one["Id"] for one in found["TopicConfigurations"]] == ["audit"]


def test_a_queue_whose_policy_s3_does_not_know_yet_is_tried_again(account, cloudformation):
    account.refuse("PUT", "", 400, "InvalidArgument")
    refuse = account.faults.pop()
    account.faults.append(lambda request: refuse(request) if len(account.sent("PUT")) < 3 else None)
    assert cloudformation.ask("Create")["Status"] == "SUCCESS"
    assert len(account.sent("PUT")) == 3
    account.faults[:] = [refuse]
    answer = cloudformation.ask("Update", BUCKET)
    assert (answer["Status"], "InvalidArgument" in answer["Reason"]) == ("FAILED", True)
