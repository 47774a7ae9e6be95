"""Removes what an examination wrote."""

import shlex

from s3_manifest_cli.client.doctor.clients import UNSUPPORTED, Clients, allow, send
from s3_manifest_cli.client.doctor.findings import Finding, notice
from s3_manifest_cli.errors import Unavailable

CHECK = "clean-up"


def purge(clients: Clients, bucket: str, prefix: str) -> list[Finding]:
    """Deletes every version of every object below a prefix; reports what it cannot delete."""
    try:
        while listing := _list_versions(clients, bucket, prefix):
            _delete(clients, bucket, listing)
    except Unavailable as failure:
        try:
            objects = send(clients.s3.list_objects_v2, Bucket=bucket, Prefix=prefix).get("Contents", ())
            _delete(clients, bucket, [{"Key": item["Key"]} for item in objects])
        except Unavailable:
            return [leftover(bucket, prefix, f"test objects of this examination were not deleted: {failure.message}")]
        if failure.code not in UNSUPPORTED:  # a server without versions has no old ones
            text = f"old versions of test objects were not deleted: {failure.message}"
            return [notice(CHECK, prefix, text, failure.remedy)]
    return []


def leftover(bucket: str, prefix: str, text: str) -> Finding:
    """Reports test objects below a prefix, with the command that removes them."""
    return notice(CHECK, prefix, text, f"aws s3 rm --recursive {shlex.quote(f's3://{bucket}/{prefix}')}")


def _list_versions(clients: Clients, bucket: str, prefix: str) -> list[dict[str, str]]:
    listing = send(clients.s3.list_object_versions, Bucket=bucket, Prefix=prefix)
    versions = [*listing.get("Versions", ()), *listing.get("DeleteMarkers", ())]
    return [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in versions]


def _delete(clients: Clients, bucket: str, objects: list[dict[str, str]]) -> None:
    if objects:
        answer = send(clients.s3.delete_objects, Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        for error in answer.get("Errors", ()):
            remedy = allow("s3:DeleteObject and s3:DeleteObjectVersion")
            raise Unavailable(f"{error['Key']} was not deleted: {error['Code']} {error['Message']}", remedy=remedy)
