"""The functions' roles allow what they do, and nothing that they should not do."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

import s3_manifest_cli.local_stack.stack
from s3_manifest_cli.local_stack.platform import REGION, running_platform
from s3_manifest_cli.local_stack.stack import Stack, deploy, http_put, template

REAL_TEMPLATE = template
ASSETS = "guarded-assets"
COLLECTIONS = f"style=styles/{{style_id}}/,actor=s3://{ASSETS}/actors/{{actor_id}}/"


def platform_template() -> dict[str, Any]:
    """Returns the template without the denial of plain HTTP, which this stack uses.

    To AWS a batch is covered by ``sqs:SendMessage``, and has no action of its own; to MiniStack it has.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    """
    send = '"sqs:SendMessage"'
    changed = json.loads(json.dumps(REAL_TEMPLATE()).replace(send, f'[{send}, "sqs:SendMessageBatch"]'))
    for name in ("QueuePolicy", "BucketPolicy"):
        statements = changed["Resources"][name]["Properties"]["PolicyDocument"]["Statement"]
        statements[:] = [statement for statement in statements if statement.get("Sid") != "DenyPlainHttp"]
    return changed


@pytest.fixture(scope="module")
def guarded_stack() -> Iterator[Stack]:
    with running_platform(enforce_iam=True) as platform, pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_manifest_cli.local_stack.stack, "template", platform_template)
        platform.client("s3").create_bucket(Bucket=ASSETS)
        stack = deploy(platform, "guarded", {"AdditionalBuckets": ASSETS, "Collections": COLLECTIONS})
        patch.undo()
        yield stack


def test_the_functions_work_with_iam_enforced(guarded_stack, eventually):
    s3 = guarded_stack.platform.client("s3")
    for name in ("kept.png", "deleted.png"):
        s3.put_object(Bucket=guarded_stack.bucket, Key=f"styles/1/{name}", Body=b"bytes")
    s3.delete_object(Bucket=guarded_stack.bucket, Key="styles/1/deleted.png")

    def filenames() -> list[str]:
        files = guarded_stack.get("/api/s3/manifest", {"styleId": "1"}).body.get("files", [])
        return [file["filename"] for file in files]

    eventually(filenames, lambda found: found == ["kept.png"])
    assert guarded_stack.get("/api/manifests").status == 200
    # Without s3:ListBucket, S3 answers 403 for a missing key, and this would be 503.
    assert guarded_stack.get("/api/s3/manifest", {"styleId": "never seen"}).status == 404
    changes = guarded_stack.get("/api/manifests/style/1/changes", {"since": 0})
    assert (changes.status, changes.body["more"]) == (200, False)

    # An edit reads, writes a sidecar, deletes, signs uploads and requests a sweep, but never writes a manifest.
    path = "/api/manifests/style/1"
    assert guarded_stack.send("PATCH", f"{path}/files/kept.png", {"good": False}).status == 200
    request = {"images": [{"filename": "new.png", "size": 3, "md5": hashlib.md5(b"new").hexdigest()}], "generation": {}}
    (upload,) = guarded_stack.send("POST", f"{path}/uploads", request).body["uploads"]
    assert http_put(upload["url"], b"new", upload["headers"]) == 200
    eventually(filenames, lambda found: found == ["kept.png", "new.png"])
    assert guarded_stack.send("DELETE", f"{path}/files/new.png", query={"delete_from_s3": "true"}).status == 200
    eventually(filenames, lambda found: found == ["kept.png"])
    s3.put_object(Bucket=ASSETS, Key="actors/0007_a/a.png", Body=b"bytes")
    assert guarded_stack.send("POST", "/api/training-data/7/rescan").status == 202

    # A sweep lists, reads, writes, and sends to its own queue.
    requested_at = guarded_stack.post("/api/manifests/rescan").body["requested_at"]
    assert guarded_stack.post("/api/manifests/style/1/rescan").status == 202

    def verified_at() -> str:
        return guarded_stack.get("/api/s3/manifest", {"styleId": "1"}).body["last_verified_at"]

    eventually(verified_at, lambda at: at > requested_at)

    # The query function requests sweeps too, and waits for them.
    s3.put_object(Bucket=ASSETS, Key="actors/0042_male/a.png", Body=b"bytes")
    answer = guarded_stack.get("/api/training-data/42", {"force_rescan": "true", "wait": 20})
    assert (answer.status, answer.body["total_images"]) == (200, 1)
    eventually(lambda: guarded_stack.get("/api/stats").body["total_collections"], lambda found: found == 3)


def test_the_functions_work_in_an_additional_bucket_with_iam_enforced(guarded_stack, eventually):
    s3, path = guarded_stack.platform.client("s3"), "/api/training-data/0008_b"
    for name in ("kept.png", "deleted.png"):
        s3.put_object(Bucket=ASSETS, Key=f"actors/0008_b/{name}", Body=b"bytes")

    def filenames() -> list[str]:
        return [image["filename"] for image in guarded_stack.get(path).body.get("images", [])]

    eventually(filenames, lambda found: found == ["deleted.png", "kept.png"])
    request = {"images": [{"filename": "new.png", "size": 3, "md5": hashlib.md5(b"new").hexdigest()}], "generation": {}}
    (upload,) = guarded_stack.send("POST", f"{path}/uploads", request).body["uploads"]
    assert ASSETS in upload["url"]
    assert http_put(upload["url"], b"new", upload["headers"]) == 200
    query = {"delete_from_s3": "true"}
    assert guarded_stack.send("DELETE", f"{path}/images/deleted.png", query=query).status == 200
    eventually(filenames, lambda found: found == ["kept.png", "new.png"])
    verified = guarded_stack.get(path, {"force_rescan": "true", "wait": 20})
    assert (verified.status, verified.body["s3_bucket"], verified.body["total_images"]) == (200, ASSETS, 2)
    assert s3.list_objects_v2(Bucket=ASSETS, Prefix="_manifests/actors/0008_b/")["KeyCount"] > 0
    assert "Contents" not in s3.list_objects_v2(Bucket=guarded_stack.bucket, Prefix="_manifests/actors/")


def test_neither_the_edit_function_nor_its_presigned_urls_can_write_a_manifest(guarded_stack):
    """Sends requests with the function's credentials, as faulty code might."""
    functions, sts = guarded_stack.platform.client("lambda"), guarded_stack.platform.client("sts")
    (function,) = [item for item in functions.list_functions()["Functions"] if "-EditFunction" in item["FunctionName"]]
    credentials = sts.assume_role(RoleArn=function["Role"], RoleSessionName="astray")["Credentials"]
    s3 = boto3.client(
        "s3",
        endpoint_url=guarded_stack.platform.endpoint,
        region_name=REGION,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
    for bucket, key in ((guarded_stack.bucket, "styles/1/a.png"), (ASSETS, "actors/1/a.png")):
        s3.put_object(Bucket=bucket, Key=key, Body=b"bytes")
        manifest = {"Bucket": bucket, "Key": f"_manifests/{key.removesuffix('a.png')}manifest.json"}
        with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
            s3.put_object(**manifest, Body=b"{}")
        with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
            s3.delete_object(**manifest)
    guarded_stack.platform.client("s3").create_bucket(Bucket="not-of-the-stack")
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.put_object(Bucket="not-of-the-stack", Key="styles/1/a.png", Body=b"bytes")


def allowed(function: str, effect: str = "Allow") -> dict[str, set[str]]:
    """Returns the actions that a function's policy allows with any parameters, and their resources.

    That is a path in the bucket, or the name of a resource or parameter.
    """
    (policy,) = template()["Resources"][function]["Properties"]["Policies"]
    found: dict[str, set[str]] = {}
    for conditional in policy["Statement"]:
        statement = conditional["Fn::If"][1] if "Fn::If" in conditional else conditional
        if statement["Effect"] != effect:
            continue
        for action in [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]:
            resource = statement.get("Resource") or statement["NotResource"]
            found.setdefault(action, set()).add(target(resource))
    return found


def target(resource: dict[str, Any] | str) -> str:
    match resource:
        case "*":
            return "*"
        case {"Fn::GetAtt": [name, "Arn"]} | {"Ref": name}:
            return name
        case {"Fn::Split": [",", {"Fn::Sub": [arn, {"Name": _, "Others": _}]}]}:
            return arn.partition("${Name}")[2].removesuffix("${Others}")
        case {"Fn::Sub": [arn, _]}:
            return arn.rpartition(":")[2]
        case {"Fn::Sub": arn}:
            return arn.rpartition(":")[2]
    raise AssertionError(resource)


RULES = "rule/s3-manifest-${Guid}-*"
RULE_ACTIONS = ("DescribeRule", "PutRule", "DeleteRule", "ListTargetsByRule", "PutTargets", "RemoveTargets")
RECORD_ACTIONS = ("GetObject", "PutObject", "DeleteObject", "DeleteObjectVersion")
DATA, BUCKET, MANIFESTS, BUS = "/*", "", "/${ManifestRoot}*", "event-bus/${EventBusName}"
WRITES_MANIFESTS = {
    "s3:GetObject": {DATA},
    "s3:ListBucket": {BUCKET},
    "s3:PutObject": {MANIFESTS},
    "events:PutEvents": {BUS},
    "kms:Decrypt": {"KmsKeyArn"},
    "kms:GenerateDataKey": {"KmsKeyArn"},
}


@pytest.mark.parametrize(
    ("function", "actions"),
    [
        (
            "ReconcileFunction",
            WRITES_MANIFESTS
            | {
                "sqs:SendMessage": {"SweepQueue"},
                "sqs:ReceiveMessage": {"ChangeQueue"},
                "sqs:DeleteMessage": {"ChangeQueue"},
            },
        ),
        ("SweepFunction", WRITES_MANIFESTS | {"s3:DeleteObject": {MANIFESTS}, "sqs:SendMessage": {"SweepQueue"}}),
        (
            "EditFunction",
            {
                "s3:GetObject": {DATA},
                "s3:ListBucket": {BUCKET},
                "s3:PutObject": {DATA},
                "s3:DeleteObject": {DATA},
                "sqs:SendMessage": {"SweepQueue"},
                "kms:Decrypt": {"KmsKeyArn"},
                "kms:GenerateDataKey": {"KmsKeyArn"},
            },
        ),
        (
            "QueryFunction",
            {
                "s3:GetObject": {MANIFESTS},
                "s3:ListBucket": {BUCKET},
                "sqs:SendMessage": {"SweepQueue"},
                "kms:Decrypt": {"KmsKeyArn"},
            },
        ),
        ("RescanFunction", {"sqs:SendMessage": {"SweepQueue"}}),
        (
            "SubscriptionFunction",
            {
                # Conditions restrict these to this account, and to S3.
                "s3:GetBucketNotification": {"*"},
                "s3:PutBucketNotification": {"*"},
                "s3:ListBucket": {"*"},
                "s3:ListBucketVersions": {"*"},
                **{f"s3:{action}": {"*/subscription.json"} for action in RECORD_ACTIONS},
                "kms:Decrypt": {"key/*"},
                "kms:GenerateDataKey": {"key/*"},
                **{f"events:{action}": {RULES} for action in RULE_ACTIONS},
                "events:ListRules": {"*"},
                "sqs:GetQueueUrl": {"ChangeQueue"},
                "sqs:TagQueue": {"ChangeQueue"},
                "sqs:ListQueueTags": {"ChangeQueue"},
                "sqs:SendMessage": {"SweepQueue"},
            },
        ),
    ],
)
def test_a_function_has_exactly_these_permissions(function, actions):
    assert allowed(function) == actions


IN_ANY_BUCKET = "*/${ManifestRoot}*"


@pytest.mark.parametrize(
    ("function", "actions"),
    [
        ("ReconcileFunction", {"s3:PutObject"}),
        ("SweepFunction", {"s3:PutObject", "s3:DeleteObject"}),
        ("QueryFunction", {"s3:GetObject"}),
        ("EditFunction", {"s3:PutObject", "s3:DeleteObject"}),
    ],
)
def test_a_function_is_denied_these_actions(function, actions):
    """Outside of the manifest root, and for the edit function below it; see ``test_template_buckets``."""
    assert allowed(function, "Deny") == {action: {IN_ANY_BUCKET} for action in actions}


def test_the_queue_policy_allows_each_queue_only_its_own_senders():
    policy = template()["Resources"]["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    statements = [statement["Fn::If"][1] if "Fn::If" in statement else statement for statement in policy]
    senders = {
        (target(statement["Resource"]), statement["Principal"]["Service"]): statement["Condition"]
        for statement in statements
        if statement["Effect"] == "Allow"
    }
    assert senders.keys() == {
        ("ChangeQueue", "s3.amazonaws.com"),
        ("ChangeQueue", "events.amazonaws.com"),
        ("SweepQueue", "events.amazonaws.com"),
    }
    by_schedule = senders["SweepQueue", "events.amazonaws.com"]
    assert by_schedule == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["SweepRule", "Arn"]}}}
    by_rules = senders["ChangeQueue", "events.amazonaws.com"]
    assert target(by_rules["ArnLike"]["aws:SourceArn"]) == RULES
    assert senders["ChangeQueue", "s3.amazonaws.com"].keys() == {"StringEquals", "ArnLike"}
