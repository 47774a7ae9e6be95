"""What lifecycle rules and versioning do to manifests and data."""

import pytest

from s3_manifest_cli.client.doctor.checks.lifecycle import Bucket, judge, judge_versioning

BUCKET = Bucket("bucket", "_manifests/", {"styles/": True}, 30, is_own=False, versioning="")
VERSIONED = BUCKET._replace(versioning="Enabled")
OLD = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}


def rules(*given):
    return {"Rules": [{"ID": "it", "Status": "Enabled", **one} for one in given]}


def expiring(prefix, **more):
    return {"Filter": {"Prefix": prefix}, "Expiration": {"Days": 90}, **more}


@pytest.mark.parametrize(
    ("given", "bucket", "expected"),
    [
        ([], BUCKET, [("ok", "bucket")]),
        ([expiring("logs/")], BUCKET, [("ok", "bucket")]),
        ([expiring("_manifests/")], BUCKET, [("error", "_manifests/")]),
        ([expiring("_manifests/", Status="Disabled")], BUCKET, [("ok", "bucket")]),
        # The older form of a rule, for the whole bucket.
        ([{"Prefix": "", "Expiration": {"Days": 90}}], BUCKET, [("error", "_manifests/"), ("notice", "styles/")]),
        ([expiring("styles/1")], BUCKET, [("notice", "styles/")]),
        ([expiring("styles/")], BUCKET._replace(expiry_is_told={"styles/": False}), [("warning", "styles/")]),
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
        # Of one style's manifests alone.
        ([{"Filter": {"Prefix": "_manifests/styles/16/"}, **OLD}], VERSIONED, [("notice", "_manifests/")]),
        ([{"Filter": {}, **OLD}], VERSIONED, [("notice", "styles/")]),
    ],
)
def test_rules_are_judged_by_what_they_remove(given, bucket, expected):
    assert [(one.severity, one.subject) for one in judge(rules(*given), bucket)] == expected


def test_old_versions_that_go_before_the_history_does_are_told_of():
    (found,) = judge(rules({"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 7}}), VERSIONED)
    assert "brought back for 7 days, and history tells of 30" in found.found


@pytest.mark.parametrize(
    ("status", "is_own", "severity"),
    [("Enabled", True, "ok"), ("Suspended", True, "warning"), ("", True, "warning"), ("", False, "notice")],
)
def test_without_versioning_nothing_comes_back(status, is_own, severity):
    (found,) = judge_versioning(BUCKET._replace(versioning=status, is_own=is_own))
    assert found.severity == severity
    assert severity == "ok" or "put-bucket-versioning --bucket bucket" in found.mend
