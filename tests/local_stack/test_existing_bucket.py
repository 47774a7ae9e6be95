"""A stack on an existing bucket that has objects and other notifications."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from s3_manifest_cli.local_stack.stack import deploy

BUCKET = "years-old-bucket"


@pytest.fixture
def others(stack, s3):
    """The existing configuration of the bucket: another queue, and EventBridge."""
    sqs = stack.platform.client("sqs")
    queue = sqs.create_queue(QueueName="others")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = f'{{"Statement": [{{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "{arn}"}}]}}'
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    s3.create_bucket(Bucket=BUCKET)
    # S3 rejects overlapping prefixes for one event, so the other queue has another folder.
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
    response = s3.get_bucket_notification_configuration(Bucket=BUCKET)
    return {name: value for name, value in response.items() if name != "ResponseMetadata"}


COUNTS = {"large": 1100, "small": 7, "größe & co": 150}


@pytest.mark.slow
def test_a_deployment_on_an_existing_bucket_creates_manifests_and_keeps_its_notifications(
    stack, s3, others, eventually
):
    keys = [f"styles/{id_}/{number:05}.png" for id_, count in COUNTS.items() for number in range(count)]
    keys += [f"styles/touched/{number}.png" for number in range(12)]
    keys += ["styles/empty/", "styles/beside.png", "system_actors/training_data/7/a.png"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode()), keys))
    second = deploy(stack.platform, "second", {"ExistingBucket": BUCKET})
    merged = configuration(s3)
    assert [item for item in merged["QueueConfigurations"] if item["Id"] == "theirs"] == others["QueueConfigurations"]
    assert len(merged["QueueConfigurations"]) == 3
    assert "EventBridgeConfiguration" in merged

    # The deployment requested the sweep.
    expected = {id_: (count, True) for id_, count in COUNTS.items()} | {"touched": (12, True), "7": (1, True)}

    def collections():
        rows = second.get("/api/manifests", {"limit": 1000}).body["collections"]
        return {item.get("style_id") or item["actor_id"]: (item["total_files"], item["complete"]) for item in rows}

    eventually(collections, lambda found: found == expected, seconds=60)
    s3.put_object(Bucket=BUCKET, Key="styles/touched/new.png", Body=b"now")
    expected["touched"] = (13, True)
    eventually(collections, lambda found: found == expected)

    # One request compares everything again.
    answer = second.post("/api/manifests/rescan")
    assert (answer.status, answer.body["collections"]) == (202, "all")
    requested_at = answer.body["requested_at"]
    etags = {}
    for listing in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="styles/"):
        etags |= {item["Key"]: item["ETag"].strip('"') for item in listing["Contents"]}
    for id_, (count, _) in expected.items():
        query = {"actorId" if id_ == "7" else "styleId": id_}
        manifest = eventually(
            lambda query=query: second.get("/api/s3/manifest", query).body,
            lambda found: (found["last_verified_at"] or "") > requested_at,
        )
        assert len(manifest["files"]) == count
        if id_ in COUNTS:
            assert all(file["etag"] == etags[file["s3_key"]] for file in manifest["files"])
            assert {file["source"] for file in manifest["files"]} == {"s3_scan"}

    cloudformation = stack.platform.client("cloudformation")
    cloudformation.delete_stack(StackName="second")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="second", WaiterConfig={"Delay": 1})
    assert configuration(s3) == others
    assert len(s3.list_objects_v2(Bucket=BUCKET, Prefix="styles/touched/")["Contents"]) == 13
