"""The part of a request that is about one bucket: subscribes the change queue to its changes, or unsubscribes it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from s3_manifest.subscription import event_rule, notifications
from s3_manifest.subscription.event_rule import Rule
from s3_manifest.subscription.notifications import BucketNotifications, Change, NotReadable, Superseded
from s3_manifest.subscription.properties import AnyProperties, Properties
from s3_manifest.subscription.record import forget, record
from s3_manifest.subscription.request_order import RequestOrder
from s3_manifest.subscription.retrying import RetriesExhausted, retry
from s3_manifest.subscription.services import RequestFailed, Services


class BucketSubscription(NamedTuple):
    """One bucket of one request. ``request``: its name in ``order``. ``event_sources``: those that may be in use."""

    bucket: str
    request: str
    order: RequestOrder
    services: Services
    properties: AnyProperties
    event_sources: frozenset[str]

    def put(self, properties: Properties, old: Properties | None) -> None:
        """Subscribes to the bucket. Raises ``Superseded`` after it has made the bucket what the later request wants."""
        try:
            self.subscribe(properties, old)
        except Superseded:
            self._undo(old)
            raise

    def leave(self, old: Properties) -> None:
        """Unsubscribes from a bucket that the new properties do not name, or in which they have no collections."""
        try:
            self.remove(self._is_latest)
            self._check_latest()
        except Superseded:
            self._undo(old)
            raise

    def remove(self, is_latest: Callable[[], bool] = lambda: True) -> None:
        """Removes this stack's part from the bucket; succeeds if the configuration cannot be read.

        If reading is denied, the Create before most likely failed for the same reason: another failure would turn the
        rollback into ROLLBACK_FAILED, and no later attempt would do better. A part that was seen and cannot be removed
        is an error: once its queue is gone, nobody could change the bucket's notifications any more.
        """
        try:
            self._unsubscribe(is_latest)
        except NotReadable as error:
            self.services.warn(
                f"{error}. If it contains configurations {self.properties.name}-…, remove them with `aws s3api"
                f" put-bucket-notification-configuration --bucket {self.bucket} --skip-destination-validation`"
            )

    def _is_latest(self) -> bool:
        return self.order.latest(self.bucket) in {None, self.request}

    def _check_latest(self) -> None:
        """Call it after the last write: a later request has read that, or is found here. Raises ``Superseded``."""
        if not self._is_latest():
            raise Superseded

    def subscribe(self, properties: Properties, before: AnyProperties | None) -> None:
        """Makes the bucket's subscription that of the properties, instead of ``before``. Raises ``Superseded``."""
        services, bucket, prefixes = self.services, self.bucket, properties.prefixes(self.bucket)
        since = record(bucket, properties, services)
        self._notify(properties, prefixes)
        if before and before.manifest_root != properties.manifest_root:
            forget(bucket, before, services)
        self._check_latest()
        # What is uploaded after the deployment is newer than the subscription.
        services.wait_until(since)

    def _notify(self, properties: Properties, prefixes: list[str]) -> None:
        services, bucket, queue_arn = self.services, self.bucket, properties.queue_arn
        target = BucketNotifications(services.s3, bucket, services.retry_policy, self._is_latest)
        if properties.event_source == "EventBridge":
            rule_name = event_rule.name(properties.rule_prefix, bucket)
            services.retry(
                f"create EventBridge rule {rule_name} for bucket {bucket}",
                lambda: event_rule.ensure(services.events(), services.s3, rule_name, bucket, prefixes, queue_arn),
            )
            target.apply(partial(notifications.with_eventbridge, without=properties.name), queue_arn)
            return
        rule = self._find_rule()
        change = partial(notifications.with_queue, name=properties.name, queue_arn=queue_arn, prefixes=prefixes)
        target.apply(self._without_rule(rule, change), queue_arn)
        self._delete_rule(rule)

    def _undo(self, old: Properties | None) -> None:
        """Makes the bucket what the superseding request wants, now that both may have written.

        Only Delete follows a Create. An Update is followed by the Update back, or by Delete.
        """
        while True:
            latest = self.order.latest(self.bucket) or ""
            if not old or latest.startswith("Delete") or not old.prefixes(self.bucket):
                self._unsubscribe()
                return
            try:
                self._replace(request=latest).subscribe(old, self.properties)
            except Superseded:
                continue
            return

    def _unsubscribe(self, is_latest: Callable[[], bool] = lambda: True) -> None:
        services, bucket = self.services, self.bucket
        try:
            rule = self._find_rule()
        except RequestFailed as error:
            services.warn(f"{error}. If the rule exists, delete it by hand")
            rule = None
        change = self._without_rule(rule, partial(notifications.without_queue, name=self.properties.name))
        try:
            BucketNotifications(services.s3, bucket, services.retry_policy, is_latest).apply(change)
        except services.s3.exceptions.NoSuchBucket:
            services.warn(f"bucket {bucket} does not exist any more, so its notifications do not either")
        else:
            forget(bucket, self.properties, services)
        self._delete_rule(rule)

    def _find_rule(self) -> Rule | None:
        """Returns the bucket's rule if one of the requests may have created one."""
        if "EventBridge" not in self.event_sources:
            return None
        name = event_rule.name(self.properties.rule_prefix, self.bucket)
        return self.services.retry(
            f"read EventBridge rule {name} for bucket {self.bucket}",
            lambda: event_rule.find(self.services.events(), name),
        )

    def _without_rule(self, rule: Rule | None, change: Change) -> Change:
        """The change, with EventBridge turned off if it was turned on for this rule and no other rule needs it.

        It is one write, so that no event is lost when the bucket moves from EventBridge to the queue.
        """
        services, bucket = self.services, self.bucket
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
            self.services.retry(f"delete EventBridge rule {rule.name} of bucket {self.bucket}", delete)
