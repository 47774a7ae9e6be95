"""Policies are evaluated for a request; unknown values are never guessed."""

import pytest

from s3_manifest_cli.client.doctor.checks.policies import Evaluation, Request, evaluate

ROLE = "arn:aws:iam::1:role/reconcile"
REQUEST = Request(
    {"role": {ROLE}, "account": {"1"}},
    "s3:PutObject",
    "arn:aws:s3:::b/_manifests/m.json",
    {"aws:securetransport": "true", "aws:principalarn": ROLE, "s3:x-amz-acl": None, "s3:tlsversion": "1.2"},
)
DENY = {"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
ALLOW = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::b/*"]}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], ("implicitly denied", "", "")),
        (ALLOW, ("allowed", "number 1", "Allow")),
        ([ALLOW, DENY], ("denied", "No", "Deny")),
        ([ALLOW | {"Principal": {"AWS": "1"}}], ("allowed", "number 1", "Allow")),
        ([ALLOW | {"Principal": {"AWS": "2"}}], ("implicitly denied", "", "")),
        ([ALLOW | {"Action": "S3:put*"}], ("allowed", "number 1", "Allow")),
        ([ALLOW | {"Action": "s3:GetObject"}], ("implicitly denied", "", "")),
        ([ALLOW | {"Resource": "arn:aws:s3:::b"}], ("implicitly denied", "", "")),
        ([ALLOW | {"Resource": "arn:aws:s3:::?/_manifests/[m].json"}], ("implicitly denied", "", "")),
        (
            [{k: v for k, v in DENY.items() if k != "Action"} | {"NotAction": "s3:PutObject"}],
            ("implicitly denied", "", ""),
        ),
        (
            [{k: v for k, v in DENY.items() if k != "Resource"} | {"NotResource": "arn:aws:s3:::b/public/*"}],
            ("denied", "No", "Deny"),
        ),
        (
            [{k: v for k, v in DENY.items() if k != "Principal"} | {"NotPrincipal": {"AWS": [ROLE, "1"]}}],
            ("implicitly denied", "", ""),
        ),
        # A role is only excepted together with its account.
        (
            [{k: v for k, v in DENY.items() if k != "Principal"} | {"NotPrincipal": {"AWS": ROLE}}],
            ("unknown", "No", "Deny"),
        ),
        # The excepted principal may be a session of the role.
        (
            [{k: v for k, v in DENY.items() if k != "Principal"} | {"NotPrincipal": {"AWS": "x"}}],
            ("unknown", "No", "Deny"),
        ),
    ],
)
def test_statements_are_evaluated_as_aws_evaluates_them(statements, expected):
    assert evaluate({"Statement": statements}, REQUEST) == Evaluation(*expected)


@pytest.mark.parametrize(
    ("field", "pattern", "decision"),
    [
        ("Resource", "arn:aws:s3:::b/*", "denied"),
        ("Resource", "arn:aws:s3:::b/_manifests/*/manifest.json", "denied"),
        ("Resource", "*json", "denied"),
        ("Resource", "arn:aws:s3:::b/_manifests/styles/16/*", "unknown"),
        ("Resource", "arn:aws:s3:::b/_manifests/styles/1?/manifest.json", "unknown"),
        ("Resource", "arn:aws:s3:::b/${aws:username}/*", "unknown"),
        ("Resource", "arn:aws:s3:::b/styles/*", "implicitly denied"),
        ("Resource", "arn:aws:s3:::b", "implicitly denied"),
        ("NotResource", "arn:aws:s3:::b/styles/*", "denied"),
        ("NotResource", "arn:aws:s3:::b/_manifests/*", "implicitly denied"),
        ("NotResource", "arn:aws:s3:::b/_manifests/styles/16/*", "unknown"),
    ],
)
def test_a_statement_applies_to_all_some_or_none_of_many_objects(field, pattern, decision):
    statement = {key: value for key, value in DENY.items() if key != "Resource"} | {field: pattern}
    many = REQUEST._replace(resource="arn:aws:s3:::b/_manifests/styles/*/manifest.json")
    assert evaluate({"Statement": [statement]}, many).decision == decision


@pytest.mark.parametrize(
    ("known", "decision"),
    [(("1.2", "1.3"), "unknown"), (("1.0", "1.1"), "denied"), ((None, "1.3"), "implicitly denied")],
)
def test_a_decision_requires_that_all_possible_values_agree(known, decision):
    statement = DENY | {"Condition": {"NumericLessThan": {"s3:TlsVersion": "1.3"}}}
    request = REQUEST._replace(context={"s3:tlsversion": known})
    assert evaluate({"Statement": [statement]}, request).decision == decision


@pytest.mark.parametrize(
    ("condition", "decision"),
    [
        ({"Bool": {"aws:SecureTransport": "false"}}, "implicitly denied"),
        ({"Bool": {"aws:SecureTransport": True}}, "denied"),
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::1:role/admin*"}}, "denied"),
        ({"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::1:role/admin*", ROLE]}}, "implicitly denied"),
        ({"StringNotEquals": {"s3:x-amz-acl": "private"}}, "denied"),
        ({"StringNotEqualsIfExists": {"s3:x-amz-acl": "private"}}, "denied"),
        ({"StringEquals": {"s3:x-amz-acl": "public-read"}}, "implicitly denied"),
        ({"StringEqualsIfExists": {"s3:x-amz-acl": "public-read"}}, "denied"),
        ({"Null": {"s3:x-amz-acl": "true"}}, "denied"),
        ({"Null": {"s3:x-amz-acl": "false"}}, "implicitly denied"),
        ({"NumericLessThan": {"s3:TlsVersion": 1.2}}, "implicitly denied"),
        ({"NumericLessThan": {"s3:TlsVersion": "1.3"}}, "denied"),
        ({"NumericGreaterThanEquals": {"s3:TlsVersion": "1.2"}}, "denied"),
        ({"NumericLessThan": {"s3:TlsVersion": "none"}}, "unknown"),
        ({"StringLike": {"aws:PrincipalArn": "${aws:username}"}}, "unknown"),
        ({"ForAllValues:StringEquals": {"s3:x-amz-acl": "private"}}, "denied"),
        ({"ForAnyValue:StringNotEquals": {"s3:x-amz-acl": "private"}}, "implicitly denied"),
        ({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}, "unknown"),
        ({"DateLessThan": {"aws:PrincipalArn": "2026-01-01"}}, "unknown"),
        # One condition that certainly fails is enough.
        (
            {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}, "Bool": {"aws:SecureTransport": "false"}},
            "implicitly denied",
        ),
    ],
)
def test_a_condition_holds_fails_or_is_unknown(condition, decision):
    assert evaluate({"Statement": [DENY | {"Condition": condition}]}, REQUEST).decision == decision
