"""The custom resource ``Custom::Subscription``: carries out CloudFormation's requests.

Every request may arrive twice, and a later one may overtake it. Delete also arrives after a Create that failed or was
never answered, and for the bucket that an Update left.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes.html
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from s3_manifest.manifest.collections import parse_collections
from s3_manifest.manifest.jobs import SweepAll, encode_job
from s3_manifest.manifest.model import first_problem
from s3_manifest.subscription import event_rule, notifications
from s3_manifest.subscription.event_rule import Rule
from s3_manifest.subscription.notifications import BucketNotifications, Change, NotReadable, NotSubscribed, Superseded
from s3_manifest.subscription.retrying import RetriesExhausted, RetryPolicy, retry

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

T = TypeVar("T")

SECOND_SWEEP_SECONDS = 600
"""S3 needs "around five minutes" to begin sending to EventBridge; a second sweep finds the changes in that time.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html
"""

_ORDER_TAG = "s3-manifest:request:"

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
    collections: Any = Field(alias="Collections", default="")
    manifest_root: Any = Field(alias="ManifestRoot", default="")
    name: str = Field(alias="Name", default="")
    event_source: str = Field(alias="EventSource", default="Notifications")
    rule_prefix: str = Field(alias="RulePrefix", default="")

    @property
    def prefixes(self) -> list[str]:
        """The prefixes to subscribe to. Raises ``InvalidCollections``."""
        collections = parse_collections(self.collections, self.manifest_root, self.bucket)
        return collections.notification_prefixes(self.bucket)


class Properties(_AnyProperties):
    """The resource's properties, as in the template."""

    bucket: str = Field(alias="Bucket", min_length=1)
    queue_arn: str = Field(alias="QueueArn", min_length=1)
    collections: str = Field(alias="Collections")
    manifest_root: str = Field(alias="ManifestRoot")
    name: str = Field(alias="Name", min_length=1)
    event_source: Literal["Notifications", "EventBridge"] = Field(alias="EventSource", default="Notifications")


def physical_id(event: Mapping[str, Any]) -> str:
    """Returns the physical id for the response to a failed request: the current one, or the bucket of a Create."""
    return str(event.get("PhysicalResourceId") or event["ResourceProperties"].get("Bucket") or "none")


def handle(event: Mapping[str, Any], services: Services) -> str:
    """Carries out a request of CloudFormation; returns the physical id for the response. Raises if it fails."""
    if event["RequestType"] == "Delete":
        _delete(event, services)
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
            _Request(f"Delete {event['RequestId']}", services, old).leave()
        except (NotSubscribed, RequestFailed) as error:
            # The rollback itself has to succeed.
            services.warn(f"the subscription of a failed Update may still exist: {error}")
    _Request(f"{event['RequestType']} {event['RequestId']}", services, properties).put(old)
    return properties.bucket


def _delete(event: Mapping[str, Any], services: Services) -> None:
    try:
        properties = _AnyProperties.model_validate(event["ResourceProperties"])
    except ValidationError as error:
        services.warn(f"nothing to unsubscribe: invalid property {first_problem(error)}")
        return
    if not properties.name:
        services.warn("nothing to unsubscribe: the property Name is missing")
        return
    # CloudFormation invents an id for a Create that was never answered. It contains the logical id, which is not a
    # bucket name: then the bucket is that of the properties.
    bucket = physical_id(event)
    if _BUCKET_NAME.fullmatch(bucket) or not properties.bucket:
        properties = properties.model_copy(update={"bucket": bucket})
    _Request(f"Delete {event['RequestId']}", services, properties).leave()


