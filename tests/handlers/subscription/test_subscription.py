"""The subscription function merges a bucket's notifications, and always responds to CloudFormation."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from handlers.account import xml
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import BUCKET, REGION, Context, sqs_event_of

import reconcile_handler
import subscription_handler
from s3_manifest.manifest.jobs import SweepAll, decode_job
from s3_manifest.subscription.notifications import EVENTS

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


PROPERTIES = {
    "ServiceToken": f"arn:aws:lambda:{REGION}:123456789012:function:subscription",
    "ServiceTimeout": "300",
    "Bucket": BUCKET,
    "QueueArn": f"arn:aws:sqs:{REGION}:123456789012:changes",
    "Collections": "style=styles/{style_id}/,actor=system_actors/training_data/{actor_id}/",
    "ManifestRoot": "_manifests/",
    "Name": "s3-manifest-images",
    "EventSource": "Notifications",
    "RulePrefix": "s3-manifest-51af3dc0",
}


class Delivered(NamedTuple):
    """What was sent to the ResponseURL."""

    method: str
    path: str
    content_type: str | None
    body: bytes


class CloudFormation:
    """Sends requests, and receives the responses at a ResponseURL on loopback."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.delivered: list[Delivered] = []
        self.requests = 0

    def event(
        self,
        request_type: str,
        physical_id: str | None = None,
        old: dict[str, Any] | None = None,
        **properties: Any,
    ) -> dict[str, Any]:
        """Returns a request. Omits properties that are None; ``old``: those that an Update changes."""
        current = PROPERTIES | properties
        self.requests += 1
        return {
            "RequestType": request_type,
            "ServiceToken": current["ServiceToken"],
            "ResponseURL": f"{self.url}/answer?X-Amz-Signature=abc%2Fdef",
            "StackId": f"arn:aws:cloudformation:{REGION}:123456789012:stack/images/51af3dc0",
            "RequestId": f"request-{self.requests}",
            "LogicalResourceId": "Subscription",
            "ResourceType": "Custom::Subscription",
            "ResourceProperties": {name: value for name, value in current.items() if value is not None},
            **({"PhysicalResourceId": physical_id} if physical_id else {}),
            **({"OldResourceProperties": current | (old or {})} if request_type == "Update" else {}),
        }

    def request(self, request_type: str, physical_id: str | None = None, **fields: Any) -> dict[str, Any]:
        """Sends the request that ``event`` returns to the function; returns the response."""
        return self.send(self.event(request_type, physical_id, **fields))

    def send(self, event: dict[str, Any]) -> dict[str, Any]:
        """Sends a request to the function; returns the response."""
        subscription_handler.handler(event, Context(function_name="subscription"))
        delivered = self.delivered.pop()
        assert (delivered.method, delivered.path) == ("PUT", "/answer?X-Amz-Signature=abc%2Fdef")
        # The URL is signed for a request without a content type.
        assert not delivered.content_type
        # CloudFormation ignores a longer response.
        assert len(delivered.body) <= 4096
        answer = json.loads(delivered.body)
        ids = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
        assert {name: answer[name] for name in ids} == ids
        assert answer["Status"] in {"SUCCESS", "FAILED"}
        assert answer["PhysicalResourceId"]
        assert bool(answer.get("Reason")) == (answer["Status"] == "FAILED")
        return answer


