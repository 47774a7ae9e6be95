"""What is examined: a deployed stack, as CloudFormation describes it, or a bucket without one."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from s3_manifest.manifest.collections import Collection, Collections, Pattern, parse_collections
from s3_manifest.manifest.jobs import Sweep, SweepAll
from s3_manifest.subscription import event_rule
from s3_manifest_cli.client.doctor.clients import Clients, send
from s3_manifest_cli.errors import Invalid, NotFound, Unavailable

FUNCTIONS = (
    "ReconcileFunction",
    "SweepFunction",
    "QueryFunction",
    "RescanFunction",
    "EditFunction",
    "SubscriptionFunction",
)
"""The template's functions; ``Stack.functions`` are those that a stack has."""

_RESOURCES = {
    "ChangeQueue",
    "SweepQueue",
    "DeadLetterQueue",
    "ReconcileFunctionChanges",
    "SweepFunctionJobs",
    "ReconcileLogs",
    "SweepLogs",
}

_PARAMETERS = {
    "Collections",
    "ManifestRoot",
    "ExistingBucket",
    "AllowEdits",
    "KmsKeyArn",
    "SweepSchedule",
    "HistoryDays",
    "AnnounceChanges",
    "EventBusName",
    "AlarmTopicArn",
}


class Stack(NamedTuple):
    """A stack of this project's template, and ``bucket``, the one of its buckets that is examined.

    ``resources``: physical ids by logical id. Functions and queues (whose physical ids are URLs) are named by logical
    ids, ``alarms`` by physical ones. ``guid``: the last part of the stack's ARN, which is part of its rules' names.
    """

    name: str
    status: str
    partition: str
    region: str
    account: str
    own_bucket: str
    bucket: str
    parameters: Mapping[str, str]
    resources: Mapping[str, str]
    alarms: Sequence[str]
    guid: str = ""

    def at(self, bucket: str) -> Self:
        """The same stack, to examine another of its buckets."""
        return self._replace(bucket=bucket)

    @property
    def buckets(self) -> list[str]:
        """The stack's own bucket, and the additional ones."""
        names = (name.strip() for name in self.parameters.get("AdditionalBuckets", "").split(","))
        return list(dict.fromkeys(filter(None, (self.own_bucket, *names))))

    @property
    def kinds(self) -> Collections:
        """The kinds of collections of all buckets."""
        return parse_collections(self.parameters["Collections"], self.root, self.own_bucket)

    @property
    def patterns(self) -> list[Pattern]:
        """The patterns of the bucket's collections."""
        return [pattern for pattern in self.kinds.patterns if pattern.bucket == self.bucket]

    @property
    def root(self) -> str:
        """The manifest root."""
        return self.parameters["ManifestRoot"]

    @property
    def prefixes(self) -> list[str]:
        """The prefixes below which the queue must receive every change."""
        return self.kinds.notification_prefixes(self.bucket)

    @property
    def fix_command(self) -> str:
        """The command that repairs the bucket's notifications."""
        return f"s3-manifest doctor --stack {self.name} --fix"

    @property
    def notifications_name(self) -> str:
        """What the ids of the stack's notification configurations begin with."""
        return f"s3-manifest-{self.name}"

    @property
    def history_days(self) -> int:
        """The days for which changes and old versions are kept."""
        return int(self.parameters["HistoryDays"])

    @property
    def owns_bucket(self) -> bool:
        """Whether the stack created the bucket."""
        return not self.parameters["ExistingBucket"] and self.bucket == self.own_bucket

    @property
    def uses_event_bridge(self) -> bool:
        """Whether changes come through EventBridge instead of the bucket's notifications."""
        return self.parameters.get("EventSource") == "EventBridge"

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that the stack has."""
        edits = self.parameters.get("AllowEdits", "true") == "true"
        return tuple(name for name in FUNCTIONS if edits or name != "EditFunction")

    @property
    def bucket_arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def rule_name(self) -> str:
        """The name of the EventBridge rule that sends the bucket's changes to the queue."""
        return event_rule.name(f"s3-manifest-{self.guid}", self.bucket)

    @property
    def change_queue_arn(self) -> str:
        """The ARN of the queue that receives the bucket's events."""
        return self.queue_arn("ChangeQueue")

    def queue_arn(self, queue: str) -> str:
        """Returns the ARN of a queue."""
        return self.arn("sqs", self.resources[queue].rpartition("/")[2])

    def arn(self, service: str, resource: str) -> str:
        """Returns the ARN of a resource in the stack's region and account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def role_arn(self, function: str) -> str:
        """Returns the ARN of a function's role."""
        return f"arn:{self.partition}:iam::{self.account}:role/{self.resources[function + 'Role']}"

    def sweep_command(self, collection: Collection | None = None, *, rebuild: bool = False) -> str:
        """Returns the command that queues the sweep of a collection, or of all."""
        job = Sweep(kind=collection.kind, id=collection.id, rebuild=rebuild) if collection else SweepAll()
        body = json.dumps({"job": job.job, **job.model_dump(exclude_defaults=True)})
        # Ids are untrusted input to the shell that the command is pasted into.
        quoted = shlex.quote(body)
        return f"aws sqs send-message --queue-url {self.resources['SweepQueue']} --message-body {quoted}"