class _Request(NamedTuple):
    """A request about one bucket, that of the properties.

    CloudFormation does not wait for the function: when another resource fails or the user cancels, it sends Delete, or
    the Update back, while a Create or Update may still be retrying. Each request therefore stores its name where all
    of them see it, in a tag of the change queue, which belongs to the stack and leaves nothing behind in the bucket. A
    request that finds another name there has been superseded. It also checks after its last write: a later request has
    either read that write, or is found by this check. Without the queue, or permission to tag it, requests are not
    ordered; they warn and carry on.
    """

    name: str
    services: Services
    properties: _AnyProperties

    def put(self, old: Properties | None) -> None:
        """Subscribes to the bucket, and sweeps every collection."""
        _ = self.properties.prefixes  # an invalid setting fails before anything is written
        self._register()
        try:
            self.subscribe(old)
        except Superseded:
            self._undo(old)
            raise
        # For objects that existed before, and changes without an event.
        sources, url = {self.properties.event_source, old and old.event_source}, self.services.sweep_queue_url
        send = partial(self.services.sqs.send_message, QueueUrl=url, MessageBody=encode_job(SweepAll()))
        for delay in (0, SECOND_SWEEP_SECONDS) if "EventBridge" in sources else (0,):
            self._retry(f"queue a sweep in {url}", partial(send, DelaySeconds=delay))

    def leave(self) -> None:
        """Removes this stack's part from the bucket; succeeds if the configuration cannot be read.

        If reading is denied, the Create before most likely failed for the same reason: another failure would turn the
        rollback into ROLLBACK_FAILED, and no later attempt would do better. A part that was seen and cannot be removed
        is an error: once its queue is gone, nobody could change the bucket's notifications any more.
        """
        if self.properties.queue_arn:
            self._register()
        try:
            self._unsubscribe()
        except NotReadable as error:
            self.services.warn(
                f"{error}. If it contains configurations {self.properties.name}-…, remove them with `aws s3api"
                f" put-bucket-notification-configuration --bucket {self.properties.bucket}"
                " --skip-destination-validation`"
            )

    def _register(self) -> None:
        """Makes this request the latest one."""
        tags = {_ORDER_TAG + self.properties.bucket: self.name}
        self._send_to_queue(lambda url: self.services.sqs.tag_queue(QueueUrl=url, Tags=tags))

    def _latest(self) -> str | None:
        """Returns the name of the latest request; None: unknown."""
        response = self._send_to_queue(lambda url: self.services.sqs.list_queue_tags(QueueUrl=url))
        return response.get("Tags", {}).get(_ORDER_TAG + self.properties.bucket) if response else None

    def _send_to_queue(self, send: Callable[[str], T]) -> T | None:
        *_, account, name = self.properties.queue_arn.split(":")
        try:
            return send(self.services.sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"])
        except (ClientError, BotoCoreError) as error:
            self.services.warn(f"requests are not ordered: {error}")
            return None

    def subscribe(self, old: _AnyProperties | None) -> None:
        services, properties = self.services, self.properties
        bucket, queue_arn, prefixes = properties.bucket, properties.queue_arn, properties.prefixes
        target = BucketNotifications(
            services.s3, bucket, services.retry_policy, lambda: self._latest() in {None, self.name}
        )
        if properties.event_source == "EventBridge":
            rule_name = event_rule.name(properties.rule_prefix, bucket)
            self._retry(
                f"create EventBridge rule {rule_name}",
                lambda: event_rule.ensure(services.events(), services.s3, rule_name, bucket, prefixes, queue_arn),
            )
            target.apply(partial(notifications.with_eventbridge, without=properties.name), queue_arn)
            return
        rule = self._find_rule(old) if old else None
        change = partial(notifications.with_queue, name=properties.name, queue_arn=queue_arn, prefixes=prefixes)
        target.apply(self._without_rule(rule, change), queue_arn)
        self._delete_rule(rule)

    def _undo(self, old: Properties | None) -> None:
        """Makes the bucket what the superseding request wants, now that both may have written.

        Only Delete follows a Create. An Update of the same bucket is followed by the Update back, or by Delete.
        """
        while True:
            latest = self._latest() or ""
            if not old or old.bucket != self.properties.bucket or latest.startswith("Delete"):
                self._unsubscribe()
                return
            try:
                self._replace(name=latest, properties=old).subscribe(self.properties)
            except Superseded:
                continue
            return

    def _unsubscribe(self) -> None:
        services, properties = self.services, self.properties
        try:
            rule = self._find_rule(properties)
        except RequestFailed as error:
            services.warn(f"{error}. If the rule exists, delete it by hand")
            rule = None
        change = self._without_rule(rule, partial(notifications.without_queue, name=properties.name))
        try:
            BucketNotifications(services.s3, properties.bucket, services.retry_policy).apply(change)
        except services.s3.exceptions.NoSuchBucket:
            services.warn(f"bucket {properties.bucket} does not exist any more, so its notifications do not either")
        self._delete_rule(rule)

    def _find_rule(self, creator: _AnyProperties) -> Rule | None:
        """Returns the bucket's rule if a resource with these properties may have created one."""
        if creator.event_source != "EventBridge":
            return None
        name = event_rule.name(creator.rule_prefix, self.properties.bucket)
        return self._retry(f"read EventBridge rule {name}", lambda: event_rule.find(self.services.events(), name))

    def _without_rule(self, rule: Rule | None, change: Change) -> Change:
        """The change, with EventBridge turned off if it was turned on for this rule and no other rule needs it.

        It is one write, so that no event is lost when the bucket moves from EventBridge to the queue.
        """
        services, bucket = self.services, self.properties.bucket
        if rule is None or not rule.turned_on:
            return change
        is_needed = partial(event_rule.is_needed_by_others, services.events(), bucket, rule.name)
        try:
            if retry(is_needed, services.retry_policy):
                return change
        except RetriesExhausted as error:
            services.warn(f"bucket {bucket}: EventBridge stays on, because its rules could not be listed: {error}")
            return change
        return lambda current: notifications.without_eventbridge(change(current))

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
