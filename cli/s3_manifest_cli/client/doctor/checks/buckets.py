"""Checks which buckets a stack uses, and whether it can: S3 sends only to queues of the bucket's region."""

from collections.abc import Iterator

from s3_manifest_cli.client.doctor.findings import Finding, error, notice, ok, shorten
from s3_manifest_cli.client.doctor.stack import Stack

LISTED, CHECK = "buckets", "bucket"


def check_listed(stack: Stack) -> Iterator[Finding]:
    """Checks whether ``Collections`` and ``AdditionalBuckets`` name the same buckets."""
    listed, used = stack.buckets, stack.kinds.buckets
    for bucket in sorted(set(used) - set(listed)):
        kinds = shorten([pattern.kind for pattern in stack.at(bucket).patterns])
        text = f"Collections puts {kinds} into it, and the stack may not use it: its changes reach no queue"
        additional = ",".join([*listed[1:], bucket])
        yield error(LISTED, bucket, text, f"deploy with AdditionalBuckets={additional}, or correct Collections")
    for bucket in listed[1:]:
        if bucket not in used:
            remedy = f"name it in Collections (kind=s3://{bucket}/prefix/{{kind_id}}/), or remove it from"
            text = "no collection is in this additional bucket"
            yield notice(LISTED, bucket, text, f"{remedy} AdditionalBuckets")


def check_place(stack: Stack, region: str | None, *, is_owned: bool) -> Finding:
    """Checks the bucket's region (None: the server has no regions) and account."""
    bucket = stack.bucket
    if region and region != stack.region:
        text = f"the bucket is in region {region}, and the stack in {stack.region}: no event reaches its queue"
        return error(CHECK, bucket, text, f"use a bucket in {stack.region}, or deploy another stack in {region}")
    if not is_owned:
        text = f"the bucket belongs to another account than {stack.account}: the queue accepts no event of it"
        return error(CHECK, bucket, text, f"use a bucket of account {stack.account}")
    return ok(CHECK, bucket, "the bucket exists in the stack's account and region")
