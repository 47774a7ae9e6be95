"""What policies say to a request; what is not known is not guessed."""

import pytest

from s3_manifest_cli.client.doctor.policies import Judged, Request, judge

ROLE = "arn:aws:iam::1:role/reconcile"
REQUEST = Request(
    frozenset({ROLE, "1"}),
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
            [{k: v for k, v in DENY.items() if k != "Principal"} | {"NotPrincipal": {"AWS": ROLE}}],
            ("implicitly denied", "", ""),
        ),
        # It may name the session that the role becomes.
        (
            [{k: v for k, v in DENY.items() if k != "Principal"} | {"NotPrincipal": {"AWS": "x"}}],
            ("unknown", "No", "Deny"),
        ),
    ],
)
def test_statements_are_weighed_as_aws_weighs_them(statements, expected):
    assert judge({"Statement": statements}, REQUEST) == Judged(*expected)


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
        ({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}, "unknown"),
        ({"DateLessThan": {"aws:PrincipalArn": "2026-01-01"}}, "unknown"),
        # One that surely does not hold is enough.
        (
            {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}, "Bool": {"aws:SecureTransport": "false"}},
            "implicitly denied",
        ),
    ],
)
def test_conditions_hold_do_not_or_are_not_known(condition, decision):
    assert judge({"Statement": [DENY | {"Condition": condition}]}, REQUEST).decision == decision
