"""The custom resource ``Custom::Subscription``: carries out CloudFormation's requests.

Every request may arrive twice, and a later one may overtake it. Delete also arrives after a Create that failed or was
never answered, and for the bucket that an Update left.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes.html
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from s3_manifest.aws import messaging
from s3_manifest.manifest.collections import parse_collections
from s3_manifest.manifest.jobs import SweepAll
from s3_manifest.manifest.model import first_problem
from s3_manifest.subscription import event_rule, notifications
from s3_manifest.subscription.event_rule import Rule
from s3_manifest.subscription.notifications import (
    BucketNotifications,
    Configuration,
    NotReadable,
    NotSubscribed,
    Superseded,
)
from s3_manifest.subscription.request_order import RequestOrder
from s3_manifest.subscription.retrying import RetriesExhausted, RetryPolicy, retry

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

T = TypeVar("T")

EventSource = Literal["Notifications", "EventBridge"]

SECOND_SWEEP_SECONDS = 600
"""S3 needs "around five minutes" to begin sending to EventBridge; a second sweep finds the changes in that time.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html
"""

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class InvalidRequest(ValueError):
    """The resource's properties are not those of the template; the message lists the differences."""


class RequestFailed(Exception):
    """All attempts of a request to AWS failed; the message names the request and the cause."""


class Services(NamedTuple):
    """What a request uses. ``events`` makes its client on first use; ``warn`` logs a line."""

    s3: "S3Client"
    sqs: "SQSClient"
    events: Callable[[], "EventBridgeClient"]
    sweep_queue_url: str
    retry_policy: RetryPolicy
    warn: Callable[[str], None]


class _AnyProperties(BaseModel):
    """Properties that may never have been valid; enough to delete the resource."""

    # CloudFormation adds ServiceToken and ServiceTimeout.
    model_config = ConfigDict(frozen=True, extra="ignore")

    bucket: str = Field(alias="Bucket", default="")
    queue_arn: str = Field(alias="QueueArn", default="")
    name: str = Field(alias="Name", default="")
    event_source: str = Field(alias="EventSource", default="Notifications")
    rule_prefix: str = Field(alias="RulePrefix", default="")


class Properties(_AnyProperties):
    """The resource's properties, as in the template."""

    bucket: str = Field(alias="Bucket", min_length=1)
    queue_arn: str = Field(alias="QueueArn", min_length=1)
    collections: str = Field(alias="Collections")
    manifest_root: str = Field(alias="ManifestRoot")
    name: str = Field(alias="Name", min_length=1)
    event_source: EventSource = Field(alias="EventSource", default="Notifications")

    @property
    def prefixes(self) -> list[str]:
        """The prefixes to subscribe to. Raises ``InvalidCollections``."""
        return parse_collections(self.collections, self.manifest_root).notification_prefixes()


def physical_id(event: Mapping[str, Any]) -> str:
    """Returns the physical id for the response to a failed request: the current one, or the bucket of a Create."""
    return str(event.get("PhysicalResourceId") or event["ResourceProperties"].get("Bucket") or "none")


def handle(event: Mapping[str, Any], services: Services) -> str:
    """Carries out a request of CloudFormation; returns the physical id for the response. Raises if it fails."""
    request = _Request(f"{event['RequestType']} {event['RequestId']}", services)
    if event["RequestType"] == "Delete":
        request.delete(physical_id(event), event["ResourceProperties"])
        return physical_id(event)
    try:
        properties = Properties.model_validate(event["ResourceProperties"])
    except ValidationError as error:
        raise InvalidRequest(f"property {first_problem(error)}") from error
    try:
        old = Properties.model_validate(event.get("OldResourceProperties"))
    except ValidationError:
        old = None  # they were never applied
    if old and physical_id(event) == properties.bucket != old.bucket:
        # This rolls back an Update to another bucket that did not succeed. CloudFormation does not know that bucket
        # as a physical id, and sends no Delete for it.
        try:
            _Request(f"Delete {event['RequestId']}", services).leave(old.bucket, old)
        except (NotSubscribed, RequestFailed) as error:
            # The rollback itself has to succeed.
            services.warn(f"the subscription of a failed Update may still exist: {error}")
    request.put(properties, old)
    return properties.bucket


