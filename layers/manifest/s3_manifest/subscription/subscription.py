"""A bucket's notification configuration with our part put in or taken out, and no other touched."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3_manifest.subscription import retrying
from s3_manifest.subscription.retrying import GaveUp, NotDone, RetryPolicy

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

EVENTS = (
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleTransition",
    "s3:ObjectRestore:Completed",
)
"""What can change an entry, or make its object readable. ``ObjectRemoved`` leaves out lifecycle expiry; a
transition changes the storage class; a restored sidecar can be read again.

Not subscribed, because no field of an entry depends on them: tags, annotations, ACLs and retention; moves between
the access tiers of ``INTELLIGENT_TIERING``, which keep the storage class; the start of a restore and the expiry of a
restored copy, after which what was read stays valid; replication reports about the copy in the other bucket.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
"""

_EVENTBRIDGE = "EventBridgeConfiguration"

Configuration = dict[str, Any]


class NotSubscribed(Exception):
    """The bucket's notification configuration could not be brought to what was asked for."""


class NotReadable(NotSubscribed):
    """Reading the bucket's notification configuration was denied each time."""


class Superseded(Exception):
    """A later request about the same bucket has begun; this one must not have the last word."""

    def __init__(self) -> None:
        super().__init__("a later request about the same bucket has begun, and this one was undone")


def subscribed(current: Mapping[str, Any], name: str, queue_arn: str, prefixes: Iterable[str]) -> Configuration:
    """``current`` with the queue notified of changes below the prefixes, instead of what we had there.

    ``name`` tells ours from others': the ids of our configurations are it and a number.
    """
    merged = unsubscribed(current, name)
    ours = [
        {
            "Id": f"{name}-{index}",
            "QueueArn": queue_arn,
            "Events": list(EVENTS),
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
        }
        for index, prefix in enumerate(prefixes)
    ]
    return merged | {"QueueConfigurations": [*merged.get("QueueConfigurations", []), *ours]}


def unsubscribed(current: Mapping[str, Any], name: str) -> Configuration:
    """``current`` without our configurations."""
    rest = _settings(current)
    queues = [one for one in rest.pop("QueueConfigurations", []) if not is_ours(one.get("Id", ""), name)]
    return rest | ({"QueueConfigurations": queues} if queues else {})


def routed(current: Mapping[str, Any], name: str) -> Configuration:
    """``current`` with the bucket's events sent to EventBridge, instead of what we had there."""
    return with_eventbridge(unsubscribed(current, name))


def sends_to_eventbridge(configuration: Mapping[str, Any]) -> bool:
    """Whether the bucket sends all its events to EventBridge."""
    return _EVENTBRIDGE in configuration


def with_eventbridge(current: Mapping[str, Any]) -> Configuration:
    """``current`` with the bucket's events sent to EventBridge."""
    return _settings(current) | {_EVENTBRIDGE: {}}


def without_eventbridge(current: Mapping[str, Any]) -> Configuration:
    """``current`` with no events sent to EventBridge."""
    return {key: value for key, value in _settings(current).items() if key != _EVENTBRIDGE}


def _settings(answer: Mapping[str, Any]) -> Configuration:
    """The configuration in an answer of boto3's, which adds to it."""
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def is_ours(configuration_id: str, name: str) -> bool:
    """Whether a configuration with that id is one of those that ``subscribed`` makes."""
    # By the number: another stack's name may begin with ours.
    return re.fullmatch(re.escape(name) + r"-\d+", configuration_id) is not None


def apply(
    client: "S3Client",
    bucket: str,
    change: Callable[[Mapping[str, Any]], Configuration],
    sleep: Callable[[float], None],
    *,
    seconds_left: Callable[[], float] = lambda: float("inf"),
    is_latest: Callable[[], bool] = lambda: True,
    removing: bool = False,
    queue_arn: str = "",
) -> None:
    """Reads the bucket's configuration, changes it, writes it, and reads it back to be sure.

    S3 has no conditional write for it, so another party's write in between can undo ours: then, and while S3 does
    not know a policy yet that was made a moment ago, it is tried again for a minute. ``is_latest`` is asked before
    each write and after the last one: a request that is not the latest any more raises ``Superseded``, and its
    caller has to undo what it may have written.

    ``removing``: ``change`` only takes out. Then nothing is written where there is nothing to take out, and S3 does
    not validate the destinations that stay: another party's may be gone, and S3 would refuse our removal for it. For
    the same reason it does not validate again what it refused, where our ``queue_arn`` is not what it refuses.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html

    Raises ``NotSubscribed``; ``NotReadable`` if access was denied from the first request on.
    """
    was_read, skip_validation = False, removing

    def attempt() -> None:
        nonlocal was_read, skip_validation
        current = client.get_bucket_notification_configuration(Bucket=bucket)
        was_read = True
        wanted = change(current)
        if removing and _outline(wanted) == _outline(current):
            return
        if not is_latest():
            raise Superseded
        skip = {"SkipDestinationValidation": True} if skip_validation else {}
        try:
            client.put_bucket_notification_configuration(
                Bucket=bucket,
                NotificationConfiguration=wanted,  # type: ignore[arg-type]  # what S3 gave us, as it gave it
                **skip,  # type: ignore[arg-type]  # mypy takes it for any parameter
            )
        except client.exceptions.ClientError as error:
            # Another party's destination is invalid, and ours is not: the next attempt does not ask about theirs.
            skip_validation = skip_validation or _is_about_others(error, queue_arn)
            raise
        found = client.get_bucket_notification_configuration(Bucket=bucket)
        if not _is_as_wanted(found, wanted, current):
            raise NotDone("another party writes it at the same time")

    try:
        retrying.insist(attempt, RetryPolicy(sleep, seconds_left))
    except GaveUp as error:
        kind = NotSubscribed if was_read or not error.denied else NotReadable
        mend = (
            "; allow s3:GetBucketNotification and s3:PutBucketNotification on it to this role, in the bucket's policy"
            " and the organization's policies too"
        )
        raise kind(
            f"bucket {bucket}: its notification configuration is not as it should be: {error}"
            f"{mend if error.denied else ''}"
        ) from error
    if not is_latest():
        raise Superseded


def _is_about_others(error: ClientError, queue_arn: str) -> bool:
    """Whether S3 refuses destinations that it names, and our queue is none of them."""
    fields = error.response.get("Error", {}).items()
    refused = {value for name, value in fields if name.startswith("ArgumentName")}
    return bool(queue_arn and refused) and queue_arn not in refused


def _is_as_wanted(found: Mapping[str, Any], wanted: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether S3 has what was written; of events for EventBridge only a change of ours matters."""
    if sends_to_eventbridge(wanted) == sends_to_eventbridge(before):
        found, wanted = without_eventbridge(found), without_eventbridge(wanted)
    return _outline(found) == _outline(wanted)


def _lists(configuration: Mapping[str, Any]) -> list[list[Mapping[str, Any]]]:
    return [value for value in configuration.values() if isinstance(value, list)]


def _outline(configuration: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """What tells two configurations apart, whatever S3 makes of the spelling and the order of the rest."""
    outline = {(one.get("Id", ""), *_filtered(one)) for ones in _lists(configuration) for one in ones}
    return outline | ({(_EVENTBRIDGE,)} if sends_to_eventbridge(configuration) else set())


def _filtered(one: Mapping[str, Any]) -> list[str]:
    rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return sorted(f"{rule['Name'].lower()}={rule['Value']}" for rule in rules)
