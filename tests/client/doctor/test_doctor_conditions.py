"""Servers that keep conditions, and servers that break them in one of the known ways, and what is found of each."""

import boto3
import pytest
from contract.small_s3 import SmallS3

from s3_manifest_cli.client.doctor.clients import Clients
from s3_manifest_cli.client.doctor.conditions import DELETES, PARTS, READS, WRITES, probe
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY

SESSION = boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)


def probed(*faults):
    """What is found of a server with these faults, of which nothing is left in the bucket."""
    with SmallS3(*faults) as server:
        server.objects["bucket/theirs.png"] = b"theirs"
        findings = probe(Clients(SESSION, server.endpoint), "bucket", "_manifests/")
        assert server.objects == {"bucket/theirs.png": b"theirs"}
        assert server.uploads == {}
    return findings


def test_a_server_that_keeps_conditions_is_well():
    assert [(one.severity, one.check) for one in probed()] == [
        ("ok", check) for check in (WRITES, PARTS, READS, DELETES)
    ]


@pytest.mark.parametrize(
    ("fault", "check", "found"),
    [
        (
            "quoted_refused",
            WRITES,
            r"refuses If-Match with the object's own ETag in quotes.*no commit can ever succeed",
        ),
        ("writes_ignored", WRITES, r"ignores If-None-Match: \* and If-Match: .*are lost"),
        ("always_refused", WRITES, r"refuses If-None-Match: \* where there is no object"),
        ("created_by_if_match", WRITES, "accepts If-Match where there is no object"),
        ("other_etags", WRITES, "a PUT answers with the ETag 0+1, and a HEAD with"),
        ("unsupported", WRITES, "does not support them"),
        ("not_modified_ignored", READS, "ignores If-None-Match of a GET"),
        ("deletes_ignored", DELETES, "ignores If-Match of a DELETE"),
        ("deletes_ignored", DELETES, "ignores the ETags of DeleteObjects"),
        ("quoted_refused", DELETES, "refuses If-Match of a DELETE with the object's own ETag"),
        ("unsupported", DELETES, "does not support them"),
        ("racing", WRITES, "of 8 requests that create an object at once [2-8] succeed"),
        ("parts_ignored", PARTS, "ignores If-Match of an upload in parts"),
        ("quoted_refused", PARTS, "refuses If-Match of an upload in parts with the object's ETag"),
    ],
)
def test_a_server_that_does_not_is_found_out(fault, check, found):
    errors = [one for one in probed(fault) if one.severity == "error"]
    with pytest.raises(AssertionError, match=found):
        raise AssertionError([one.found for one in errors if one.check == check])
    assert all("another S3 server" in one.mend for one in errors)


@pytest.mark.parametrize("fault", ["deletes_ignored", "not_modified_ignored"])
def test_what_is_well_is_still_said_to_be_so(fault):
    assert WRITES in [one.check for one in probed(fault) if one.severity == "ok"]
