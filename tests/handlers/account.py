"""An AWS account with a bucket and queues in moto; records each request under test, or makes it fail."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.loaders import Loader
from botocore.session import Session
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.s3.models import s3_backends

from handlers.lambda_events import BUCKET, REGION
from s3_manifest.manifest.jobs import Job, decode_job


class Request(NamedTuple):
    """A request to S3; ``key`` is empty for one to the bucket itself."""

    method: str
    key: str
    parameters: dict[str, str]
    body: bytes
    bucket: str


MODELS = Loader()


def botocore_session() -> Session:
    """Returns a new session; the models of the services, which are slow to load, are loaded once."""
    session = Session()
    session.register_component("data_loader", MODELS)
    return session


@cache
def _own_client(service: str) -> Any:
    session = boto3.session.Session("testing", "testing", region_name=REGION, botocore_session=botocore_session())
    return session.client(service)


Fault = Callable[[Request], AWSResponse | None]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class Account:
    """The account, and the functions' requests to it.

    Its own clients have a separate session, so only the functions' requests are recorded.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.headers: list[tuple[str, dict[str, str]]] = []
        self.faults: list[Fault] = []
        self.announced: list[dict[str, Any]] = []
        self.event_faults: list[Callable[[], AWSResponse | None]] = []
        self.s3, self.sqs, self.events = _own_client("s3"), _own_client("sqs"), _own_client("events")
        self.make_bucket(BUCKET)
        self.sweep_queue_url = self.sqs.create_queue(QueueName="sweeps")["QueueUrl"]
        self.queue_url = self.sqs.create_queue(QueueName="changes")["QueueUrl"]
        self.queue_arn = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]

    @contextmanager
    def used_by(self, session: Session) -> Iterator["Account"]:
        """Connects the clients that are created in the session to this account."""
        emitter = session.get_component("event_emitter")
        # Registered first, so that its response replaces moto's.
        emitter.register_first("before-send.s3", self._before_send)
        emitter.register_first("before-send.events", self._before_put_events)
        yield self
        emitter.unregister("before-send.s3", self._before_send)
        emitter.unregister("before-send.events", self._before_put_events)

    def make_bucket(self, name: str) -> None:
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    def subscribe(self, since: str, *, bucket: str = BUCKET) -> None:
        """Records that the changes of all prefixes are announced since this time."""
        subscription = {"since": since, "deployment": "images"}
        record = {"schema": 1, "prefixes": {"": subscription}}
        self.put("_manifests/subscription.json", json.dumps(record).encode(), bucket=bucket)

    def put(self, key: str, body: bytes = b"data", *, bucket: str = BUCKET, **facts: Any) -> str:
        """Uploads an object; returns its ETag."""
        return self.s3.put_object(Bucket=bucket, Key=key, Body=body, **facts)["ETag"].strip('"')

    def put_in_parts(self, key: str, body: bytes, **facts: Any) -> None:
        """Uploads an object as multipart uploads do, whose ETag is not its MD5."""
        where = {"Bucket": BUCKET, "Key": key}
        upload = where | {"UploadId": self.s3.create_multipart_upload(**where, **facts)["UploadId"]}
        part = {"PartNumber": 1, "ETag": self.s3.upload_part(**upload, PartNumber=1, Body=body)["ETag"]}
        self.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})

    def fill(self, prefix: str, count: int) -> list[str]:
        """Stores many objects; returns their names."""
        names = [f"image_{number:05d}.png" for number in range(count)]
        for name in names:
            self.put_at_once(prefix + name)
        return names

    def put_at_once(self, key: str) -> None:
        """Stores an object without the API, which is faster for many objects."""
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(BUCKET, key, b"data")

    def antedate(self, *keys: str) -> None:
        """Makes objects older than the subscription."""
        for key in keys:
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(BUCKET, key).last_modified = datetime(
                2019, 1, 1, tzinfo=UTC
            )

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=BUCKET, Key=key)

    def read(self, key: str, *, bucket: str = BUCKET) -> bytes:
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def below(self, prefix: str, *, bucket: str = BUCKET) -> list[str]:
        """The keys of all objects below a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def truth(self, prefix: str) -> dict[str, str]:
        """The ETags of all objects below a prefix, by filename."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {o["Key"].removeprefix(prefix): o["ETag"].strip('"') for page in pages for o in page.get("Contents", ())}

    def manifest(self, prefix: str, *, bucket: str = BUCKET) -> dict[str, Any]:
        """The stored head."""
        return json.loads(self.read(f"_manifests/{prefix}manifest.json", bucket=bucket))

    def files(self, prefix: str) -> dict[str, dict[str, Any]]:
        """The entries of a collection's manifest, by filename, from the head and its pages."""
        head = self.manifest(prefix)
        held = head.get("files", [])
        for page in head.get("pages", ()):
            held += json.loads(self.read(page["key"]))["files"]
        return {entry["filename"]: entry for entry in held}

    def received(self) -> list[dict[str, Any]]:
        """Up to ten messages in the change queue."""
        answer = self.sqs.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        return answer.get("Messages", [])

    def queued(self) -> list[str]:
        """Receives and deletes the visible messages of the sweep queue; returns their bodies."""
        found = []
        while messages := self.sqs.receive_message(QueueUrl=self.sweep_queue_url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                found.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self.sweep_queue_url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def jobs(self) -> list[Job]:
        """Receives and deletes the visible jobs of the sweep queue."""
        return [decode_job(body) for body in self.queued()]

    def sent(self, method: str) -> list[Request]:
        """The functions' requests with that method."""
        return [request for request in self.requests if request.method == method]

    def refuse(self, method: str, key: str, status: int, code: str = "AccessDenied") -> None:
        """Makes S3 return this error for these requests. A write is still applied: only its response is lost."""

        def fault(request: Request) -> AWSResponse | None:
            return answer(status, code) if (request.method, request.key) == (method, key) else None

        self.faults.append(fault)

    def refuse_bucket(self, bucket: str, status: int = 403, code: str = "AccessDenied") -> None:
        """Makes S3 return this error for every request to the bucket."""
        self.faults.append(lambda request: answer(status, code) if request.bucket == bucket else None)

    def _before_send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        url = urlsplit(request.url)
        body = request.body if isinstance(request.body, bytes) else b""
        parameters, bucket = dict(parse_qsl(url.query, keep_blank_values=True)), url.netloc.partition(".")[0]
        recorded = Request(request.method, unquote(url.path[1:]), parameters, body, bucket)
        self.requests.append(recorded)
        self.headers.append((request.method, {name: _text(value) for name, value in request.headers.items()}))
        for fault in list(self.faults):
            if broken := fault(recorded):
                return broken
        return None

    def _before_put_events(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        for fault in list(self.event_faults):
            if broken := fault():
                return broken
        self.announced += json.loads(request.body).get("Entries", [])
        return None


def rejected_event() -> AWSResponse:
    """EventBridge's response to a valid request whose event it rejects."""
    answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "try again"}]}
    headers = {"content-type": "application/x-amz-json-1.1"}
    return AWSResponse("https://events.invalid", 200, headers, _Raw(json.dumps(answer).encode()))


def listed(result: Any) -> ActionResult:
    """Encodes StartAfter in a response of moto's S3, since XML cannot hold every character of a key."""
    if isinstance(result, dict) and result.get("EncodingType") == "url" and "StartAfter" in result:
        result["StartAfter"] = quote(result["StartAfter"])
    return ActionResult(result)


class _Raw:
    """The bytes of a response, with urllib3's interface."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> list[bytes]:
        return [self._body]


def answer(status: int, code: str) -> AWSResponse:
    """An error in S3's format."""
    return xml(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>")


def xml(status: int, document: str) -> AWSResponse:
    """A response of S3."""
    return AWSResponse("https://s3.invalid", status, {"content-type": "application/xml"}, _Raw(document.encode()))
