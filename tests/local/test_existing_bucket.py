"""A stack over a bucket that is there already, with objects and with notifications of somebody else's."""

import pytest

from s3_manifest_cli.stack import deploy

BUCKET = "years-old-bucket"


@pytest.fixture
def others(stack, s3):
    """What somebody else configured on the bucket: a queue of theirs, and EventBridge."""
    sqs = stack.platform.client("sqs")
    queue = sqs.create_queue(QueueName="others")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = f'{{"Statement": [{{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "{arn}"}}]}}'
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    s3.create_bucket(Bucket=BUCKET)
    # S3 refuses overlapping prefixes for one event: theirs is about another folder.
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "EventBridgeConfiguration": {},
            "QueueConfigurations": [
                {
                    "Id": "theirs",
                    "QueueArn": arn,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "invoices/"}]}},
                }
            ],
        },
    )
    return configuration(s3)


def configuration(s3):
    found = s3.get_bucket_notification_configuration(Bucket=BUCKET)
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


def test_its_objects_are_all_seen_at_the_first_change_and_others_notifications_outlive_the_stack(
    stack, s3, others, eventually
):
    for number in range(12):
        s3.put_object(Bucket=BUCKET, Key=f"styles/old/{number}.png", Body=b"from before")
    second = deploy(stack.platform, "second", {"ExistingBucket": "true", "BucketName": BUCKET})
    merged = configuration(s3)
    assert [one for one in merged["QueueConfigurations"] if one["Id"] == "theirs"] == others["QueueConfigurations"]
    assert len(merged["QueueConfigurations"]) == 3
    assert "EventBridgeConfiguration" in merged

    s3.put_object(Bucket=BUCKET, Key="styles/old/new.png", Body=b"now")
    answer = eventually(lambda: second.get("/api/s3/manifest", {"styleId": "old"}), lambda found: found.status == 200)
    assert (answer.body["total_files"], answer.body["complete"], answer.body["revision"]) == (13, True, 1)

    cloudformation = stack.platform.client("cloudformation")
    cloudformation.delete_stack(StackName="second")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="second", WaiterConfig={"Delay": 1})
    assert configuration(s3) == others
    assert len(s3.list_objects_v2(Bucket=BUCKET, Prefix="styles/")["Contents"]) == 13
