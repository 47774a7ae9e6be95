"""A bucket's notification configuration with our part put in or taken out, and no other touched."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*", "s3:LifecycleTransition")
"""What can change an entry. ``ObjectRemoved`` leaves out lifecycle expiry; a transition changes the class.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
"""

_ATTEMPTS = 6
_PAUSE_SECONDS = 10

Configuration = dict[str, Any]


class NotSubscribed(Exception):
    """The bucket's notification configuration could not be brought to what was asked for."""


def subscribed(current: Mapping[str, Any], name: str, queue_arn: str, prefixes: Iterable[str]) -> Configuration:
    """``current`` with the queue told of changes below the prefixes, instead of what we had there.

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
    rest = {key: value for key, value in current.items() if key != "ResponseMetadata"}
    queues = [one for one in rest.pop("QueueConfigurations", []) if not is_ours(one.get("Id", ""), name)]
    return rest | ({"QueueConfigurations": queues} if queues else {})


def is_ours(configuration_id: str, name: str) -> bool:
    """Whether a configuration with that id is one of those that ``subscribed`` makes."""
    # By the number: another stack's name may begin with ours.
    return re.fullmatch(re.escape(name) + r"-\d+", configuration_id) is not None


def apply(
    client: "S3Client",
    bucket: str,
    change: Callable[[Mapping[str, Any]], Configuration],
    sleep: Callable[[float], None],
) -> None:
    """Reads the bucket's configuration, changes it, writes it, and reads it back to be sure.

    S3 has no conditional write for it, so somebody else's write in between can undo ours: then, and
    while a queue policy made a moment ago is not known to S3 yet, it is tried again for a minute.
    Raises ``NotSubscribed``.
    """
    problem = "somebody else writes it at the same time"
    for _ in range(_ATTEMPTS):
        wanted = change(client.get_bucket_notification_configuration(Bucket=bucket))
        try:
            client.put_bucket_notification_configuration(
                Bucket=bucket,
                NotificationConfiguration=wanted,  # type: ignore[arg-type]  # what S3 gave us, as it gave it
            )
        except client.exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") != "InvalidArgument":
                raise
            # Among others: overlapping prefixes, and a destination that does not let S3 send.
            problem = str(error)
        else:
            found = client.get_bucket_notification_configuration(Bucket=bucket)
            if _outline(found) == _outline(wanted):
                return
        sleep(_PAUSE_SECONDS)
    raise NotSubscribed(f"bucket {bucket}: its notification configuration is not as it should be: {problem}")


def _outline(configuration: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """What tells two configurations apart, whatever S3 makes of the spelling and the order of the rest."""
    listed = (value for value in configuration.values() if isinstance(value, list))
    return {(one.get("Id", ""), *_filtered(one)) for ones in listed for one in ones}


def _filtered(one: Mapping[str, Any]) -> list[str]:
    rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return sorted(f"{rule['Name'].lower()}={rule['Value']}" for rule in rules)
