"""Decodes S3 events from every envelope they arrive in.

Formats: notifications,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html, and EventBridge events,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from urllib.parse import unquote_plus

from pydantic import BaseModel, Field, StringConstraints, ValidationError
from pydantic_core import from_json

from s3_manifest.manifest.collections import MAX_KEY_BYTES
from s3_manifest.manifest.model import first_problem

Shape = TypeVar("Shape", bound=BaseModel)


class MalformedEvent(ValueError):
    """A message that is not an S3 notification."""


class ObjectEvent(NamedTuple):
    """A hint that a key should be observed; its name and time are for logs only."""

    bucket: str
    key: str
    name: str
    time: str


class _Bucket(BaseModel):
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]


class _Object(BaseModel):
    key: Annotated[str, StringConstraints(min_length=1)]


class _Subject(BaseModel):
    bucket: _Bucket
    object: _Object


class _Record(BaseModel):
    eventVersion: Annotated[str, StringConstraints(pattern=r"^2\.")]
    eventSource: Literal["aws:s3"]
    eventName: Annotated[str, StringConstraints(max_length=100)]
    eventTime: str = ""
    s3: _Subject


class _Notification(BaseModel):
    Records: list[_Record]


class _BridgeEvent(BaseModel):
    source: Literal["aws.s3"]
    detail_type: Annotated[str, StringConstraints(max_length=100), Field(alias="detail-type")]
    time: str = ""
    detail: _Subject


def decode_body(body: str) -> list[ObjectEvent]:
    """The events in one SQS message body; none in S3's test message.

    The body is a notification, an EventBridge event, or an SNS envelope around one of them. Raises ``MalformedEvent``.
    """
    return decode(_json_object(body))


def decode(notification: Mapping[str, Any]) -> list[ObjectEvent]:
    """The events in one S3 notification or EventBridge event, as Lambda receives it. See ``decode_body``."""
    if notification.get("Type") == "Notification" and "TopicArn" in notification:
        return decode(_json_object(notification.get("Message")))
    if notification.get("Event") == "s3:TestEvent" and "Records" not in notification:
        return []
    if "detail" in notification and "Records" not in notification:
        event = _validate(_BridgeEvent, notification, "an EventBridge event of S3")
        # Unlike a notification's, this key is not percent-encoded:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
        key = _decode_key(event.detail.object.key, is_quoted=False)
        return [ObjectEvent(event.detail.bucket.name, key, event.detail_type, event.time)]
    records = _validate(_Notification, notification, "an S3 notification").Records
    return [
        ObjectEvent(item.s3.bucket.name, _decode_key(item.s3.object.key), item.eventName, item.eventTime)
        for item in records
    ]


def _validate(shape: type[Shape], event: Mapping[str, Any], name: str) -> Shape:
    try:
        return shape.model_validate(event)
    except ValidationError as error:
        raise MalformedEvent(f"not {name}: {first_problem(error)}") from error
    except RecursionError as error:
        raise MalformedEvent(f"not {name}: nested too deeply") from error


def _json_object(text: object) -> dict[str, Any]:
    if not isinstance(text, str):
        raise MalformedEvent("not an S3 notification: the body is not text")
    try:
        value = from_json(text.encode())
    except ValueError as error:
        raise MalformedEvent(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedEvent("not an S3 notification: the body is not a JSON object")
    return value


def _decode_key(encoded: str, *, is_quoted: bool = True) -> str:
    try:
        key = unquote_plus(encoded, errors="strict") if is_quoted else encoded
        size = len(key.encode())
    except UnicodeError as error:
        encoding = "percent-encoded UTF-8" if is_quoted else "UTF-8"
        raise MalformedEvent(f"key {encoded[:100]!r} is not {encoding}") from error
    if size > MAX_KEY_BYTES:
        raise MalformedEvent(f"key {encoded[:100]!r}… is {size} bytes long; S3 allows {MAX_KEY_BYTES}")
    return key
