"""Keeps the record of a bucket's subscription, ``storage.subscription_record``, in step with its notifications."""

from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage import subscription_record
from s3_manifest.storage.aws_errors import AWS_ERRORS
from s3_manifest.storage.store import StoreError
from s3_manifest.subscription.properties import AnyProperties, Properties
from s3_manifest.subscription.services import Services

_PERMISSIONS = (
    "s3:ListBucket on the bucket, s3:GetObject and s3:PutObject on that object, and kms:Decrypt and kms:GenerateDataKey"
    " with its key, in the bucket's policy and the key's"
)


def record(bucket: str, properties: Properties, services: Services) -> Timestamp:
    """Writes since when the prefixes are subscribed; call it before they are. Returns the latest of these times.

    Raises ``RequestFailed``.
    """
    root, deployment, prefixes = properties.manifest_root, properties.deployment, properties.prefixes(bucket)
    written = services.retry(
        f"write {subscription_record.record_key(root)} in bucket {bucket}",
        lambda: subscription_record.write(services.store(bucket), root, deployment, prefixes, services.now, bucket),
        _PERMISSIONS,
    )
    return max(written.prefixes[prefix].since for prefix in prefixes)


def forget(bucket: str, properties: AnyProperties, services: Services) -> None:
    """Removes this stack's part from the record; deletes the record if no other stack is in it.

    Warns if it cannot: the record would only be needed if the stack came back to the bucket.
    """
    root = properties.manifest_root
    if not isinstance(root, str) or not root or not properties.deployment:
        return
    try:
        subscription_record.write(services.store(bucket), root, properties.deployment, (), services.now, bucket)
        _delete_unused(bucket, root, services)
    except (StoreError, *AWS_ERRORS) as error:
        services.warn(f"bucket {bucket}: the record of its subscription is out of date or was not deleted: {error}")


def _delete_unused(bucket: str, root: str, services: Services) -> None:
    """Deletes the record, with all its versions, if no stack is in it.

    A first deployment that fails deletes the bucket that it created, which must be empty.
    """
    store, key = services.store(bucket), subscription_record.record_key(root)
    # Listed first: a version that another stack writes afterwards is not among these.
    listed = services.s3.list_object_versions(Bucket=bucket, Prefix=key)
    found = [*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())]
    versions = [version["VersionId"] for version in found if version["Key"] == key]
    stored = store.get(key)
    if stored is None or subscription_record.decode(bucket, root, stored.body).prefixes:
        return
    if set(versions) == {"null"}:
        store.delete_if_match(key, stored.etag)
        return
    # The current version last: without it, an earlier one would be the record again.
    for version in reversed(versions):
        services.s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
