"""The custom resource's function in a container, with a bucket that has notifications."""

import json

import pytest

pytestmark = pytest.mark.sam_local


def test_subscribing_merges_the_bucket_configuration_and_responds_to_cloudformation(sam, bucket, tmp_path):
    sqs = bucket.platform.client("sqs")
    queue = sqs.get_queue_attributes(QueueUrl=bucket.queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    existing = {"Id": "theirs", "QueueArn": queue, "Events": ["s3:ObjectCreated:*"]}
    existing["Filter"] = {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "invoices/"}]}}
    configuration = {"QueueConfigurations": [existing]}
    bucket.s3.put_bucket_notification_configuration(Bucket=bucket.name, NotificationConfiguration=configuration)
    answer = {"Bucket": bucket.name, "Key": "the-answer-to-cloudformation.json"}
    request = {
        "RequestType": "Create",
        "ResponseURL": bucket.s3.generate_presigned_url("put_object", answer),
        "StackId": f"arn:aws:cloudformation:us-east-1:123456789012:stack/s3-manifest/{tmp_path.name}",
        "RequestId": "6f3c1b0e-3f0a-4b9e-9c55-0b9a1c7d2e4f",
        "ResourceType": "Custom::Subscription",
        "LogicalResourceId": "Subscription",
        "ResourceProperties": {
            "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:s3-manifest-SubscriptionFunction",
            "Bucket": bucket.name,
            "QueueArn": queue,
            "Collections": "style=styles/{style_id}/,actor=system_actors/training_data/{actor_id}/",
            "ManifestRoot": "_manifests/",
            "Name": "s3-manifest-s3-manifest",
        },
    }
    event = tmp_path / "request.json"
    event.write_text(json.dumps(request))

    sam.invoke("SubscriptionFunction", event, "--env-vars", bucket.env_vars)

    response = json.loads(bucket.s3.get_object(**answer)["Body"].read())
    assert response["Status"] == "SUCCESS", response["Reason"]
    assert (response["PhysicalResourceId"], response["RequestId"]) == (bucket.name, request["RequestId"])
    merged = bucket.s3.get_bucket_notification_configuration(Bucket=bucket.name)["QueueConfigurations"]
    prefixes = {item["Filter"]["Key"]["FilterRules"][0]["Value"]: item["Events"] for item in merged}
    assert prefixes.keys() == {"invoices/", "styles/", "system_actors/training_data/"}
    assert "s3:LifecycleExpiration:*" in prefixes["styles/"]
