"""Runs the checks of an examination: of a deployed stack, or of a bucket without one."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Generic, NamedTuple

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from platformdirs import user_cache_path

from s3_manifest.aws.threads import parallel_map
from s3_manifest.manifest.collections import (
    DEFAULT_COLLECTIONS,
    DEFAULT_ROOT,
    Collection,
    Collections,
    parse_collections,
)
from s3_manifest.manifest.model import UnreadableManifest, timestamp
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import StoreError
from s3_manifest.subscription import event_rule
from s3_manifest.subscription.notifications import BucketNotifications, NotSubscribed, with_eventbridge, with_queue
from s3_manifest.subscription.retrying import RetryPolicy
from s3_manifest_cli.client.doctor import cleanup, conditions, round_trip, stack_checks
from s3_manifest_cli.client.doctor.checks import manifests, notifications
from s3_manifest_cli.client.doctor.checks.functions import sweep_interval
from s3_manifest_cli.client.doctor.clients import Clients, allow, send
from s3_manifest_cli.client.doctor.drift import TEST_ID, DriftScan
from s3_manifest_cli.client.doctor.findings import Examination, Finding, error, not_checked, notice, ok
from s3_manifest_cli.client.doctor.stack import Bucket, Stack, Target, find
from s3_manifest_cli.client.doctor.stack_checks import AnyTarget, Check
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.direct import S3Manifests
from s3_manifest_cli.errors import Invalid, Unavailable


class Limits(NamedTuple):
    """Seconds: to compare all manifests, until a difference is checked again, and for each half of the round trip."""

    compare: float = 120.0
    recheck_after: float = 5.0
    round_trip: float = 60.0


_LIMITS = Limits()


@dataclass(frozen=True)
class DoctorOptions:
    """How to examine.

    ``fix`` repairs the buckets' notifications. ``round_trip`` uploads an object into a collection of its own in each
    bucket and waits for its manifest. ``collections`` (``KIND/ID`` or ``s3://BUCKET/PREFIX/``) are those to compare
    with S3; by default all. ``progress`` receives a description of each step.
    """

    fix: bool = False
    round_trip: bool = True
    collections: Sequence[str] = ()
    session: boto3.Session | None = None
    endpoint: str | None = None
    limits: Limits = _LIMITS
    progress: Callable[[str], None] = lambda _step: None


_DEFAULTS = DoctorOptions()


def doctor(stack: str, options: DoctorOptions = _DEFAULTS) -> Examination:
    """Examines a deployed stack and its buckets.

    Only reads, except for ``fix`` and for test objects in each bucket: one below the manifest root, and the one of the
    round trip. All test objects are removed at the end. A check that cannot be made is a finding ``not_checked``. Safe
    to repeat. Raises ``NotFound``, ``Invalid``, ``Unavailable``.
    """
    clients = Clients(options.session or boto3.Session(), options.endpoint)
    options.progress("reading the stack from CloudFormation")
    target = find(clients, stack)
    return _StackExaminer(target, clients, options, _named_collections(target, clients, options)).examine()


def doctor_bucket(bucket: str, kinds: Collections | None = None, options: DoctorOptions = _DEFAULTS) -> Examination:
    """Examines a bucket and its S3 server without a stack.

    Checks whether the bucket exists, its lifecycle rules and versioning, the server's conditional requests, and the
    manifests that exist. Only reads, except for a test object below the manifest root, which it removes; ``fix`` and
    ``round_trip`` have no effect. Raises ``Invalid``, ``NotFound``, ``Unavailable``.
    """
    target = Bucket(bucket, kinds or parse_collections(DEFAULT_COLLECTIONS, DEFAULT_ROOT, bucket))
    clients = Clients(options.session or boto3.Session(), options.endpoint)
    named = _named_collections(target, clients, options)
    for collection in named:
        if collection.bucket != bucket:
            raise Invalid(
                f"{collection.kind}/{collection.id} is in bucket {collection.bucket}, and only {bucket} is examined.",
                remedy=f"Pass --bucket {collection.bucket} and its kinds (--collections), or --stack NAME.",
            )
    return _BucketExaminer(target, clients, options, named).examine()


def _named_collections(target: Target, clients: Clients, options: DoctorOptions) -> list[Collection]:
    """The ``collections`` of the options, in all buckets. Raises ``Invalid``, ``NotFound``, ``Unavailable``."""
    kinds, cache = target.kinds, user_cache_path("s3-manifest")
    reader = S3Manifests({name: S3Store(name, clients.s3, clients.s3_writes) for name in kinds.buckets}, kinds)
    deployment = Deployment(reader, kinds, clients.session, options.endpoint, target.bucket, target.name, cache)
    return [deployment.collection(name) for name in options.collections]


class _Examiner(Generic[AnyTarget]):
    """Makes the checks that stacks and buckets have in common. ``named``: the collections of the options."""

    def __init__(
        self, target: AnyTarget, clients: Clients, options: DoctorOptions, named: Sequence[Collection]
    ) -> None:
        self._target: AnyTarget = target
        self._clients, self._options, self._named = clients, options, named
        self._store = S3Store(target.bucket, clients.s3, clients.s3_writes)

    def _run(self, checks: Mapping[str, Check[AnyTarget]]) -> list[Finding]:
        """Makes the checks concurrently; returns their findings in order."""
        subject = self._target.name
        findings = parallel_map(
            lambda name: _guard(name, subject, partial(checks[name], self._clients, self._target)), checks
        )
        return list(chain.from_iterable(findings))

    def _is_bucket_missing(self) -> bool:
        return send(self._clients.s3.head_bucket, absent=("404",), Bucket=self._target.bucket) is None

    def _check_manifests(self) -> list[Finding]:
        bucket = self._target.bucket
        self._options.progress("sending conditional requests")
        findings = conditions.probe(self._clients, bucket, self._target.kinds.root)
        chosen = [collection for collection in self._named if collection.bucket == bucket]
        if self._named and not chosen:
            return findings
        self._options.progress("comparing manifests with S3")
        return findings + _guard(manifests.CHECK, bucket, partial(self._compare, chosen))

    def _compare(self, chosen: Sequence[Collection]) -> Iterator[Finding]:
        limits, target = self._options.limits, self._target
        scan = DriftScan(self._store, target.bucket, target.kinds, time.monotonic() + limits.compare)
        listed = chosen or scan.list_collections()
        leftovers = [] if chosen else [collection for collection in listed if collection.id.startswith(TEST_ID)]
        collections = [collection for collection in listed if collection not in leftovers]
        states, total, interval = scan.compare(collections, limits.recheck_after), len(collections), None
        if isinstance(target, Stack):
            interval = sweep_interval(target.parameters["SweepSchedule"])
        elif not chosen:
            # Without a stack it is unknown whether a collection should have a manifest.
            skipped = [state for state in states if not (state.facts or state.unreadable or state.unanswered)]
            states, total = [state for state in states if state not in skipped], total - len(skipped)
        yield from manifests.check(target, states, total, datetime.now(UTC), interval)
        for prefix in (prefix for collection in leftovers for prefix in (collection.prefix, collection.folder)):
            yield cleanup.leftover(target.bucket, prefix, "an interrupted examination left test objects")


class _BucketExaminer(_Examiner[Bucket]):
    def examine(self) -> Examination:
        bucket = self._target.bucket
        self._options.progress("reading the bucket's settings")
        findings = _guard("bucket", bucket, self._check_bucket)
        if all(finding.severity == "ok" for finding in findings):
            findings += self._run(stack_checks.RETENTION_CHECKS)
            findings += self._check_manifests()
            text = "notifications, queues, functions, roles and alarms belong to a stack, and were not examined"
            findings.append(notice("stack", bucket, text, "s3-manifest doctor --stack NAME, if there is one"))
        return Examination(stack="", bucket=bucket, examined_at=_now(), findings=tuple(findings))

    def _check_bucket(self) -> Iterator[Finding]:
        bucket = self._target.bucket
        if self._is_bucket_missing():
            yield error("bucket", bucket, "the bucket does not exist", "check --bucket, --endpoint-url and --profile")
            return
        # Without s3:ListBucket S3 answers 403 for a missing key, which looks like a failure.
        send(self._clients.s3.list_objects_v2, Bucket=bucket, MaxKeys=1)
        yield ok("bucket", bucket, "the bucket exists and can be listed")


class _StackExaminer(_Examiner[Stack]):
    def examine(self) -> Examination:
        stack = self._target
        self._options.progress("reading settings, queues, functions and permissions")
        findings, fixed = self._run(stack_checks.CHECKS), list[Finding]()
        for bucket in stack.buckets:
            view = stack.at(bucket)
            examined, repaired = _StackBucketExaminer(view, self._clients, self._options, self._named).examine()
            findings += [finding.model_copy(update={"bucket": bucket}) for finding in examined]
            fixed += [finding.model_copy(update={"bucket": bucket}) for finding in repaired]
        return Examination(stack=stack.name, examined_at=_now(), findings=tuple(findings), fixed=tuple(fixed))


class _StackBucketExaminer(_Examiner[Stack]):
    """Examines one of the stack's buckets. What fails becomes a finding, and does not stop that of the others."""

    def examine(self) -> tuple[list[Finding], list[Finding]]:
        """Returns the findings, and what was fixed."""
        stack, is_missing, fixed = self._target, False, list[Finding]()
        self._options.progress(f"reading the settings of bucket {stack.bucket}")
        with suppress(Unavailable):  # the checks of the bucket report why
            is_missing = self._is_bucket_missing()
        if is_missing:
            text = "the bucket does not exist, and its manifests with it; no check of the bucket was made"
            remedy = "deploy a new stack with another bucket"
            if stack.bucket != stack.own_bucket:
                remedy = "create it, or remove it from AdditionalBuckets and Collections, and deploy"
            return [error("bucket", stack.bucket, text, remedy)], fixed
        findings = self._run(stack_checks.BUCKET_CHECKS)
        if self._options.fix and self._fixable(findings):
            self._options.progress("merging the notification configuration")
            fixed, findings = self._fix(findings)
        findings += self._check_manifests()
        if self._options.round_trip and stack.patterns:
            self._options.progress("making a round trip")
            findings += self._make_round_trip(findings)
        return findings, fixed

    def _fixable(self, findings: Iterable[Finding]) -> list[Finding]:
        return [finding for finding in _of_notifications(findings) if finding.mend == self._target.fix_command]

    def _fix(self, before: list[Finding]) -> tuple[list[Finding], list[Finding]]:
        """Merges this stack's part into the notification configuration; returns what it fixed, and new findings."""
        stack, s3, queue_arn = self._target, self._clients.s3, self._target.change_queue_arn
        # Retries do not help against the rule of another application.
        is_blocked = any(f.severity == "error" and f.mend != stack.fix_command for f in _of_notifications(before))
        sleep = (lambda _seconds: None) if is_blocked else time.sleep
        try:
            if stack.uses_event_bridge:
                change = partial(with_eventbridge, without=stack.notifications_name)
                events = self._clients.client("events")
                event_rule.ensure(events, s3, stack.rule_name, stack.bucket, stack.prefixes, queue_arn)
            else:
                name = stack.notifications_name
                change = partial(with_queue, name=name, queue_arn=queue_arn, prefixes=stack.prefixes)
            BucketNotifications(s3, stack.bucket, RetryPolicy(sleep)).apply(change, queue_arn)
        except (NotSubscribed, event_rule.NotTargeted, ClientError, BotoCoreError) as fault:
            remedy = f"follow the remedies of the other findings, or {allow('s3:PutBucketNotification')}"
            return [], [*before, error(notifications.CHECK, stack.bucket, f"--fix failed: {fault}", remedy)]
        after = self._run(stack_checks.BUCKET_CHECKS)
        text = "changes made before the fix sent no event; the next sweep finds them"
        missed = notice(notifications.CHECK, stack.bucket, text, f"sweep now: {stack.sweep_command()}")
        return [finding for finding in self._fixable(before) if finding not in after], [*after, missed]

    def _make_round_trip(self, findings: list[Finding]) -> list[Finding]:
        stack, seconds = self._target, self._options.limits.round_trip
        broken = {finding.subject for finding in _of_notifications(findings) if finding.severity == "error"}
        if blocked := sorted(broken & set(stack.prefixes)):
            text = f"changes below {blocked[0]} do not reach the queue, so no round trip was made"
            return [not_checked(round_trip.CHECK, stack.bucket, text, stack.fix_command)]
        return _guard(
            round_trip.CHECK, stack.bucket, lambda: round_trip.RoundTrip(self._clients, stack, seconds).make()
        )


def _now() -> str:
    return timestamp(datetime.now(UTC))


def _of_notifications(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.check == notifications.CHECK]


def _guard(check: str, subject: str, make: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Makes a check; a failed request becomes a finding."""
    try:
        return list(make())
    except Unavailable as failure:
        return [not_checked(check, subject, failure.message, failure.remedy)]
    except (StoreError, UnreadableManifest) as fault:
        return [not_checked(check, subject, str(fault))]
