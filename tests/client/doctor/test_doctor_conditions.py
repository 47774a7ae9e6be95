"""Servers that honour conditional requests, and servers that break them in one of the known ways."""

import boto3
import pytest
from contract.small_s3 import SmallS3

from s3_manifest_cli.client.doctor.clients import Clients
from s3_manifest_cli.client.doctor.conditions import DELETES, PARTS, READS, WRITES, probe
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY

SESSION = boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)


def probed(*faults):
    """Returns the findings about a server with these faults; asserts that the bucket is left unchanged."""
    with SmallS3(*faults) as server:
        server.objects["bucket/theirs.png"] = b"theirs"
        findings = probe(Clients(SESSION, server.endpoint), "bucket", "_manifests/")
        assert server.objects == {"bucket/theirs.png": b"theirs"}
        assert server.uploads == {}
    return findings


def test_a_server_that_honours_conditions_is_ok():
    assert [(finding.severity, finding.check) for finding in probed()] == [
        ("ok", check) for check in (WRITES, PARTS, READS, DELETES)
    ]


@pytest.mark.parametrize(
    ("fault", "check", "text"),
    [
        (
            "quoted_refused",
            WRITES,
            r"rejects If-Match with the object's own ETag in quotes.*no commit can ever succeed",
        ),
        ("writes_ignored", WRITES, r"ignores If-None-Match: \* and If-Match: .*are lost silently"),
        ("always_refused", WRITES, r"rejects If-None-Match: \* for a missing object"),
        ("created_by_if_match", WRITES, "accepts If-Match for a missing object"),
        ("other_etags", WRITES, "a PUT returns the ETag 0+1, and a HEAD"),
        ("unsupported", WRITES, "does not support them"),
        ("not_modified_ignored", READS, "ignores If-None-Match of a GET"),
        ("deletes_ignored", DELETES, "ignores If-Match of a DELETE"),
        ("deletes_ignored", DELETES, "ignores the ETags of DeleteObjects"),
        ("quoted_refused", DELETES, "rejects If-Match of a DELETE with the object's own ETag"),
        ("unsupported", DELETES, "does not support them"),
        ("racing", WRITES, "[2-8] of 8 concurrent requests to create one object succeed"),
        ("parts_ignored", PARTS, "ignores If-Match of an upload in parts"),
        ("quoted_refused", PARTS, "rejects If-Match of an upload in parts with the object's ETag"),
    ],
)
def test_a_server_that_breaks_conditions_is_an_error(fault, check, text):
    errors = [finding for finding in probed(fault) if finding.severity == "error"]
    with pytest.raises(AssertionError, match=text):
        raise AssertionError([finding.found for finding in errors if finding.check == check])
    assert all("another S3 server" in finding.mend for finding in errors)


def test_a_server_without_conditional_requests_is_an_error_even_without_an_error_code():
    errors = [finding for finding in probed("unsupported", "errors_without_body") if finding.severity == "error"]
    assert [(finding.check, "does not support them" in finding.found) for finding in errors] == [
        (WRITES, True),
        (PARTS, True),
        (DELETES, True),
    ]


@pytest.mark.parametrize("fault", ["deletes_ignored", "not_modified_ignored"])
def test_checks_that_pass_are_reported_beside_errors(fault):
    assert WRITES in [finding.check for finding in probed(fault) if finding.severity == "ok"]
