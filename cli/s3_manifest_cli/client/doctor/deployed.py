"""What is deployed: the stack as CloudFormation tells of it, before anything of it is looked at."""

import json
import shlex
from collections.abc import Callable, Mapping
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection, Collections, parse_collections
from s3_manifest.manifest.jobs import Sweep, SweepAll
from s3_manifest_cli.client.doctor.clients import Clients, Unanswered, asked
from s3_manifest_cli.client.doctor.model import Finding
from s3_manifest_cli.errors import Invalid, NotFound, Unavailable

FUNCTIONS = (
    "ReconcileFunction",
    "SweepFunction",
    "QueryFunction",
    "RescanFunction",
    "EditFunction",
    "SubscriptionFunction",
)
"""The template's names of its functions; of a stack, ``Deployed.functions``."""

_QUEUES = {"ChangeQueue", "SweepQueue", "DeadLetterQueue"}
_MAPPINGS = {"ReconcileFunctionChanges", "SweepFunctionJobs"}
_OURS = _QUEUES | _MAPPINGS | {"ReconcileLogs", "SweepLogs"}

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


class Deployed(NamedTuple):
    """A stack of this project's template. ``resources`` has the physical ids by the template's names.

    ``guid`` is the last part of the stack's ARN, by which its rules are named.
    """

    stack: str
    status: str
    partition: str
    region: str
    account: str
    bucket: str
    parameters: Mapping[str, str]
    resources: Mapping[str, str]
    alarms: Mapping[str, str]
    guid: str = ""

    @property
    def kinds(self) -> Collections:
        """The kinds of collections that it is deployed with."""
        return parse_collections(self.parameters["Collections"], self.root)

    @property
    def root(self) -> str:
        """What manifests are kept below."""
        return self.parameters["ManifestRoot"]

    @property
    def is_own_bucket(self) -> bool:
        """Whether the stack made the bucket."""
        return not self.parameters["ExistingBucket"]

    @property
    def uses_event_bridge(self) -> bool:
        """Whether the bucket's changes come from EventBridge, and not from its notifications."""
        return self.parameters.get("EventSource") == "EventBridge"

    @property
    def functions(self) -> tuple[str, ...]:
        """The template's names of the functions that it is deployed with."""
        return functions_of(self.parameters)

    @property
    def subscription(self) -> str:
        """What the ids of its notification configurations begin with."""
        return f"s3-manifest-{self.stack}"

    @property
    def bucket_arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    def queue_url(self, queue: str) -> str:
        """The URL of a queue, by the template's name of it."""
        return self.resources[queue]

    def queue_arn(self, queue: str) -> str:
        """Its ARN."""
        name = self.resources[queue].rpartition("/")[2]
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{name}"

    def role_arn(self, function: str) -> str:
        """The ARN of the role that SAM makes for a function."""
        return f"arn:{self.partition}:iam::{self.account}:role/{self.resources[function + 'Role']}"

    def sweep(self, collection: Collection | None = None, *, rebuild: bool = False) -> str:
        """The command that asks for the sweep of a collection, or of all."""
        job = Sweep(kind=collection.kind, id=collection.id, rebuild=rebuild) if collection else SweepAll()
        body = json.dumps({"job": job.job, **job.model_dump(exclude_defaults=True)})
        # An id is anything that a key may hold: whoever pastes the command runs no more than that.
        quoted = shlex.quote(body)
        return f"aws sqs send-message --queue-url {self.queue_url('SweepQueue')} --message-body {quoted}"


def functions_of(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The functions that the template has under these parameters."""
    return tuple(name for name in FUNCTIONS if name != "EditFunction" or parameters.get("AllowEdits", "true") == "true")


def find(clients: Clients, stack: str) -> Deployed:
    """The stack of that name. Raises ``NotFound``, ``Invalid`` (it is no stack of ours), ``Unavailable``."""
    cloudformation = clients.of("cloudformation")
    try:
        answer = asked(cloudformation.describe_stacks, StackName=stack)
        resources = asked(cloudformation.describe_stack_resources, StackName=stack)["StackResources"]
    except Unanswered as unanswered:
        if unanswered.code == "ValidationError":
            raise NotFound(
                f"there is no stack {stack} in this account and region ({unanswered});"
                " `aws cloudformation list-stacks` names those that are, --region and --profile say where to look"
            ) from unanswered
        reason = f"CloudFormation did not answer: {unanswered}"
        raise Unavailable(reason, remedy=unanswered.mend, code=unanswered.code) from unanswered
    (found,) = answer["Stacks"]
    there = {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in resources}
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}
    functions = functions_of(parameters)
    ours = {*_OURS, *functions, *(f"{name}Role" for name in functions)}
    missing = sorted(_PARAMETERS - parameters.keys()) + [name for name in sorted(ours) if not there.get(name)]
    if missing or "BucketName" not in outputs:
        raise Invalid(
            f"stack {stack} ({found['StackStatus']}) has no {[*missing, 'BucketName'][0]}: it is none of this project's"
            " template, or of an older one, or was not deployed to its end; deploy it, or name another one"
        )
    _, partition, _, region, account, name = found["StackId"].split(":", 5)
    return Deployed(
        stack=stack,
        status=found["StackStatus"],
        partition=partition,
        region=region,
        account=account,
        bucket=outputs["BucketName"],
        parameters=parameters,
        resources=there,
        alarms={
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for one in resources
            if one["ResourceType"] == "AWS::CloudWatch::Alarm"
        },
        guid=name.rpartition("/")[2],
    )


Check = Callable[[Clients, Deployed], list[Finding]]
"""Asks AWS about a deployed stack, and judges the answers. Raises ``Unanswered``."""


def queue_attributes(clients: Clients, deployed: Deployed, queue: str) -> Mapping[str, str]:
    """All attributes of a queue, by the template's name of it. Raises ``Unanswered``."""
    url = deployed.queue_url(queue)
    found: Mapping[str, str] = asked(clients.of("sqs").get_queue_attributes, QueueUrl=url, AttributeNames=["All"])[
        "Attributes"
    ]
    return found
