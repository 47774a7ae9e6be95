"""The check for requests of the functions that a bucket policy denies."""

import json
from types import MappingProxyType

import pytest
from client.doctor_values import STACK, stack_with

from s3_manifest_cli.client.doctor.checks.callers import Surroundings
from s3_manifest_cli.client.doctor.checks.permissions import check_bucket_policy
from s3_manifest_cli.client.doctor.stack import FUNCTIONS

BUCKET = "arn:aws:s3:::bucket"
ROLES = "arn:aws:iam::1:role/it-*"
ROLE, SESSION = (
    "arn:aws:iam::1:role/it-ReconcileFunctionRole",
    "arn:aws:sts::1:assumed-role/it-ReconcileFunctionRole/it-ReconcileFunction",
)
ALL_ROLES = [STACK.role_arn(name) for name in FUNCTIONS]
KEY = "arn:aws:kms:us-east-1:1:key/k"
SSE, SSE_KEY = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
PUT = {"Action": "s3:PutObject"}
EVERYTHING = {
    "Sid": "Theirs",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [BUCKET, f"{BUCKET}/*"],
}


def statement(**changes):
    """Denies everything to everybody, except for the changes; None removes a part."""
    return {key: value for key, value in (EVERYTHING | changes).items() if value is not None}


def findings_of(*statements, stack=STACK, in_vpc=MappingProxyType({}), organization=None):
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return check_bucket_policy(stack, policy, Surroundings(in_vpc, organization))


def put_if(operator, key, value):
    return statement(**PUT, Condition={operator: {key: value}})


def if_(operator, key, value):
    return statement(Condition={operator: {key: value}})


CERTAIN = {
    "no encryption header": put_if("Null", SSE, "true"),
    "another encryption": put_if("StringNotEquals", SSE, "aws:kms"),
    "one of some encryptions": put_if("StringNotEquals", SSE, ["AES256", "aws:kms"]),
    "an encryption if there is one": put_if("StringNotEqualsIfExists", SSE, "aws:kms"),
    "a key": put_if("StringNotEquals", SSE_KEY, KEY),
    "a key by its pattern": put_if("ArnNotLike", SSE_KEY, "arn:aws:kms:*:1:key/*"),
    "no key": put_if("Null", SSE_KEY, "true"),
    "a customer's algorithm": put_if("Null", "s3:x-amz-server-side-encryption-customer-algorithm", "true"),
    "an access control list": put_if("StringNotEquals", "s3:x-amz-acl", "bucket-owner-full-control"),
    "no condition of a write": put_if("Null", "s3:if-none-match", "true"),
    "a referer": if_("StringNotLike", "aws:Referer", "https://example.com/*"),
    "a second factor": if_("BoolIfExists", "aws:MultiFactorAuthPresent", "false"),
    "another principal": if_("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::1:role/admin*"),
    "another account": if_("StringNotEquals", "aws:PrincipalAccount", "2"),
    "another region": if_("StringNotEquals", "aws:RequestedRegion", "eu-west-1"),
    "the account": statement(Principal={"AWS": "arn:aws:iam::1:root"}),
    "the account by its number": statement(Principal={"AWS": ["2", "1"]}),
    "the role": statement(Principal={"AWS": ROLE}),
    "its session": statement(Principal={"AWS": SESSION}),
    "all but others": statement(Principal=None, NotPrincipal={"AWS": "arn:aws:iam::1:user/admin"}),
    "all but some actions": statement(Action=None, NotAction=["s3:GetObject", "s3:ListBucket"]),
    "all but some objects": statement(Resource=None, NotResource=f"{BUCKET}/public/*"),
    "the manifests": statement(Resource=f"{BUCKET}/_manifests/*"),
    "the manifests of one kind": statement(Resource=f"{BUCKET}/_manifests/actors/*"),
    "by a name": statement(Resource=f"{BUCKET}/*/manifest.json"),
    "one kind of data": statement(Action="s3:GetObject", Resource=f"{BUCKET}/actors/*"),
    "to list": statement(Action="s3:ListBucket", Resource=BUCKET),
    "to list but for one prefix": statement(
        Action="s3:List*", Resource=BUCKET, Condition={"StringNotLike": {"s3:prefix": "home/*"}}
    ),
    "to subscribe": statement(Action="s3:PutBucketNotification", Resource=BUCKET),
    "new TLS": if_("NumericLessThan", "s3:TlsVersion", "1.4"),
}

POSSIBLE = {
    "addresses": (if_("NotIpAddress", "aws:SourceIp", "203.0.113.0/24"), "NotIpAddress aws:SourceIp"),
    "an endpoint": (if_("StringNotEquals", "aws:SourceVpce", "vpce-1"), "aws:SourceVpce"),
    "a VPC": (if_("StringNotEqualsIfExists", "aws:SourceVpc", "vpc-1"), "aws:SourceVpc"),
    "an organization": (if_("StringNotEquals", "aws:PrincipalOrgID", "o-1"), "aws:PrincipalOrgID"),
    "a tag": (if_("StringNotEquals", "aws:PrincipalTag/team", "images"), "aws:PrincipalTag/team"),
    "users by their ids": (if_("StringNotLike", "aws:userid", ["AROAEXAMPLE:*"]), "aws:userid"),
    "TLS 1.3": (if_("NumericLessThan", "s3:TlsVersion", "1.3"), "s3:TlsVersion"),
    "a variable": (if_("StringNotLike", "aws:PrincipalArn", "*/${aws:PrincipalTag/role}"), "aws:PrincipalArn"),
    "an operator of the future": (if_("StringSoundsLike", "aws:PrincipalArn", ROLE), "StringSoundsLike"),
    "one collection": (statement(Resource=f"{BUCKET}/_manifests/styles/16/*"), "Resource"),
    "some files": (statement(Action="s3:GetObject", Resource=f"{BUCKET}/*.png"), "Resource"),
    "a folder for each user": (statement(Resource=f"{BUCKET}/${{aws:username}}/*"), "Resource"),
    "all but the roles, without their account": (
        statement(Principal=None, NotPrincipal={"AWS": ALL_ROLES}),
        "NotPrincipal",
    ),
    "a canonical user": (statement(Principal={"CanonicalUser": "79a59d"}), "Principal"),
}

