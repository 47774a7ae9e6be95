"""Since when a deployment is subscribed to a bucket's prefixes: ``<root>subscription.json``, one object per bucket.

The subscription function writes it before the bucket's notification configuration; the reconciler reads it. Manifests
state by it which objects are older than the subscription, so it must not depend on when somebody reads it: a time in
it is always later than the moment from which the record can be read. A program that has observed an object of that time
or later finds the time in the record.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime, timedelta

from pydantic import ValidationError
from pydantic_core import from_json

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.encoding import json_bytes
from s3_manifest.manifest.model import SCHEMA, Strict, Timestamp, first_problem, timestamp
from s3_manifest.storage.store import Conflict, OutcomeUnknown, Store, StoreError

_LEAD = timedelta(seconds=1)
"""How long a write of the record may take before it is repeated with a later time."""

_ATTEMPTS = 10

_REMEDY = (
    "It is left untouched: restore an earlier version, or delete it. Without it, objects count as s3_scan until the"
    " stack's parameter Collections or EventSource changes"
)


class UnreadableRecord(StoreError):
    """The record is damaged, or a newer version wrote it; it is left untouched."""


class Subscription(Strict):
    """A prefix is subscribed ``since`` this whole second, by ``deployment``."""

    since: Timestamp
    deployment: str


class SubscriptionRecord(Strict):
    """The subscriptions of one bucket, by prefix. No prefix is below another one."""

    prefixes: Mapping[str, Subscription] = {}

    def subscribed_at(self, key: str) -> Timestamp | None:
        """Since when changes of this key, or below this prefix, are announced; None: they are not.

        An object whose ``LastModified`` is this time or later was uploaded after the subscription. S3 truncates
        ``LastModified`` to whole seconds, and this is a whole second, so the comparison is exact.
        """
        return next((item.since for prefix, item in self.prefixes.items() if key.startswith(prefix)), None)

    def with_deployment(self, deployment: str, prefixes: Sequence[str], since: Timestamp) -> "SubscriptionRecord":
        """The record after this deployment has subscribed to exactly these prefixes.

        A prefix that it has already keeps its time, a new one has ``since``, and its other prefixes are dropped. Other
        deployments keep theirs, unless they overlap: S3 sends the changes of a prefix to one queue only.
        """
        own = {prefix: self.prefixes.get(prefix) for prefix in prefixes}
        subscriptions = {
            prefix: item if item and item.deployment == deployment else Subscription(since=since, deployment=deployment)
            for prefix, item in own.items()
        }
        subscriptions |= {
            prefix: item
            for prefix, item in self.prefixes.items()
            if item.deployment != deployment and not any(_overlap(prefix, other) for other in prefixes)
        }
        return SubscriptionRecord(prefixes=dict(sorted(subscriptions.items())))


def record_key(root: str) -> str:
    """The key of a bucket's record; ``root`` is the prefix of its manifests."""
    return f"{root}subscription.json"


def read(store: Store, root: str, bucket: str = "") -> SubscriptionRecord | None:
    """The bucket's record; None if there is none. ``bucket``: its name, for errors.

    Raises ``UnreadableRecord``, ``StoreError``.
    """
    stored = store.get(record_key(root))
    return decode(bucket, root, stored.body) if stored else None


def subscribed_at(
    store: Store, collection: Collection, records: MutableMapping[str, SubscriptionRecord]
) -> Timestamp | None:
    """Since when the collection's changes are announced; None: its bucket's record does not have its prefix yet.

    ``records`` are those that the process has read, by bucket. The record is read until it has the prefix: then its
    time is final. Raises ``UnreadableRecord``, ``StoreError``.
    """
    record = records.get(collection.bucket)
    since = record.subscribed_at(collection.prefix) if record else None
    if since is None and (record := read(store, collection.root, collection.bucket)):
        records[collection.bucket] = record
        since = record.subscribed_at(collection.prefix)
    return since


def decode(bucket: str, root: str, body: bytes) -> SubscriptionRecord:
    """The record from its bytes. Raises ``UnreadableRecord``, which names the object and the remedy."""

    def unreadable(reason: str, remedy: str = _REMEDY) -> UnreadableRecord:
        return UnreadableRecord(record_key(root), f"{reason}. {remedy}", bucket=bucket)

    try:
        fields = from_json(body)
        if not isinstance(fields, dict):
            raise unreadable("it is not a JSON object")
        schema = fields.pop("schema", None)
        if type(schema) is int and schema > SCHEMA:
            reason = f"written by a newer version: its schema is {schema}; this version reads {SCHEMA}"
            raise unreadable(reason, "Update the stack")
        if type(schema) is not int or schema < SCHEMA:  # True equals 1, and so does 1.0
            raise unreadable(f"its schema is {schema!r}; this version reads {SCHEMA}")
        return SubscriptionRecord.model_validate(fields)
    except ValidationError as error:
        raise unreadable(first_problem(error)) from error
    except ValueError as error:
        raise unreadable(f"it is not JSON: {error}") from error


def write(
    store: Store,
    root: str,
    deployment: str,
    prefixes: Sequence[str],
    now: Callable[[], Timestamp],
    bucket: str = "",
) -> SubscriptionRecord:
    """Records that this deployment is subscribed to exactly these prefixes of the bucket; returns the record.

    Call it before every change of the bucket's notifications that subscribes to prefixes, with all of them. Call it
    without prefixes after the deployment has left the bucket, so that it starts anew if it comes back. ``deployment``
    is a name that no other stack ever has, such as the property ``RulePrefix``: a stack that is deleted and created
    again has a new one. ``with_deployment`` says what becomes of earlier times.

    Safe to repeat, and beside other deployments: it writes by compare-and-swap, and returns once the record can be read
    before its new times have come. ``bucket``: its name, for errors. Raises ``UnreadableRecord`` (nothing is written),
    ``StoreError``.
    """
    key, tried = record_key(root), set[str]()
    for _ in range(_ATTEMPTS):
        stored = store.get(key)
        record = decode(bucket, root, stored.body) if stored else SubscriptionRecord()
        at = now()
        late = {since for since in tried if since <= at}
        after = _without(record, deployment, late).with_deployment(deployment, prefixes, since := _next_start(at))
        if after == record:
            return record
        tried.add(since)
        # The next round reads what became of the write.
        with suppress(Conflict, OutcomeUnknown):
            store.put(key, _encode(after), replaces=stored.etag if stored else None, metadata={})
    raise Conflict(key, "other writers kept changing it", bucket=bucket)


def _next_start(now: Timestamp) -> Timestamp:
    """The first whole second by which a record that is written now can be read."""
    return timestamp((datetime.fromisoformat(now) + _LEAD).replace(microsecond=0) + timedelta(seconds=1))


def _without(record: SubscriptionRecord, deployment: str, times: AbstractSet[Timestamp]) -> SubscriptionRecord:
    items = record.prefixes.items()
    others = {prefix: item for prefix, item in items if item.deployment != deployment or item.since not in times}
    return SubscriptionRecord(prefixes=others)


def _overlap(first: str, second: str) -> bool:
    return first.startswith(second) or second.startswith(first)


def _encode(record: SubscriptionRecord) -> bytes:
    return json_bytes({"schema": SCHEMA, **record.model_dump()})
