"""A bucket's notification configuration: adds or removes this stack's part and keeps all others."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3_manifest.subscription.retrying import AttemptFailed, RetriesExhausted, RetryPolicy, rejected_arguments, retry

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

EVENTS = (
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleTransition",
    "s3:ObjectRestore:Completed",
)
"""The events that change an entry or make its object readable. ``ObjectRemoved`` excludes lifecycle expiry, a
transition changes the storage class, and a restored sidecar can be read again.

Other events change no field of an entry: tags, annotations, ACLs and retention; moves between the access tiers of
``INTELLIGENT_TIERING``, which keep the storage class; the start of a restore and the expiry of a restored copy, whose
content was read already; replication reports about the copy in another bucket.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
"""

_EVENTBRIDGE = "EventBridgeConfiguration"

Configuration = dict[str, Any]
Change = Callable[[Mapping[str, Any]], Configuration]


class NotSubscribed(Exception):
    """The bucket's notification configuration could not be changed as requested."""


class NotReadable(NotSubscribed):
    """Every attempt to read the bucket's notification configuration was denied."""


class Superseded(Exception):
    """A later request about the same bucket has started; this one must not overwrite it."""

    def __init__(self) -> None:
        super().__init__("a later request about the same bucket has started, and this one was undone")


def with_queue(current: Mapping[str, Any], name: str, queue_arn: str, prefixes: Iterable[str]) -> Configuration:
    """Returns ``current`` with this stack's part replaced: the queue receives changes below the prefixes.

    The ids of its configurations are ``name`` and a number.
    """
    merged = without_queue(current, name)
    own = [
        {
            "Id": f"{name}-{index}",
            "QueueArn": queue_arn,
            "Events": list(EVENTS),
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
        }
        for index, prefix in enumerate(prefixes)
    ]
    return merged | {"QueueConfigurations": [*merged.get("QueueConfigurations", []), *own]}


def without_queue(current: Mapping[str, Any], name: str) -> Configuration:
    """Returns ``current`` without this stack's part."""
    others = _settings(current)
    queues = [item for item in others.pop("QueueConfigurations", []) if not is_ours(item.get("Id", ""), name)]
    return others | ({"QueueConfigurations": queues} if queues else {})


def is_ours(configuration_id: str, name: str) -> bool:
    """Whether ``with_queue`` makes a configuration with that id."""
    # Compares the number too: another stack's name may begin with this one's.
    return re.fullmatch(re.escape(name) + r"-\d+", configuration_id) is not None


def sends_to_eventbridge(configuration: Mapping[str, Any]) -> bool:
    """Whether the bucket sends all its events to EventBridge."""
    return _EVENTBRIDGE in configuration


def with_eventbridge(current: Mapping[str, Any], without: str) -> Configuration:
    """Returns ``current`` with the bucket's events sent to EventBridge, and without this stack's part."""
    return without_queue(current, without) | {_EVENTBRIDGE: {}}


def without_eventbridge(current: Mapping[str, Any]) -> Configuration:
    """Returns ``current`` with no events sent to EventBridge."""
    return {key: value for key, value in _settings(current).items() if key != _EVENTBRIDGE}


def _settings(answer: Mapping[str, Any]) -> Configuration:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


@dataclass(frozen=True)
class BucketNotifications:
    """Changes a bucket's configuration for one request. ``is_latest``: whether no later request has started."""

    client: "S3Client"
    bucket: str
    policy: RetryPolicy
    is_latest: Callable[[], bool] = lambda: True

    def apply(self, change: Change, queue_arn: str | None = None) -> None:
        """Writes a change and verifies it.

        ``queue_arn`` is that of this stack's part if the change adds it. Another party's invalid destination does not
        block that: S3 skips validation after it has rejected destinations that do not include ``queue_arn``.

        Without ``queue_arn`` the change only removes. Nothing is written if there is nothing to remove, and S3 does
        not validate the destinations of others, which may be gone:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html

        Raises ``NotSubscribed``; ``NotReadable`` if every read was denied; ``Superseded`` if a later request has
        started before the write. The caller finds one that starts afterwards, and undoes what was written.
        """
        is_removal = queue_arn is None
        was_read, skip_validation = False, is_removal

        def attempt() -> None:
            # S3 has no conditional write here, so another party may overwrite it: it is read back, and retried.
            nonlocal was_read, skip_validation
            current = self._read()
            was_read = True
            target = change(current)
            if is_removal and _outline(target) == _outline(current):
                return
            if not self.is_latest():
                raise Superseded
            skip = {"SkipDestinationValidation": True} if skip_validation else {}
            try:
                self.client.put_bucket_notification_configuration(
                    Bucket=self.bucket,
                    NotificationConfiguration=target,  # type: ignore[arg-type]  # as S3 returned it
                    **skip,  # type: ignore[arg-type]  # mypy takes it for any parameter
                )
            except ClientError as error:
                rejected = rejected_arguments(error)
                skip_validation = skip_validation or bool(queue_arn and rejected and queue_arn not in rejected)
                raise
            if not _is_applied(self._read(), target, current):
                raise AttemptFailed("another party writes it at the same time")

        try:
            retry(attempt, self.policy)
        except RetriesExhausted as error:
            kind = NotSubscribed if was_read or not error.is_denied else NotReadable
            remedy = (
                "; allow this role s3:GetBucketNotification and s3:PutBucketNotification on the bucket, also in the"
                " bucket's policy and the organization's policies"
            )
            raise kind(
                f"bucket {self.bucket}: its notification configuration was not changed: {error}"
                f"{remedy if error.is_denied else ''}"
            ) from error

    def _read(self) -> Mapping[str, Any]:
        return self.client.get_bucket_notification_configuration(Bucket=self.bucket)


def _is_applied(actual: Mapping[str, Any], target: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether S3 has what was written. EventBridge counts only if the change was about it."""
    if sends_to_eventbridge(target) == sends_to_eventbridge(before):
        actual, target = without_eventbridge(actual), without_eventbridge(target)
    return _outline(actual) == _outline(target)


def _outline(configuration: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """Returns what identifies a configuration: S3 reorders lists and respells names."""
    items = chain.from_iterable(value for value in configuration.values() if isinstance(value, list))
    outline = {(item.get("Id", ""), *_filters(item)) for item in items}
    return outline | ({(_EVENTBRIDGE,)} if sends_to_eventbridge(configuration) else set())


def _filters(item: Mapping[str, Any]) -> list[str]:
    rules = item.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return sorted(f"{rule['Name'].lower()}={rule['Value']}" for rule in rules)