NONE = {
    "plain HTTP": if_("Bool", "aws:SecureTransport", "false"),
    "old TLS": if_("NumericLessThan", "s3:TlsVersion", "1.2"),
    "another encryption where one is asked for": statement(
        **PUT, Condition={"Null": {SSE: "false"}, "StringNotEquals": {SSE: "aws:kms"}}
    ),
    "the wrong encryption": put_if("StringEquals", SSE, "aws:kms:dsse"),
    "public objects": put_if("StringEquals", "s3:x-amz-acl", ["public-read", "public-read-write"]),
    "all but these roles": if_("ArnNotLike", "aws:PrincipalArn", ROLES),
    "another account": statement(Principal={"AWS": "2"}),
    "a service": statement(Principal={"Service": "lambda.amazonaws.com"}),
    "an allowance": statement(Effect="Allow"),
    "other objects": statement(Resource=f"{BUCKET}/invoices/*"),
    "another bucket's": statement(Resource="arn:aws:s3:::bucket-of-theirs/*"),
    "to delete it": statement(Action=["s3:DeleteBucket", "s3:PutBucketPolicy"]),
    "versions": statement(Action="s3:GetObjectVersion"),
    "all but what is needed": statement(
        Action=None,
        NotAction=["s3:*Object", "s3:DeleteObjectVersion", "s3:ListBucket*", "s3:*BucketNotification"],
    ),
    "all but manifests and data": statement(
        Resource=None, NotResource=[BUCKET, f"{BUCKET}/_manifests/*", f"{BUCKET}/styles/*", f"{BUCKET}/actors/*"]
    ),
    "from elsewhere, and not encrypted": statement(
        Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1"}, "Bool": {"aws:SecureTransport": "false"}}
    ),
}


@pytest.mark.parametrize("denied", CERTAIN.values(), ids=CERTAIN)
def test_a_statement_that_denies_a_function_is_an_error_with_an_exemption_for_the_functions(denied):
    (finding,) = findings_of(denied)
    assert (finding.severity, finding.subject) == ("error", "Theirs")
    assert "Function s3:" in finding.found
    condition = json.loads("{" + finding.mend.partition("add {")[2].partition("}} to its conditions")[0] + "}}")
    exempting = statement(**denied) | {"Condition": denied.get("Condition", {}) | condition}
    if "NotPrincipal" in denied:
        exempting = {key: value for key, value in exempting.items() if key != "NotPrincipal"} | {"Principal": "*"}
    assert [finding.severity for finding in findings_of(exempting)] == ["ok"]


@pytest.mark.parametrize(("denied", "condition"), POSSIBLE.values(), ids=POSSIBLE)
def test_a_statement_that_may_deny_a_function_is_a_warning_that_names_the_unknown_condition(denied, condition):
    (finding,) = findings_of(denied)
    assert (finding.severity, finding.subject) == ("warning", "Theirs")
    assert condition in finding.found
    assert ROLES in finding.mend


@pytest.mark.parametrize("harmless", NONE.values(), ids=NONE)
def test_a_statement_that_denies_no_function_is_ok(harmless):
    assert [finding.severity for finding in findings_of(harmless)] == ["ok"]


def test_every_statement_is_reported_with_all_that_it_denies():
    first = put_if("Null", SSE, "true")
    second = statement(Sid=None, Resource=f"{BUCKET}/_manifests/*", Action="s3:DeleteObject")
    by_subject = {finding.subject: finding.found for finding in findings_of(first, second, NONE["old TLS"])}
    assert set(by_subject) == {"Theirs", "number 2"}
    writers = ("ReconcileFunction", "SweepFunction", "EditFunction")
    assert all(f"{name} s3:PutObject" in by_subject["Theirs"] for name in writers)
    assert by_subject["number 2"] == (
        "this statement denies SweepFunction s3:DeleteObject, SubscriptionFunction s3:DeleteObject"
    )


def test_statements_that_deny_only_undeployed_functions_are_ok():
    only_edits = statement(Action="s3:PutObject", Resource=f"{BUCKET}/styles/*")
    assert [finding.severity for finding in findings_of(only_edits)] == ["error"]
    assert [finding.severity for finding in findings_of(only_edits, stack=stack_with(AllowEdits="false"))] == ["ok"]


@pytest.mark.parametrize("key", ["aws:SourceVpce", "aws:SourceVpc"])
def test_a_function_outside_of_a_vpc_uses_none_of_the_accounts_endpoints(key):
    outside, inside = dict.fromkeys(STACK.functions, False), dict.fromkeys(STACK.functions, True)
    denied = if_("StringNotEquals", key, "vpc-1")
    assert [finding.severity for finding in findings_of(denied, in_vpc=outside)] == ["error"]
    assert [finding.severity for finding in findings_of(denied, in_vpc=inside)] == ["warning"]


@pytest.mark.parametrize(("organization", "severity"), [("o-1", "ok"), ("o-2", "error"), (None, "warning")])
def test_a_known_organization_is_compared(organization, severity):
    denied = if_("StringNotEquals", "aws:PrincipalOrgID", "o-1")
    assert [finding.severity for finding in findings_of(denied, organization=organization)] == [severity]
