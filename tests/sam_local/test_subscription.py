"""The custom resource's function in a container, with two buckets; one has notifications."""

import json

import pytest

from s3_manifest_cli.local_stack.stack import PARAMETERS

pytestmark = pytest.mark.sam_local


def test_subscribing_merges_the_configuration_of_each_bucket_and_responds_to_cloudformation(sam, buckets, tmp_path):
    sqs = buckets.platform.client("sqs")
    queue = sqs.get_queue_attributes(QueueUrl=buckets.queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    existing = {"Id": "theirs", "QueueArn": queue, "Events": ["s3:ObjectCreated:*"]}
    existing["Filter"] = {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "invoices/"}]}}
    configuration = {"QueueConfigurations": [existing]}
    buckets.s3.put_bucket_notification_configuration(Bucket=buckets.name, NotificationConfiguration=configuration)
    answer = {"Bucket": buckets.name, "Key": "the-answer-to-cloudformation.json"}
    request = {
        "RequestType": "Create",
        "ResponseURL": buckets.s3.generate_presigned_url("put_object", answer),
        "StackId": f"arn:aws:cloudformation:us-east-1:123456789012:stack/s3-manifest/{tmp_path.name}",
        "RequestId": "6f3c1b0e-3f0a-4b9e-9c55-0b9a1c7d2e4f",
        "ResourceType": "Custom::Subscription",
        "LogicalResourceId": "Subscription",
        "ResourceProperties": {
            "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:s3-manifest-SubscriptionFunction",
            "Bucket": buckets.name,
            "AdditionalBuckets": [buckets.actors],
            "QueueArn": queue,
            "Collections": PARAMETERS["Collections"],
            "ManifestRoot": "_manifests/",
            "Name": "s3-manifest-s3-manifest",
        },
    }
    event = tmp_path / "request.json"
    event.write_text(json.dumps(request))

    sam.invoke("SubscriptionFunction", event, "--env-vars", buckets.env_vars)

    response = json.loads(buckets.s3.get_object(**answer)["Body"].read())
    assert response["Status"] == "SUCCESS", response["Reason"]
    assert (response["PhysicalResourceId"], response["RequestId"]) == (buckets.name, request["RequestId"])

    def prefixes(bucket):
        merged = buckets.s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
        return {item["Filter"]["Key"]["FilterRules"][0]["Value"]: item["Events"] for item in merged}

    assert prefixes(buckets.name).keys() == {"invoices/", "styles/"}
    assert prefixes(buckets.actors).keys() == {"system_actors/training_data/"}
    assert "s3:LifecycleExpiration:*" in prefixes(buckets.name)["styles/"]