class Bucket(NamedTuple):
    """A bucket without a stack."""

    bucket: str
    kinds: Collections
    history_days: int = 0
    owns_bucket: bool = False
    fix_command: str = ""

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.bucket

    def sweep_command(self, collection: Collection | None = None, *, rebuild: bool = False) -> str:
        """Returns the command that queues the sweep of a collection, or of all."""
        name = shlex.quote(f"{collection.kind}/{collection.id}") if collection else ""
        if rebuild:
            return f"s3-manifest doctor --stack NAME --collection {name} prints the command"
        return f"s3-manifest rescan {name or '--all'} --stack NAME"


Target = Stack | Bucket
"""What is examined."""


def find(clients: Clients, name: str) -> Stack:
    """Returns the stack of that name. Raises ``NotFound``, ``Invalid`` (not this template), ``Unavailable``."""
    cloudformation = clients.client("cloudformation")
    try:
        answer = send(cloudformation.describe_stacks, StackName=name)
        listed = send(cloudformation.describe_stack_resources, StackName=name)["StackResources"]
    except Unavailable as failure:
        if failure.code == "ValidationError":
            raise NotFound(
                f"there is no stack {name} in this account and region ({failure.message}).",
                remedy="List yours with 'aws cloudformation list-stacks', or check --region and --profile.",
            ) from failure
        reason = f"CloudFormation did not answer: {failure.message}"
        raise Unavailable(reason, remedy=failure.remedy, code=failure.code) from failure
    (description,) = answer["Stacks"]
    resources = {item["LogicalResourceId"]: item.get("PhysicalResourceId", "") for item in listed}
    outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", ())}
    parameters = {item["ParameterKey"]: item["ParameterValue"] for item in description["Parameters"]}
    own_bucket = outputs.get("BucketName", "")
    _, partition, _, region, account, resource = description["StackId"].split(":", 5)
    stack = Stack(
        name=name,
        status=description["StackStatus"],
        partition=partition,
        region=region,
        account=account,
        own_bucket=own_bucket,
        bucket=own_bucket,
        parameters=parameters,
        resources=resources,
        alarms=[item["PhysicalResourceId"] for item in listed if item["ResourceType"] == "AWS::CloudWatch::Alarm"],
        guid=resource.rpartition("/")[2],
    )
    needed = {*_RESOURCES, *stack.functions, *(f"{function}Role" for function in stack.functions)}
    missing = sorted(_PARAMETERS - parameters.keys()) + sorted(item for item in needed if not resources.get(item))
    if missing or not own_bucket:
        raise Invalid(
            f"stack {name} ({stack.status}) has no {[*missing, 'BucketName'][0]}: it is not a complete"
            " deployment of this version's template.",
            remedy="Deploy it again, or pass the name of another stack.",
        )
    return stack
