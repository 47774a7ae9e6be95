"""The permissions name exactly the stack's own bucket and the additional ones."""

import re
from typing import Any

import pytest

from s3_manifest_cli.local_stack.stack import template

RESOURCES: dict[str, Any] = template()["Resources"]
FUNCTIONS = ("ReconcileFunction", "SweepFunction", "QueryFunction", "EditFunction")
ROOT = "_manifests/"


def rendered(part: Any, existing: str, additional: list[str]) -> Any:
    """Evaluates CloudFormation's functions with these buckets; ``existing`` is empty if the stack creates its own."""
    values = {"ExistingBucket": existing, "Bucket": "created", "AdditionalBuckets": additional, "ManifestRoot": ROOT}
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
            case list():
                value = [evaluate(item) for item in part]
        return value

    return evaluate(part)


def statements() -> list[tuple[str, Any]]:
    """Returns the resources of each statement about buckets, with a description."""
    found = []
    for function in FUNCTIONS:
        (policy,) = RESOURCES[function]["Properties"]["Policies"]
        for statement in policy["Statement"]:
            actions = statement.get("Action", "")
            if "s3:" in str(actions):
                found.append((f"{function} {statement['Sid']}", statement["Resource"]))
    queue = RESOURCES["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"][0]
    return [*found, ("QueuePolicy BucketSends", queue["Condition"]["ArnLike"]["aws:SourceArn"])]


SUFFIXES = {
    "ReconcileFunction ReadData": "/*",
    "ReconcileFunction List": "",
    "ReconcileFunction WriteManifests": f"/{ROOT}*",
    "SweepFunction ReadData": "/*",
    "SweepFunction List": "",
    "SweepFunction WriteAndCollectManifests": f"/{ROOT}*",
    "QueryFunction ReadManifests": f"/{ROOT}*",
    "QueryFunction List": "",
    "EditFunction Read": "/*",
    "EditFunction List": "",
    "EditFunction ChangeData": "/*",
    "EditFunction ButNoManifests": f"/{ROOT}*",
    "QueuePolicy BucketSends": "",
}


@pytest.mark.parametrize("existing", ["", "existing"])
# CloudFormation may return an empty list parameter as no name or as one empty name.
@pytest.mark.parametrize("additional", [[], [""], ["one"], ["one", "two.example", "three"]], ids=len)
def test_each_permission_names_every_bucket_and_no_other(existing, additional):
    own, others = existing or "created", [name for name in additional if name]
    found = {name: rendered(resource, existing, additional) for name, resource in statements()}
    # A literal cannot contain the partition; the role has only its own.
    assert found == {
        name: [f"arn:aws-cn:s3:::{own}{suffix}", *(f"arn:*:s3:::{other}{suffix}" for other in others)]
        for name, suffix in SUFFIXES.items()
    }


def test_the_subscription_receives_the_list_as_it_is():
    assert RESOURCES["Subscription"]["Properties"]["AdditionalBuckets"] == {"Ref": "AdditionalBuckets"}


def test_every_wildcard_of_the_own_bucket_follows_the_manifest_root():
    """``rendered`` knows only the default; the own bucket may have another."""
    for name, resource in statements():
        arn = resource["Fn::Split"][1]["Fn::Sub"][0]
        assert ("${ManifestRoot}" in arn) == (SUFFIXES[name] == f"/{ROOT}*")
