"""The custom resource ``Custom::Subscription``: CloudFormation's requests, carried out.

Every request may come twice, and may be overtaken by a later one. Delete also comes after a Create that failed or
was never answered, and for the bucket that an Update left.
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
from s3_manifest.subscription import event_rule, request_order, retrying, subscription
from s3_manifest.subscription.event_rule import Rule
from s3_manifest.subscription.retrying import GaveUp, RetryPolicy
from s3_manifest.subscription.subscription import Configuration, NotReadable, NotSubscribed, Superseded

if TYPE_CHECKING:
    from types_boto3_events.client import EventBridgeClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

T = TypeVar("T")

EventSource = Literal["Notifications", "EventBridge"]

SECOND_SWEEP_SECONDS = 600
"""S3 needs "around five minutes" to begin sending to EventBridge; a second sweep finds what changed meanwhile.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html
"""

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class InvalidRequest(ValueError):
    """The resource's properties are not what the template gives it; the text says which."""


class RequestFailed(Exception):
    """A request to AWS that failed to the end; the text says which, and why."""


class Environment(NamedTuple):
    """What requests are carried out with. ``events`` makes its client when first asked, ``warn`` takes a log line."""

    s3: "S3Client"
    sqs: "SQSClient"
    events: Callable[[], "EventBridgeClient"]
    sweep_queue_url: str
    retry_policy: RetryPolicy
    warn: Callable[[str], None]


class _Given(BaseModel):
    # CloudFormation adds ServiceToken and ServiceTimeout.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Properties(_Given):
    """The resource's properties, as the template has them."""

    bucket: str = Field(alias="Bucket", min_length=1)
    queue_arn: str = Field(alias="QueueArn", min_length=1)
    collections: str = Field(alias="Collections")
    manifest_root: str = Field(alias="ManifestRoot")
    name: str = Field(alias="Name", min_length=1)
    event_source: EventSource = Field(alias="EventSource", default="Notifications")
    rule_prefix: str = Field(alias="RulePrefix", default="")

    @property
    def rule(self) -> str:
        """The name of the EventBridge rule for the bucket."""
        return event_rule.name(self.rule_prefix, self.bucket)


class _Removed(_Given):
    """The properties that removing needs: those of a resource that was never valid may be anything."""

    bucket: str = Field(alias="Bucket", default="")
    queue_arn: str = Field(alias="QueueArn", default="")
    name: str = Field(alias="Name", default="")
    event_source: str = Field(alias="EventSource", default="Notifications")
    rule_prefix: str = Field(alias="RulePrefix", default="")


def physical_id(event: Mapping[str, Any]) -> str:
    """The physical id to answer with where a request fails: the one there is, or the bucket of a Create."""
    return str(event.get("PhysicalResourceId") or event["ResourceProperties"].get("Bucket") or "none")


def carry_out(event: Mapping[str, Any], environment: Environment) -> str:
    """Carries out a request of CloudFormation's; the physical id to answer with. Raises what made it fail."""
    request = f"{event['RequestType']} {event['RequestId']}"
    if event["RequestType"] == "Delete":
        _delete(event, request, environment)
        return physical_id(event)
    properties = _decode(event["ResourceProperties"])
    old = _old(event)
    if old and physical_id(event) == properties.bucket != old.bucket:
        # An Update to another bucket was not answered with success, and now this one takes it back: CloudFormation
        # does not know that bucket as a physical id, and sends no Delete for it.
        try:
            _leave(old.bucket, old, f"Delete {event['RequestId']}", environment)
        except (NotSubscribed, RequestFailed) as error:
            # The rollback itself can still succeed, and has to.
            environment.warn(f"the subscription of an Update that failed may have stayed behind: {error}")
    # Before anything is asked or written: a setting that is wrong stays so.
    parse_collections(properties.collections, properties.manifest_root)
    request_order.enter(environment.sqs, properties.queue_arn, properties.bucket, request, environment.warn)
    try:
        _subscribe(properties, old, request, environment)
    except Superseded:
        _undo(properties, old, environment)
        raise
    _sweep(properties, old, environment)
    return properties.bucket


def _decode(properties: object) -> Properties:
    try:
        return Properties.model_validate(properties)
    except ValidationError as error:
        raise InvalidRequest(f"property {first_problem(error)}") from error


def _old(event: Mapping[str, Any]) -> Properties | None:
    """The properties before an Update; None where there are none that could ever have been applied."""
    try:
        return Properties.model_validate(event.get("OldResourceProperties"))
    except ValidationError:
        return None


def _subscribe(properties: Properties, old: Properties | None, request: str, environment: Environment) -> None:
    prefixes = parse_collections(properties.collections, properties.manifest_root).subscriptions()
    apply = partial(
        subscription.apply,
        environment.s3,
        properties.bucket,
        sleep=environment.retry_policy.sleep,
        seconds_left=environment.retry_policy.seconds_left,
        is_latest=partial(_is_latest, properties, request, environment),
        queue_arn=properties.queue_arn,
    )
    if properties.event_source == "EventBridge":
        _put_rule(properties, prefixes, environment)
        apply(partial(subscription.routed, name=properties.name))
        return
    subscribe = partial(
        subscription.subscribed, name=properties.name, queue_arn=properties.queue_arn, prefixes=prefixes
    )
    rule = _rule_of(properties.bucket, old, environment) if old else None
    turned_on = rule is not None and _is_to_be_turned_off(rule, properties.bucket, environment)
    # One write takes the bucket from EventBridge to the queue: there is no moment without either.
    apply(lambda current: subscribe(subscription.without_eventbridge(current) if turned_on else current))
    if rule:
        _delete_rule(rule, environment)


