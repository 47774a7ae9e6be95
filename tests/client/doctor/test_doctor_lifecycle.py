"""What lifecycle rules and versioning do to manifests and data."""

import pytest

from s3_manifest_cli.client.doctor.checks.lifecycle import Retention, check, check_versioning

BUCKET = Retention("bucket", "_manifests/", ["styles/"], history_days=30)
VERSIONED = BUCKET._replace(versioning="Enabled")
OLD = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}


def configuration(*rules):
    return {"Rules": [{"ID": "it", "Status": "Enabled", **rule} for rule in rules]}


def expiring(prefix, **fields):
    return {"Filter": {"Prefix": prefix}, "Expiration": {"Days": 90}, **fields}


@pytest.mark.parametrize(
    ("rules", "retention", "expected"),
    [
        ([], BUCKET, [("ok", "bucket")]),
        ([expiring("logs/")], BUCKET, [("ok", "bucket")]),
        ([expiring("_manifests/")], BUCKET, [("error", "_manifests/")]),
        ([expiring("_manifests/", Status="Disabled")], BUCKET, [("ok", "bucket")]),
        # The older form of a rule, for the whole bucket.
        ([{"Prefix": "", "Expiration": {"Days": 90}}], BUCKET, [("error", "_manifests/"), ("notice", "styles/")]),
        ([expiring("styles/1")], BUCKET, [("notice", "styles/")]),
        ([expiring("styles/")], BUCKET._replace(unnoticed={"styles/"}), [("warning", "styles/")]),
        (
            [
                {
                    "Filter": {"And": {"Prefix": "_manifests/", "Tags": [{"Key": "a", "Value": "b"}]}},
                    "Expiration": {"Days": 1},
                }
            ],
            BUCKET,
            [("error", "_manifests/")],
        ),
        (
            [{"Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]}],
            BUCKET,
            [("error", "_manifests/")],
        ),
        ([{"Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}]}], BUCKET, [("ok", "bucket")]),
        ([], VERSIONED, [("notice", "_manifests/")]),
        ([{"Filter": {"Prefix": "_manifests/"}, **OLD}], VERSIONED, [("ok", "bucket")]),
        # Only for the manifests of one style.
        ([{"Filter": {"Prefix": "_manifests/styles/16/"}, **OLD}], VERSIONED, [("notice", "_manifests/")]),
        ([{"Filter": {}, **OLD}], VERSIONED, [("notice", "styles/")]),
    ],
)
def test_rules_are_reported_by_what_they_remove(rules, retention, expected):
    findings = check(configuration(*rules), retention)
    assert [(finding.severity, finding.subject) for finding in findings] == expected


def test_a_retention_of_old_versions_shorter_than_the_history_is_reported():
    (finding,) = check(configuration({"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 7}}), VERSIONED)
    assert "can be restored for 7 days; the history keeps 30" in finding.found


@pytest.mark.parametrize(
    ("status", "is_own", "severity"),
    [("Enabled", True, "ok"), ("Suspended", True, "warning"), ("", True, "warning"), ("", False, "notice")],
)
def test_without_versioning_nothing_can_be_restored(status, is_own, severity):
    (finding,) = check_versioning(BUCKET._replace(versioning=status, is_own=is_own))
    assert finding.severity == severity
    assert severity == "ok" or "put-bucket-versioning --bucket bucket" in finding.mend