class _Request(NamedTuple):
    name: str
    services: Services

    def put(self, properties: Properties, old: Properties | None) -> None:
        _ = properties.prefixes  # an invalid setting fails before anything is written
        order = self._order(properties.queue_arn, properties.bucket)
        order.register(self.name)
        try:
            self.subscribe(properties, old)
        except Superseded:
            self._undo(properties, old, order)
            raise
        self._queue_sweeps(properties, old)

    def delete(self, resource_id: str, values: Mapping[str, Any]) -> None:
        try:
            properties = _AnyProperties.model_validate(values)
        except ValidationError as error:
            self.services.warn(f"nothing to unsubscribe: invalid property {first_problem(error)}")
            return
        if not properties.name:
            self.services.warn("nothing to unsubscribe: the property Name is missing")
            return
        # CloudFormation invents an id for a Create that was never answered. It contains the logical id, which is not
        # a bucket name: then the bucket is that of the properties.
        is_bucket = resource_id == properties.bucket or _BUCKET_NAME.fullmatch(resource_id) or not properties.bucket
        self.leave(resource_id if is_bucket else properties.bucket, properties)

    def leave(self, bucket: str, properties: _AnyProperties) -> None:
        """Removes this stack's part from a bucket; succeeds if the configuration cannot be read.

        If reading is denied, the Create before most likely failed for the same reason: another failure would turn the
        rollback into ROLLBACK_FAILED, and no later attempt would do better. A part that was seen and cannot be removed
        is an error: once its queue is gone, nobody could change the bucket's notifications any more.
        """
        if properties.queue_arn:
            self._order(properties.queue_arn, bucket).register(self.name)
        try:
            self._unsubscribe(bucket, properties)
        except NotReadable as error:
            self.services.warn(
                f"{error}. If it contains configurations {properties.name}-…, remove them with"
                f" `aws s3api put-bucket-notification-configuration --bucket {bucket} --skip-destination-validation`"
            )

    def _order(self, queue_arn: str, bucket: str) -> RequestOrder:
        return RequestOrder(self.services.sqs, queue_arn, bucket, self.services.warn)

    def subscribe(self, properties: Properties, old: Properties | None) -> None:
        bucket, services = properties.bucket, self.services
        order = self._order(properties.queue_arn, bucket)
        target = BucketNotifications(
            services.s3, bucket, services.retry_policy, lambda: order.latest() in {None, self.name}
        )
        if properties.event_source == "EventBridge":
            rule_name = event_rule.name(properties.rule_prefix, bucket)
            self._retry(
                f"create EventBridge rule {rule_name}",
                lambda: event_rule.ensure(
                    services.events(), services.s3, rule_name, bucket, properties.prefixes, properties.queue_arn
                ),
            )
            target.add(partial(notifications.with_eventbridge, without=properties.name), properties.queue_arn)
            return
        rule = self._find_rule(bucket, old) if old else None
        disable_eventbridge = self._may_disable_eventbridge(rule, bucket)

        def change(current: Mapping[str, Any]) -> Configuration:
            # One write moves the bucket from EventBridge to the queue, so that no event is lost.
            before = notifications.without_eventbridge(current) if disable_eventbridge else current
            return notifications.with_queue(before, properties.name, properties.queue_arn, properties.prefixes)

        target.add(change, properties.queue_arn)
        self._delete_rule(rule)

    def _undo(self, properties: Properties, old: Properties | None, order: RequestOrder) -> None:
        """Makes the bucket what the superseding request wants, now that both may have written.

        Only Delete follows a Create. An Update of the same bucket is followed by the Update back, or by Delete.
        """
        while True:
            latest = order.latest() or ""
            if not old or old.bucket != properties.bucket or latest.startswith("Delete"):
                self._unsubscribe(properties.bucket, properties)
                return
            try:
                self._replace(name=latest).subscribe(old, properties)
            except Superseded:
                continue
            return

    def _queue_sweeps(self, properties: Properties, old: Properties | None) -> None:
        """Sweeps every collection: for objects that existed before, and changes without an event."""
        sources, url = {properties.event_source, old and old.event_source}, self.services.sweep_queue_url
        for delay in (0, SECOND_SWEEP_SECONDS) if "EventBridge" in sources else (0,):
            send = partial(messaging.send_job, self.services.sqs, url, SweepAll(), delay)
            self._retry(f"queue a sweep in {url}", send)

    def _unsubscribe(self, bucket: str, properties: _AnyProperties) -> None:
        services = self.services
        try:
            rule = self._find_rule(bucket, properties)
        except RequestFailed as error:
            services.warn(f"{error}. If the rule exists, delete it by hand")
            rule = None
        disable_eventbridge = self._may_disable_eventbridge(rule, bucket)

        def change(current: Mapping[str, Any]) -> Configuration:
            others = notifications.without_queue(current, properties.name)
            return notifications.without_eventbridge(others) if disable_eventbridge else others

        try:
            BucketNotifications(services.s3, bucket, services.retry_policy).remove(change)
        except services.s3.exceptions.NoSuchBucket:
            services.warn(f"bucket {bucket} does not exist any more, so its notifications do not either")
        self._delete_rule(rule)

    def _find_rule(self, bucket: str, properties: _AnyProperties) -> Rule | None:
        """Returns the bucket's rule if a resource with these properties may have created one."""
        if properties.event_source != "EventBridge":
            return None
        name = event_rule.name(properties.rule_prefix, bucket)
        return self._retry(f"read EventBridge rule {name}", lambda: event_rule.find(self.services.events(), name))

    def _may_disable_eventbridge(self, rule: Rule | None, bucket: str) -> bool:
        """Whether EventBridge was turned on for this stack, and no other rule needs it."""
        if rule is None or not rule.turned_on:
            return False
        try:
            return not retry(
                lambda: event_rule.is_needed_by_others(self.services.events(), bucket, rule.name),
                self.services.retry_policy,
            )
        except RetriesExhausted as error:
            self.services.warn(f"bucket {bucket}: EventBridge stays on, because its rules could not be listed: {error}")
            return False

    def _delete_rule(self, rule: Rule | None) -> None:
        if rule:
            delete = partial(event_rule.delete, self.services.events(), rule.name)
            self._retry(f"delete EventBridge rule {rule.name}", delete)

    def _retry(self, action: str, attempt: Callable[[], T]) -> T:
        try:
            return retry(attempt, self.services.retry_policy)
        except RetriesExhausted as error:
            remedy = "; allow this role the action, also in the organization's policies" if error.is_denied else ""
            raise RequestFailed(f"could not {action}: {error}{remedy}") from error
