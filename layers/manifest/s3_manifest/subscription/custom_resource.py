"""The custom resource ``Custom::Subscription``: carries out CloudFormation's requests.

One resource subscribes to all buckets of the stack: the stack's own and the additional ones, as far as they have
collections. Every request may arrive twice, and a later one may overtake it. Delete also arrives after a Create that
failed or was never answered.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes.html

The physical id is the stack's own bucket at the time of the Create, and never changes: after an Update that changes it,
CloudFormation would send Delete with the old properties, and which of their buckets the stack still uses would be
unknown. Instead an Update itself leaves the buckets that only the old properties name. CloudFormation rolls it back
with an Update in the other direction, which subscribes to them again and compares everything with S3. So the id is only
a name: every request acts on the buckets in its properties.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from s3_manifest.manifest.jobs import SweepAll, encode_job
from s3_manifest.manifest.model import first_problem
from s3_manifest.storage.store import StoreError
from s3_manifest.subscription.bucket_check import problem_of
from s3_manifest.subscription.bucket_subscription import BucketSubscription
from s3_manifest.subscription.event_rule import NotTargeted
from s3_manifest.subscription.notifications import NotSubscribed, Superseded
from s3_manifest.subscription.properties import AnyProperties, InvalidRequest, Properties
from s3_manifest.subscription.request_order import RequestOrder
from s3_manifest.subscription.services import RequestFailed, Services

SECOND_SWEEP_SECONDS = 600
"""S3 needs "around five minutes" to begin sending to EventBridge; a second sweep finds the changes in that time.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html
"""

_FAILURES = (NotSubscribed, Superseded, RequestFailed, NotTargeted, StoreError, ClientError, BotoCoreError)


def physical_id(event: Mapping[str, Any]) -> str:
    """Returns the physical id for the response: the current one, or the bucket of a Create."""
    return str(event.get("PhysicalResourceId") or event["ResourceProperties"].get("Bucket") or "none")


def handle(event: Mapping[str, Any], services: Services) -> None:
    """Carries out a request of CloudFormation. Raises if it fails, after it has tried every bucket."""
    request = f"{event['RequestType']} {event['RequestId']}"
    if event["RequestType"] == "Delete":
        _delete(event["ResourceProperties"], request, services)
        return
    try:
        properties = Properties.model_validate(event["ResourceProperties"])
    except ValidationError as error:
        raise InvalidRequest(f"property {first_problem(error)}") from error
    try:
        old = Properties.model_validate(event.get("OldResourceProperties"))
        old.check()
    except ValueError:
        old = None  # they were never applied
    _put(properties, old, request, services)


def _delete(fields: Mapping[str, Any], request: str, services: Services) -> None:
    try:
        properties = AnyProperties.model_validate(fields)
    except ValidationError as error:
        services.warn(f"nothing to unsubscribe: invalid property {first_problem(error)}")
        return
    if not properties.name:
        services.warn("nothing to unsubscribe: the property Name is missing")
        return
    order = RequestOrder(services.sqs, properties.queue_arn, services.warn)
    order.register(request, properties.buckets)
    sources = frozenset({properties.event_source})
    if "EventBridge" in sources:
        services.events()  # clients are made on one thread

    def remove(bucket: str) -> None:
        BucketSubscription(bucket, request, order, services, properties, sources).remove()

    _for_each(properties.buckets, remove, services)


def _put(properties: Properties, old: Properties | None, request: str, services: Services) -> None:
    """Subscribes to the buckets with collections, leaves the others, and sweeps every collection."""
    properties.check()  # an invalid setting fails before anything is written
    sources = frozenset({properties.event_source, *({old.event_source} if old else ())})
    if "EventBridge" in sources:
        services.events()  # clients are made on one thread
    buckets = dict.fromkeys((*properties.buckets, *(old.buckets if old else ())))
    subscribed = [bucket for bucket in buckets if properties.prefixes(bucket)]
    order = RequestOrder(services.sqs, properties.queue_arn, services.warn)
    order.register(request, buckets)

    def part(bucket: str, of: Properties) -> BucketSubscription:
        return BucketSubscription(bucket, request, order, services, of, sources)

    problems = services.parallel_map(lambda bucket: problem_of(bucket, properties.queue_arn, services), subscribed)
    if found := "; ".join(filter(None, problems)):
        raise RequestFailed(found)
    _for_each(subscribed, lambda bucket: part(bucket, properties).put(properties, old), services)
    if old:
        # A Create has nothing to leave.
        unused = [bucket for bucket in buckets if bucket not in subscribed]
        _for_each(unused, lambda bucket: part(bucket, old).leave(old), services)
    # For objects that existed before, and changes without an event.
    url = services.sweep_queue_url
    send = partial(services.sqs.send_message, QueueUrl=url, MessageBody=encode_job(SweepAll()))
    for delay in (0, SECOND_SWEEP_SECONDS) if "EventBridge" in sources else (0,):
        services.retry(f"queue a sweep in {url}", partial(send, DelaySeconds=delay))


def _for_each(buckets: Iterable[str], work: Callable[[str], None], services: Services) -> None:
    """Carries out the work for each bucket, in parallel: one that fails does not hold up the others.

    Raises the error if one bucket failed, and ``RequestFailed`` with all of them if several did.
    """

    def attempt(bucket: str) -> Exception | None:
        try:
            work(bucket)
        except (ClientError, BotoCoreError) as error:
            # Their messages do not name the bucket.
            return RequestFailed(f"bucket {bucket}: {error}")
        except _FAILURES as error:
            return error
        return None

    failures = [error for error in services.parallel_map(attempt, buckets) if error]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise RequestFailed("; ".join(map(str, failures)))