def _put_rule(properties: Properties, prefixes: list[str], environment: Environment) -> None:
    def attempt() -> None:
        event_rule.ensure(
            environment.events(),
            environment.s3,
            properties.rule,
            properties.bucket,
            prefixes,
            properties.queue_arn,
        )

    _insist(attempt, f"make EventBridge rule {properties.rule}", environment)


def _rule_of(bucket: str, properties: "Properties | _Removed", environment: Environment) -> Rule | None:
    """The bucket's rule, where the properties are of a resource that may have made one."""
    if properties.event_source != "EventBridge":
        return None
    name = event_rule.name(properties.rule_prefix, bucket)
    return _insist(partial(event_rule.find, environment.events(), name), f"read EventBridge rule {name}", environment)


def _is_to_be_turned_off(rule: Rule, bucket: str, environment: Environment) -> bool:
    """Whether the bucket sent nothing to EventBridge before us, and nobody else depends on it by now."""
    if not rule.turned_on:
        return False
    asked = partial(event_rule.is_needed_by_others, environment.events(), bucket, rule.name)
    try:
        return not retrying.insist(asked, environment.retry_policy)
    except GaveUp as error:
        environment.warn(f"bucket {bucket}: EventBridge stays on, because its other rules were not listed: {error}")
        return False


def _is_latest(properties: Properties, request: str, environment: Environment) -> bool:
    found = request_order.latest(environment.sqs, properties.queue_arn, properties.bucket, environment.warn)
    return found in {None, request}


def _undo(properties: Properties, old: Properties | None, environment: Environment) -> None:
    """Brings the bucket to where the request that superseded this one brings it, now that both may have written.

    Only a Delete can follow a Create. An Update of the same bucket is followed by the Update back, or by a Delete.
    """
    while True:
        latest = request_order.latest(environment.sqs, properties.queue_arn, properties.bucket, environment.warn) or ""
        if not old or old.bucket != properties.bucket or latest.startswith("Delete"):
            _unsubscribe(properties.bucket, properties, environment)
            return
        try:
            _subscribe(old, properties, latest, environment)
        except Superseded:
            continue
        return


def _sweep(properties: Properties, old: Properties | None, environment: Environment) -> None:
    """Has every collection compared with S3: what the bucket held before, and what changed while it was not watched."""
    delays = [0]
    if "EventBridge" in (properties.event_source, old.event_source if old else ""):
        delays.append(SECOND_SWEEP_SECONDS)
    for delay in delays:
        send = partial(messaging.send_job, environment.sqs, environment.sweep_queue_url, SweepAll(), delay)
        _insist(send, f"ask for a sweep in {environment.sweep_queue_url}", environment)


def _delete(event: Mapping[str, Any], request: str, environment: Environment) -> None:
    given = event["ResourceProperties"]
    try:
        properties = _Removed.model_validate(given)
    except ValidationError as error:
        environment.warn(f"nothing was ever subscribed with property {first_problem(error)}")
        return
    if not properties.name:
        environment.warn("nothing was ever subscribed without the property Name")
        return
    _leave(_bucket_to_leave(physical_id(event), properties.bucket), properties, request, environment)


def _bucket_to_leave(id_: str, bucket: str) -> str:
    """The bucket that a Delete is about: the physical id, as far as it is one of ours.

    For a Create that was never answered CloudFormation makes an id up, with the logical id in it, which no bucket can
    be called: that one is about the bucket of the properties.
    """
    return id_ if id_ == bucket or _BUCKET_NAME.fullmatch(id_) or not bucket else bucket


def _leave(bucket: str, properties: "Properties | _Removed", request: str, environment: Environment) -> None:
    """Takes our part out of a bucket, and does not fail where it cannot be known to be there.

    What was denied even to be read is most likely what the Create before it failed at: to fail again would turn a
    rollback into ROLLBACK_FAILED, and no later attempt would do better. What was seen to be there and cannot be
    removed is an error: it would keep everybody from changing the bucket's notifications once the queue is gone.
    """
    if properties.queue_arn:
        request_order.enter(environment.sqs, properties.queue_arn, bucket, request, environment.warn)
    try:
        _unsubscribe(bucket, properties, environment)
    except NotReadable as error:
        environment.warn(
            f"{error}. If configurations {properties.name}-… are there, remove them with"
            f" `aws s3api put-bucket-notification-configuration --bucket {bucket} --skip-destination-validation`"
        )


def _unsubscribe(bucket: str, properties: "Properties | _Removed", environment: Environment) -> None:
    try:
        rule = _rule_of(bucket, properties, environment)
    except RequestFailed as error:
        environment.warn(f"{error}. If the rule is there, delete it by hand")
        rule = None
    turned_on = rule is not None and _is_to_be_turned_off(rule, bucket, environment)

    def change(current: Mapping[str, Any]) -> Configuration:
        rest = subscription.unsubscribed(current, properties.name)
        return subscription.without_eventbridge(rest) if turned_on else rest

    try:
        subscription.apply(
            environment.s3,
            bucket,
            change,
            environment.retry_policy.sleep,
            seconds_left=environment.retry_policy.seconds_left,
            removing=True,
        )
    except environment.s3.exceptions.NoSuchBucket:
        environment.warn(f"bucket {bucket} is gone, and its notifications with it")
    if rule:
        _delete_rule(rule, environment)


def _insist(attempt: Callable[[], T], doing: str, environment: Environment) -> T:
    try:
        return retrying.insist(attempt, environment.retry_policy)
    except GaveUp as error:
        mend = "; allow it to this role, in the organization's policies too" if error.denied else ""
        raise RequestFailed(f"could not {doing}: {error}{mend}") from error


def _delete_rule(rule: Rule, environment: Environment) -> None:
    delete = partial(event_rule.delete, environment.events(), rule.name)
    _insist(delete, f"delete EventBridge rule {rule.name}", environment)
