"""What a probe leaves behind, removed."""

import shlex

from s3_manifest_cli.client.doctor.clients import Clients, Unanswered, asked
from s3_manifest_cli.client.doctor.deployed import Deployed
from s3_manifest_cli.client.doctor.model import Finding, notice

CHECK = "clean-up"

_UNKNOWN = frozenset({"NotImplemented", "MethodNotAllowed", "501", "405"})


def purge(clients: Clients, bucket: str, prefix: str) -> list[Finding]:
    """Deletes every version of everything below a prefix, for good. What cannot be deleted is told of, and left."""
    try:
        _delete_all(clients, bucket, prefix)
    except Unanswered as unanswered:
        try:
            _delete_present(clients, bucket, prefix)
        except Unanswered:
            found = f"what was written for the examination is left there: {unanswered}"
            return [notice(CHECK, prefix, found, f"aws s3 rm --recursive {shlex.quote(f's3://{bucket}/{prefix}')}")]
        if unanswered.code in _UNKNOWN:  # a server without versions has no old ones
            return []
        return [
            notice(CHECK, prefix, f"old versions of what was written are left there: {unanswered}", unanswered.mend)
        ]
    return []


def left(deployed: Deployed, prefix: str) -> Finding:
    """What an examination left behind that was killed; or another one is under way, whose it is."""
    command = f"aws s3 rm --recursive {shlex.quote(f's3://{deployed.bucket}/{prefix}')}"
    return notice(CHECK, prefix, "an examination that did not come to its end left this there", command)


def _delete_all(clients: Clients, bucket: str, prefix: str) -> None:
    s3 = clients.s3
    while True:
        found = asked(s3.list_object_versions, Bucket=bucket, Prefix=prefix)
        versions = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]
        if not versions:
            return
        objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in versions]
        _delete(clients, bucket, objects)


def _delete_present(clients: Clients, bucket: str, prefix: str) -> None:
    found = asked(clients.s3.list_objects_v2, Bucket=bucket, Prefix=prefix).get("Contents", ())
    if found:
        _delete(clients, bucket, [{"Key": one["Key"]} for one in found])


def _delete(clients: Clients, bucket: str, objects: list[dict[str, str]]) -> None:
    answer = asked(clients.s3.delete_objects, Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    for refused in answer.get("Errors", ()):
        allow = "allow s3:DeleteObject and s3:DeleteObjectVersion to whoever runs this"
        raise Unanswered(f"{refused['Key']} was not deleted: {refused['Code']} {refused['Message']}", allow)
