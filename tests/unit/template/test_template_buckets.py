"""The permissions name exactly the stack's own bucket and the additional ones."""

import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from s3_manifest_cli.local_stack.stack import template

RESOURCES: dict[str, Any] = template()["Resources"]
FUNCTIONS = ("ReconcileFunction", "SweepFunction", "QueryFunction", "EditFunction")
ROOT = "_manifests/"


def rendered(part: Any, existing: str, additional: list[str], root: str = ROOT) -> Any:
    """Evaluates CloudFormation's functions with these buckets; ``existing`` is empty if the stack creates its own."""
    values = {"ExistingBucket": existing, "Bucket": "created", "AdditionalBuckets": additional, "ManifestRoot": root}
    values |= {"AWS::Partition": "aws-cn"}
    conditions = {"MakesBucket": not existing, "HasAdditionalBuckets": "".join(additional) != ""}

    def evaluate(part: Any) -> Any:
        value = part
        match part:
            case {"Ref": name}:
                value = values[name]
            case {"Fn::If": [name, then, otherwise]}:
                value = evaluate(then if conditions[name] else otherwise)
            case {"Fn::Join": [str() as delimiter, items]}:
                value = delimiter.join(evaluate(items))
            case {"Fn::Split": [str() as delimiter, text]}:
                value = evaluate(text).split(delimiter)
            case {"Fn::Sub": [str() as text, variables]}:
                known = values | {name: evaluate(item) for name, item in variables.items()}
                value = re.sub(r"\${([\w:]+)}", lambda match: known[match[1]], text)
            case {"Fn::Sub": str() as text}:
                value = re.sub(r"\${([\w:]+)}", lambda match: values[match[1]], text)
            case list():
                value = [evaluate(item) for item in part]
        return value

    return evaluate(part)


def policy_of(function: str) -> list[Any]:
    """Returns the statements about S3 in the policy of a function."""
    (policy,) = RESOURCES[function]["Properties"]["Policies"]
    return [statement for statement in policy["Statement"] if "s3:" in str(statement.get("Action", ""))]


def statements() -> list[tuple[str, Any]]:
    """Returns the resources of each statement that allows something in buckets, with a description."""
    found = [
        (f"{function} {statement['Sid']}", statement["Resource"])
        for function in FUNCTIONS
        for statement in policy_of(function)
        if statement["Effect"] == "Allow"
    ]
    queue = RESOURCES["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"][0]
    return [*found, ("QueuePolicy BucketSends", queue["Condition"]["ArnLike"]["aws:SourceArn"])]


SUFFIXES = {
    "ReconcileFunction ReadData": "/*",
    "ReconcileFunction List": "",
    "ReconcileFunction WriteManifests": "/*",
    "SweepFunction ReadData": "/*",
    "SweepFunction List": "",
    "SweepFunction WriteAndCollectManifests": "/*",
    "QueryFunction ReadManifests": "/*",
    "QueryFunction List": "",
    "EditFunction ReadAndChangeData": "/*",
    "EditFunction List": "",
    "QueuePolicy BucketSends": "",
}
BELOW_ROOT = {name for name in SUFFIXES if "Manifests" in name}
"""The statements whose resource in the stack's own bucket is the manifest root only."""


@pytest.mark.parametrize("existing", ["", "existing"])
# CloudFormation may return an empty list parameter as no name or as one empty name.
@pytest.mark.parametrize("additional", [[], [""], ["one"], ["one", "two.example", "three"]], ids=len)
def test_each_permission_names_every_bucket_and_no_other(existing, additional):
    own, others = existing or "created", [name for name in additional if name]
    found = {name: rendered(resource, existing, additional) for name, resource in statements()}
    # A literal cannot contain the partition; the role has only its own.
    assert found == {
        name: [
            f"arn:aws-cn:s3:::{own}{f'/{ROOT}*' if name in BELOW_ROOT else suffix}",
            *(f"arn:*:s3:::{other}{suffix}" for other in others),
        ]
        for name, suffix in SUFFIXES.items()
    }


def allows(function: str, action: str, path: str, root: str) -> bool:
    """Whether the function may do this with an object, in a deployment of two buckets."""
    arn, allowed = f"arn:aws-cn:s3:::{path}", False
    for statement in policy_of(function):
        if action not in statement["Action"]:
            continue
        key = "Resource" if "Resource" in statement else "NotResource"
        resources = rendered(statement[key], "own", ["other"], root)
        patterns = [resources] if isinstance(resources, str) else resources
        if any(fnmatchcase(arn, pattern) for pattern in patterns) == (key == "Resource"):
            if statement["Effect"] == "Deny":
                return False
            allowed = True
    return allowed


@pytest.mark.parametrize("root", [ROOT, "deep/er/"])
@pytest.mark.parametrize("bucket", ["own", "other"])
def test_manifests_are_read_and_written_below_the_root_of_every_bucket_and_data_is_not(bucket, root):
    def objects(function: str, action: str) -> list[str]:
        places = {"manifest": f"{root}styles/16/manifest.json", "data": "styles/16/a.png"}
        return [name for name, key in places.items() if allows(function, action, f"{bucket}/{key}", root)]

    assert objects("ReconcileFunction", "s3:GetObject") == ["manifest", "data"]
    assert objects("ReconcileFunction", "s3:PutObject") == ["manifest"]
    assert objects("SweepFunction", "s3:PutObject") == ["manifest"]
    assert objects("SweepFunction", "s3:DeleteObject") == ["manifest"]
    assert objects("QueryFunction", "s3:GetObject") == ["manifest"]
    assert objects("QueryFunction", "s3:PutObject") == []
    assert objects("EditFunction", "s3:GetObject") == ["manifest", "data"]
    assert objects("EditFunction", "s3:PutObject") == ["data"]
    assert objects("EditFunction", "s3:DeleteObject") == ["data"]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
def test_no_function_reaches_another_bucket(function, action):
    for key in (f"{ROOT}styles/16/manifest.json", "styles/16/a.png"):
        assert not allows(function, action, f"third/{key}", ROOT)


def test_the_subscription_receives_the_list_as_it_is():
    assert RESOURCES["Subscription"]["Properties"]["AdditionalBuckets"] == {"Ref": "AdditionalBuckets"}
