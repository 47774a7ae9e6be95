"""The functions' input: events in AWS's format, and the context."""

import base64
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

BUCKET = "storyboard-user-files"
ASSETS = "story-boards-assets"
"""The bucket of the actors, where a test has two."""
REGION = "eu-central-1"
ACCOUNT = "123456789012"
SOMEBODYS_ATTRIBUTE = {"s3-manifest": {"stringValue": "backfill", "stringListValues": [], "dataType": "String"}}


@dataclass
class Context:
    """The context of an invocation whose remaining time never decreases."""

    seconds_left: float = 60.0
    function_name: str = "reconcile"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:reconcile"
    aws_request_id: str = "7d1c8f2e-0000-4000-8000-1b2a3c4d5e6f"
    log_stream_name: str = "2026/01/01/[$LATEST]0123456789abcdef"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds_left * 1000)


def s3_record(
    key: str, event: str = "ObjectCreated:Put", bucket: str = BUCKET, time: str = "2026-01-01T12:00:00.000Z"
) -> dict[str, Any]:
    """One record as S3 writes it, the key encoded as S3 encodes it."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": time,
        "eventName": event,
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "198.51.100.7"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZ"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "s3-manifest-images-0",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": 4,
                "eTag": "0" * 32,
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }


def s3_event(*keys: str, event: str = "ObjectCreated:Put", bucket: str = BUCKET) -> dict[str, Any]:
    """A notification as S3 sends it, about these keys."""
    return {"Records": [s3_record(key, event, bucket) for key in keys]}


def s3_test_event() -> dict[str, Any]:
    """The event that S3 sends when notifications are configured."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-01-01T12:00:00.000Z",
        "Bucket": BUCKET,
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
    }


def sqs_record(
    body: str, message_id: str | None = None, attributes: Mapping[str, Any] | None = None, receives: int = 1
) -> dict[str, Any]:
    """A message as Lambda's poller delivers it, for the ``receives``-th time."""
    return {
        "messageId": message_id or str(uuid.uuid4()),
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receives), "SentTimestamp": "1767225600000"},
        "messageAttributes": dict(attributes or {}),
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:changes",
        "awsRegion": REGION,
    }


def sqs_event(messages: Mapping[str, str | Mapping[str, Any]], receives: int = 1) -> dict[str, Any]:
    """A batch of messages by id; bodies that are not text are sent as JSON."""
    return {
        "Records": [
            sqs_record(body if isinstance(body, str) else json.dumps(body), message_id, receives=receives)
            for message_id, body in messages.items()
        ]
    }


def sqs_event_of(received: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch of messages that were received through the API of SQS, in Lambda's format."""
    records = []
    for message in received:
        attributes = {
            name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
            for name, value in message.get("MessageAttributes", {}).items()
        }
        records.append(sqs_record(message["Body"], message["MessageId"], attributes))
    return {"Records": records}


def sns_envelope(message: str) -> dict[str, Any]:
    """The envelope in which SNS delivers a message to a queue."""
    return {
        "Type": "Notification",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:uploads",
        "Subject": "Amazon S3 Notification",
        "Message": message,
        "Timestamp": "2026-01-01T12:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLEpH+",
    }


def sns_event(message: str) -> dict[str, Any]:
    """The event with which SNS invokes a function."""
    return {
        "Records": [
            {
                "EventVersion": "1.0",
                "EventSource": "aws:sns",
                "EventSubscriptionArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:uploads:21be56ed-a058-49f5-8c98-aedd2564c486",
                "Sns": sns_envelope(message),
            }
        ]
    }


def http_request(
    path: str,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: str | None = None,
    raw_query: str | None = None,
) -> dict[str, Any]:
    """A request as an HTTP API forwards it (payload 2.0): path and parameters decoded, header names in lower case.

    ``raw_query`` is the encoded query string, in place of ``query``. A body whose type is not text is
    encoded in base64.
    """
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "GET /api/{proxy+}",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}) if raw_query is None else raw_query,
        "headers": {"accept": "*/*", "host": "abc123.execute-api.eu-central-1.amazonaws.com"} | dict(headers or {}),
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "abc123",
            "domainName": "abc123.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "abc123",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "198.51.100.7",
                "userAgent": "curl/8.5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "GET /api/{proxy+}",
            "stage": "$default",
            "time": "01/Jan/2026:12:00:00 +0000",
            "timeEpoch": 1767268800000,
        },
        "pathParameters": {"proxy": path.removeprefix("/api/")},
        "isBase64Encoded": False,
    }
    if pairs := parse_qsl(event["rawQueryString"], keep_blank_values=True):
        names = dict.fromkeys(name for name, _ in pairs)
        event["queryStringParameters"] = {
            name: ",".join(value for other, value in pairs if other == name) for name in names
        }
    if body is not None:
        is_text = event["headers"].get("content-type", "").startswith(("application/json", "text/"))
        event["body"] = body if is_text else base64.b64encode(body.encode()).decode()
        event["isBase64Encoded"] = not is_text
    return event
