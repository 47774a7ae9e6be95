"""The functions' roles suffice for what they do, and for nothing that they should not do."""

from collections.abc import Iterator
from typing import Any

import pytest

import s3_manifest_cli.stack
from s3_manifest_cli.platform import running_platform
from s3_manifest_cli.stack import Stack, deploy, template

REAL_TEMPLATE = template


def reached_over_plain_http() -> dict[str, Any]:
    """The template without its refusal of plain HTTP, which is all there is on this machine."""
    found = REAL_TEMPLATE()
    for name in ("QueuePolicy", "BucketPolicy"):
        statements = found["Resources"][name]["Properties"]["PolicyDocument"]["Statement"]
        statements[:] = [one for one in statements if one["Sid"] != "DenyPlainHttp"]
    return found


@pytest.fixture
def guarded_stack(monkeypatch) -> Iterator[Stack]:
    monkeypatch.setattr(s3_manifest_cli.stack, "template", reached_over_plain_http)
    with running_platform(enforce_iam=True) as platform:
        yield deploy(platform, "guarded")


def test_the_functions_do_their_work_with_iam_enforced(guarded_stack, eventually):
    s3 = guarded_stack.platform.client("s3")
    for name in ("kept.png", "deleted.png"):
        s3.put_object(Bucket=guarded_stack.bucket, Key=f"styles/1/{name}", Body=b"bytes")
    s3.delete_object(Bucket=guarded_stack.bucket, Key="styles/1/deleted.png")

    def filenames() -> list[str]:
        files = guarded_stack.get("/api/s3/manifest", {"styleId": "1"}).body.get("files", [])
        return [file["filename"] for file in files]

    eventually(filenames, lambda found: found == ["kept.png"])
    assert guarded_stack.get("/api/manifests").status == 200
    # Without s3:ListBucket S3 answers 403 for a key that is missing, and this would be 503.
    assert guarded_stack.get("/api/s3/manifest", {"styleId": "never seen"}).status == 404


def allowed(function: str) -> dict[str, str]:
    """The S3 actions that a function's own policy allows, each with the resource's path in the bucket."""
    (policy,) = template()["Resources"][function]["Properties"]["Policies"]
    found = {}
    for statement in (one for one in policy["Statement"] if "Fn::If" not in one):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resource = statement["Resource"]
        arn = resource["Fn::Sub"][0] if "Fn::Sub" in resource else "another resource"
        found |= {action: arn.partition("${Name}")[2] for action in actions if action.startswith("s3:")}
    return found


@pytest.mark.parametrize(
    ("function", "actions"),
    [
        ("ReconcileFunction", {"s3:GetObject": "/*", "s3:ListBucket": "", "s3:PutObject": "/${ManifestRoot}*"}),
        ("QueryFunction", {"s3:GetObject": "/${ManifestRoot}*", "s3:ListBucket": ""}),
        ("SubscriptionFunction", {"s3:GetBucketNotification": "", "s3:PutBucketNotification": ""}),
    ],
)
def test_a_function_may_do_this_in_the_bucket_and_no_more(function, actions):
    assert allowed(function) == actions
