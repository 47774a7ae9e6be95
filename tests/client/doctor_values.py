"""A deployed stack, as CloudFormation describes it."""

from s3_manifest_cli.client.doctor.stack import FUNCTIONS, Stack

_NAMES = [*FUNCTIONS, *(f"{name}Role" for name in FUNCTIONS), "SweepRule", "ReconcileLogs", "SweepLogs"]
_QUEUES = ("ChangeQueue", "SweepQueue", "DeadLetterQueue")

STACK = Stack(
    name="it",
    status="CREATE_COMPLETE",
    partition="aws",
    region="us-east-1",
    account="1",
    own_bucket="bucket",
    bucket="bucket",
    parameters={
        "Collections": "style=styles/{style_id}/,actor=actors/{actor_id}/",
        "ManifestRoot": "_manifests/",
        "ExistingBucket": "",
        "AllowEdits": "true",
        "KmsKeyArn": "",
        "SweepSchedule": "rate(1 day)",
        "HistoryDays": "30",
        "AnnounceChanges": "true",
        "EventBusName": "default",
        "AlarmTopicArn": "arn:aws:sns:us-east-1:1:alarms",
    },
    resources={name: f"it-{name}" for name in _NAMES}
    | {name: f"https://sqs.us-east-1.amazonaws.com/1/it-{name}" for name in _QUEUES},
    alarms=["it-DriftAlarm"],
)


def stack_with(**parameters: str) -> Stack:
    return STACK._replace(parameters={**STACK.parameters, **parameters})