@pytest.fixture
def cloudformation(account, monkeypatch) -> Iterator[CloudFormation]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            endpoint.delivered.append(Delivered(self.command, self.path, self.headers["Content-Type"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        endpoint = CloudFormation(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield endpoint
        server.shutdown()
        thread.join()


def configuration(account, bucket: str = BUCKET) -> dict[str, Any]:
    found = account.s3.get_bucket_notification_configuration(Bucket=bucket)
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


def written_configurations(account) -> list[Any]:
    """Returns the requests that write a notification configuration."""
    return [request for request in account.sent("PUT") if not request.key]


def prefixes(found: dict[str, Any], name: str = "s3-manifest-images") -> dict[str, list[str]]:
    """Returns the prefixes and events of the configurations with that name."""
    return {
        item["Filter"]["Key"]["FilterRules"][0]["Value"]: item["Events"]
        for item in found.get("QueueConfigurations", ())
        if item["Id"].startswith(name + "-")
    }


def test_create_subscribes_the_queue_to_every_change_below_the_collections(account, cloudformation):
    answer = cloudformation.request("Create")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", BUCKET)
    found = configuration(account)
    events = set(EVENTS)
    assert {prefix: set(listed) for prefix, listed in prefixes(found).items()} == {
        "styles/": events,
        "system_actors/training_data/": events,
    }
    assert {item["QueueArn"] for item in found["QueueConfigurations"]} == {account.queue_arn}


def test_an_upload_after_create_reaches_the_queue_and_the_manifest(account, cloudformation):
    cloudformation.request("Create")
    account.put("styles/16/größe +.png")
    account.put("elsewhere/a.png")
    received = account.received()
    assert [json.loads(message["Body"]).get("Event") for message in received].count(None) == 1
    assert failed_ids(reconcile_handler.handler(sqs_event_of(received), Context())) == []
    assert list(account.files("styles/16/")) == ["größe +.png"]


def test_configurations_of_others_survive_create_update_and_delete(account, cloudformation):
    account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)
    before = configuration(account)
    cloudformation.request("Create")
    cloudformation.request("Update", BUCKET, Collections="style=styles/{style_id}/")
    found = configuration(account)
    assert list(prefixes(found)) == ["styles/"]
    assert {**found, "QueueConfigurations": found["QueueConfigurations"][:1]} == before
    cloudformation.request("Delete", BUCKET)
    assert configuration(account) == before


def test_events_are_still_sent_to_eventbridge(account, cloudformation):
    # moto stores the setting but does not return it.
    first = [xml(200, "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>")]

    def fault(request):
        return first.pop() if (request.method, request.key) == ("GET", "") and first else None

    account.faults.append(fault)
    assert cloudformation.request("Create")["Status"] == "SUCCESS"
    (written,) = written_configurations(account)
    assert b"<EventBridgeConfiguration" in written.body


def test_two_stacks_can_share_one_bucket(account, cloudformation):
    cloudformation.request("Create", Name="s3-manifest-images", Collections="style=styles/{style_id}/")
    cloudformation.request("Create", Name="s3-manifest-images2", Collections="cat=cats/{cat_id}/")
    cloudformation.request("Delete", BUCKET, Name="s3-manifest-images", Collections="style=styles/{style_id}/")
    assert prefixes(configuration(account)) == {}
    assert list(prefixes(configuration(account), "s3-manifest-images2")) == ["cats/"]


def test_a_repeat_changes_nothing(account, cloudformation):
    cloudformation.request("Create")
    once = configuration(account)
    assert cloudformation.request("Create")["Status"] == "SUCCESS"
    assert configuration(account) == once


def test_an_update_to_another_bucket_leaves_the_first_and_keeps_the_physical_id(account, cloudformation):
    account.make_bucket("second")
    account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)
    before = configuration(account)
    cloudformation.request("Create")
    answer = cloudformation.request("Update", BUCKET, old={"Bucket": BUCKET}, Bucket="second")
    # With another id, CloudFormation would send Delete with the old properties.
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", BUCKET)
    assert set(prefixes(configuration(account, "second"))) == {"styles/", "system_actors/training_data/"}
    assert configuration(account) == before
    answer = cloudformation.request("Delete", BUCKET, Bucket="second")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", BUCKET)
    assert configuration(account, "second") == {}


def test_a_delete_acts_on_the_buckets_of_its_properties(account, cloudformation):
    account.make_bucket("second")
    cloudformation.request("Create")
    cloudformation.request("Create", Bucket="second")
    cloudformation.request("Delete", BUCKET, Bucket="second")
    assert len(prefixes(configuration(account))) == 2
    assert configuration(account, "second") == {}


def test_delete_succeeds_without_the_bucket(account, cloudformation):
    assert cloudformation.request("Delete", "long-gone", Bucket="long-gone")["Status"] == "SUCCESS"


@pytest.mark.parametrize("collections", ["nonsense", ["style=styles/{style_id}/"]], ids=str)
def test_delete_succeeds_with_invalid_collections(account, cloudformation, collections):
    cloudformation.request("Create")
    assert cloudformation.request("Delete", BUCKET, Collections=collections)["Status"] == "SUCCESS"
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
def test_a_failed_request_reports_its_reason(account, cloudformation, request_type, properties, reason):
    answer = cloudformation.request(request_type, BUCKET if request_type == "Update" else None, **properties)
    assert answer["Status"] == "FAILED"
    assert reason in answer["Reason"]
    assert configuration(account) == {}


@pytest.mark.parametrize("request_type", ["Create", "Update"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_denial_by_s3_reports_the_permissions_to_allow(account, cloudformation, request_type, method):
    account.refuse(method, "", 403)
    answer = cloudformation.request(request_type, BUCKET if request_type != "Create" else None)
    assert answer["Status"] == "FAILED"
    assert "AccessDenied" in answer["Reason"]
    assert "allow this role s3:GetBucketNotification and s3:PutBucketNotification" in answer["Reason"]
    assert len(account.sent(method)) > 3


def test_a_permission_that_has_not_propagated_is_retried(account, cloudformation):
    deny(account, ("GET", "PUT"), until=5)
    assert cloudformation.request("Create")["Status"] == "SUCCESS"
    assert len(prefixes(configuration(account))) == 2


def deny(account, methods: tuple[str, ...], until: int) -> None:
    """S3 denies the first ``until`` requests to buckets with these methods and does not apply them."""
    denied: list[object] = []

    def fault(request):
        if request.method in methods and not request.key and len(denied) < until:
            denied.append(request)
            # Returning a response instead would still apply the write.
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, request.method)

    account.faults.append(fault)


@pytest.mark.parametrize("denied", ["GET", "PUT"])
def test_the_delete_after_a_create_that_was_always_denied_succeeds(account, cloudformation, denied):
    deny(account, (denied,), until=99)
    failed = cloudformation.request("Create")
    assert failed["Status"] == "FAILED"
    assert cloudformation.request("Delete", failed["PhysicalResourceId"])["Status"] == "SUCCESS"
    account.faults.clear()
    assert configuration(account) == {}


def test_the_delete_after_a_create_that_was_never_answered_uses_the_bucket_of_the_properties(account, cloudformation):
    cloudformation.request("Create")
    assert cloudformation.request("Delete", "images-Subscription-1XKJ0ZP7QW2M3")["Status"] == "SUCCESS"
    assert configuration(account) == {}


@pytest.mark.parametrize("missing", ["Name", "QueueArn", "Bucket", "Collections"])
def test_the_delete_after_a_create_without_a_property_succeeds(account, cloudformation, missing):
    failed = cloudformation.request("Create", **{missing: None})
    assert failed["Status"] == "FAILED"
    assert cloudformation.request("Delete", failed["PhysicalResourceId"], **{missing: None})["Status"] == "SUCCESS"


def test_a_delete_without_the_permission_to_write_fails_and_names_the_permission(account, cloudformation):
    cloudformation.request("Create")
    deny(account, ("PUT",), until=99)
    answer = cloudformation.request("Delete", BUCKET)
    assert (answer["Status"], "allow this role s3:" in answer["Reason"]) == ("FAILED", True)


def test_a_delete_skips_the_validation_of_destinations(account, cloudformation):
    account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)
    cloudformation.request("Create")
    account.requests.clear()
    account.headers.clear()
    cloudformation.request("Delete", BUCKET)
    sent = zip(account.requests, account.headers, strict=True)
    (headers,) = [headers for request, (method, headers) in sent if method == "PUT" and not request.key]
    assert headers["x-amz-skip-destination-validation"] == "true"


def test_a_request_that_arrives_twice_has_the_effect_of_one(account, cloudformation):
    for request in ("Create", "Update", "Delete"):
        event = cloudformation.event(request, None if request == "Create" else BUCKET)
        first = cloudformation.send(event), configuration(account)
        assert (cloudformation.send(event), configuration(account)) == first
        assert first[0]["Status"] == "SUCCESS"


class Overtaken:
    """A later request that CloudFormation sends while the function waits between two attempts."""

    def __init__(self, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloudformation, self.monkeypatch = cloudformation, monkeypatch

    def by(self, account: Any, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Denies the first write and sends the event during the first pause; returns the list for its response."""
        answers: list[dict[str, Any]] = []
        waiting = [event]
        deny(account, ("PUT",), until=1)

        def pause(_seconds: float) -> None:
            self.monkeypatch.setattr("time.sleep", lambda _: None)
            if waiting:
                answers.append(self.cloudformation.send(waiting.pop()))

        self.monkeypatch.setattr("time.sleep", pause)
        return answers


@pytest.fixture
def overtaken(cloudformation, monkeypatch) -> Overtaken:
    return Overtaken(cloudformation, monkeypatch)


@pytest.mark.parametrize("physical_id", [BUCKET, "images-Subscription-1XKJ0ZP7QW2M3"])
def test_a_delete_that_overtakes_a_create_leaves_nothing_subscribed(account, cloudformation, overtaken, physical_id):
    account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)
    before = configuration(account)
    later = overtaken.by(account, cloudformation.event("Delete", physical_id))
    assert cloudformation.request("Create")["Status"] == "FAILED"
    assert [answer["Status"] for answer in later] == ["SUCCESS"]
    assert configuration(account) == before


def test_a_delete_right_after_the_last_write_of_a_create_leaves_nothing_subscribed(account, cloudformation):
    """The Delete reads the bucket before that write and finds nothing to remove; the Create has to undo it."""
    event = cloudformation.event("Delete", BUCKET)

    def fault(request):
        if request.method == "PUT":
            account.faults.clear()
            assert cloudformation.send(event)["Status"] == "SUCCESS"

    account.faults.append(fault)
    assert cloudformation.request("Create")["Status"] == "FAILED"
    assert configuration(account) == {}


def test_an_update_overtaken_by_its_rollback_does_not_win(account, cloudformation, overtaken):
    cloudformation.request("Create")
    before = configuration(account)
    new = {"Collections": "cat=cats/{cat_id}/"}
    old = {"Collections": PROPERTIES["Collections"]}
    later = overtaken.by(account, cloudformation.event("Update", BUCKET, old=new))
    assert cloudformation.request("Update", BUCKET, old=old, **new)["Status"] == "FAILED"
    assert [answer["Status"] for answer in later] == ["SUCCESS"]
    assert configuration(account) == before


def test_a_bucket_change_overtaken_by_its_rollback_leaves_both_buckets_unchanged(account, cloudformation, overtaken):
    account.make_bucket("second")
    cloudformation.request("Create")
    before = configuration(account)
    later = overtaken.by(account, cloudformation.event("Update", BUCKET, old={"Bucket": "second"}))
    assert cloudformation.request("Update", BUCKET, old={"Bucket": BUCKET}, Bucket="second")["Status"] == "FAILED"
    assert [answer["Status"] for answer in later] == ["SUCCESS"]
    assert (configuration(account), configuration(account, "second")) == (before, {})


def test_the_rollback_of_an_unanswered_bucket_change_unsubscribes_the_new_bucket(account, cloudformation):
    account.make_bucket("second")
    cloudformation.request("Create")
    cloudformation.request("Update", BUCKET, old={"Bucket": BUCKET}, Bucket="second")
    assert len(prefixes(configuration(account, "second"))) == 2
    answer = cloudformation.request("Update", BUCKET, old={"Bucket": "second"})
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", BUCKET)
    assert len(prefixes(configuration(account))) == 2
    assert configuration(account, "second") == {}


def test_a_delete_succeeds_even_if_requests_cannot_be_ordered(account, cloudformation):
    account.sqs.delete_queue(QueueUrl=account.queue_url)
    assert cloudformation.request("Delete", BUCKET)["Status"] == "SUCCESS"


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_create_and_update_queue_a_sweep_of_all(account, cloudformation, request_type):
    cloudformation.request(request_type, BUCKET if request_type == "Update" else None)
    assert [decode_job(body) for body in account.queued()] == [SweepAll()]


def test_neither_a_delete_nor_a_failure_queues_a_sweep(account, cloudformation):
    cloudformation.request("Delete", BUCKET)
    cloudformation.request("Create", Collections="nonsense")
    assert account.queued() == []


def test_a_sweep_that_cannot_be_queued_fails_the_request_with_its_reason(account, cloudformation, new_process):
    account.sqs.delete_queue(QueueUrl=account.sweep_queue_url)
    answer = cloudformation.request("Create")
    assert (answer["Status"], "NonExistentQueue" in answer["Reason"]) == ("FAILED", True)
    assert cloudformation.request("Delete", answer["PhysicalResourceId"])["Status"] == "SUCCESS"
    assert configuration(account) == {}


def test_a_lost_response_is_sent_again(account, cloudformation, monkeypatch):
    real, failures = subscription_handler.urlopen, [ConnectionResetError(), TimeoutError()]

    def lossy(*arguments, **options):
        if failures:
            raise failures.pop()
        return real(*arguments, **options)

    monkeypatch.setattr(subscription_handler, "urlopen", lossy)
    assert cloudformation.request("Create")["Status"] == "SUCCESS"
    assert failures == []


def test_a_write_overwritten_by_another_party_is_repeated(account, cloudformation):
    undone = []

    def undo(request):
        written = len(account.sent("PUT"))
        if request.method == "GET" and written > len(undone) and len(undone) < 2:
            undone.append(request)
            account.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=OTHERS)

    account.faults.append(undo)
    assert cloudformation.request("Create")["Status"] == "SUCCESS"
    found = configuration(account)
    assert len(undone) == 2
    assert len(prefixes(found)) == 2
    assert [item["Id"] for item in found["TopicConfigurations"]] == ["audit"]


def test_a_queue_whose_policy_has_not_propagated_to_s3_is_retried(account, cloudformation):
    account.refuse("PUT", "", 400, "InvalidArgument")
    refuse = account.faults.pop()
    account.faults.append(lambda request: refuse(request) if len(account.sent("PUT")) < 3 else None)
    assert cloudformation.request("Create")["Status"] == "SUCCESS"
    assert len(account.sent("PUT")) == 3
    account.faults[:] = [refuse]
    answer = cloudformation.request("Update", BUCKET)
    assert (answer["Status"], "InvalidArgument" in answer["Reason"]) == ("FAILED", True)
