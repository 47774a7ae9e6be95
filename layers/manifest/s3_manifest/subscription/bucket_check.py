"""Whether a bucket can be subscribed to: it exists, in the stack's account and region."""

from botocore.exceptions import BotoCoreError, ClientError

from s3_manifest.storage.aws_errors import parse_fault
from s3_manifest.subscription.retrying import RetriesExhausted, retry
from s3_manifest.subscription.services import Services


def problem_of(bucket: str, queue_arn: str, services: Services) -> str | None:
    """Returns why the bucket cannot send to the queue, and what to do; None: nothing is known to be wrong.

    S3 sends only to queues of the bucket's own region, and the queue's policy allows only buckets of its own account.
    """
    _, _, _, region, account, *_ = queue_arn.split(":")
    try:
        # In another account, S3 answers 403, whatever its policies allow.
        answer = retry(
            lambda: services.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account), services.retry_policy
        )
    except RetriesExhausted as error:
        if error.is_denied:
            return (
                f"bucket {bucket} belongs to another account than {account}, or its policy or the organization's"
                f" policies deny this role s3:ListBucket: use a bucket of account {account}, or allow it ({error})"
            )
        return f"bucket {bucket}: S3 does not answer: {error}. Deploy again"
    except (ClientError, BotoCoreError) as error:
        if parse_fault(error).status == 404:
            return f"bucket {bucket} does not exist: create it, or correct ExistingBucket or AdditionalBuckets"
        return f"bucket {bucket}: {error}"
    # Some servers have no regions.
    actual = answer.get("BucketRegion") or region
    if actual != region:
        return (
            f"bucket {bucket} is in region {actual}, and the stack in {region}: use a bucket of {region}, or deploy"
            f" another stack in {actual}"
        )
    return None
