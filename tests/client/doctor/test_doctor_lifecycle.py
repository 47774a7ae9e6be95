"""The checks of lifecycle rules and versioning: what they do to manifests and data."""

import pytest

from s3_manifest.manifest.collections import parse_collections
from s3_manifest_cli.client.doctor.checks.lifecycle import check, check_versioning
from s3_manifest_cli.client.doctor.stack import Bucket

BUCKET = Bucket("bucket", parse_collections("style=styles/{style_id}/", "_manifests/", "bucket"), history_days=30)
PLAIN, VERSIONED, UNNOTICED = ("", ()), ("Enabled", ()), ("", {"styles/"})
OLD = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}


def configuration(*rules):
    return {"Rules": [{"ID": "it", "Status": "Enabled", **rule} for rule in rules]}


def expiring(prefix, **fields):
    return {"Filter": {"Prefix": prefix}, "Expiration": {"Days": 90}, **fields}


@pytest.mark.parametrize(
    ("rules", "state", "expected"),
    [
        ([], PLAIN, [("ok", "bucket")]),
        ([expiring("logs/")], PLAIN, [("ok", "bucket")]),
        ([expiring("_manifests/")], PLAIN, [("error", "_manifests/")]),
        ([expiring("_manifests/", Status="Disabled")], PLAIN, [("ok", "bucket")]),
        # The older form of a rule, for the whole bucket.
        (
            [{"Prefix": "", "Expiration": {"Days": 90}}],
            PLAIN,
            [("error", "_manifests/"), ("notice", "styles/")],
        ),
        ([expiring("styles/1")], PLAIN, [("notice", "styles/")]),
        ([expiring("styles/")], UNNOTICED, [("warning", "styles/")]),
        (
            [
                {
                    "Filter": {"And": {"Prefix": "_manifests/", "Tags": [{"Key": "a", "Value": "b"}]}},
                    "Expiration": {"Days": 1},
                }
            ],
            PLAIN,
            [("error", "_manifests/")],
        ),
        (
            [{"Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]}],
            PLAIN,
            [("error", "_manifests/")],
        ),
        ([{"Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}]}], PLAIN, [("ok", "bucket")]),
        ([], VERSIONED, [("notice", "_manifests/")]),
        ([{"Filter": {"Prefix": "_manifests/"}, **OLD}], VERSIONED, [("ok", "bucket")]),
        # Only for the manifests of one style.
        ([{"Filter": {"Prefix": "_manifests/styles/16/"}, **OLD}], VERSIONED, [("notice", "_manifests/")]),
        ([{"Filter": {}, **OLD}], VERSIONED, [("notice", "styles/")]),
    ],
)
def test_rules_are_reported_by_what_they_remove(rules, state, expected):
    findings = check(configuration(*rules), BUCKET, *state)
    assert [(finding.severity, finding.subject) for finding in findings] == expected


def test_a_retention_of_old_versions_shorter_than_the_history_is_reported():
    (finding,) = check(
        configuration({"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 7}}), BUCKET, "Enabled"
    )
    assert "can be restored for 7 days; the history keeps 30" in finding.found


@pytest.mark.parametrize(
    ("status", "owns_bucket", "severity"),
    [("Enabled", True, "ok"), ("Suspended", True, "warning"), ("", True, "warning"), ("", False, "notice")],
)
def test_without_versioning_nothing_can_be_restored(status, owns_bucket, severity):
    finding = check_versioning(BUCKET._replace(owns_bucket=owns_bucket), status)
    assert finding.severity == severity
    assert severity == "ok" or "put-bucket-versioning --bucket bucket" in finding.mend
