"""The EventBridge rule of a bucket: its pattern, its name, and whether other rules need the bucket's events."""

import json
import re

import pytest

from s3_manifest.subscription import event_rule
from s3_manifest.subscription.notifications import EVENTS

BUCKET = "my-images"


def test_the_pattern_matches_the_prefixes_of_one_bucket():
    pattern = json.loads(event_rule.pattern(BUCKET, ["styles/", "größe/"]))
    assert pattern["source"] == ["aws.s3"]
    assert pattern["detail"] == {
        "bucket": {"name": [BUCKET]},
        # Keys in EventBridge's events are not percent-encoded.
        "object": {"key": [{"prefix": "styles/"}, {"prefix": "größe/"}]},
    }


DETAIL_TYPES = {
    "s3:ObjectCreated:*": "Object Created",
    "s3:ObjectRemoved:*": "Object Deleted",
    "s3:LifecycleExpiration:*": "Object Deleted",
    "s3:LifecycleTransition": "Object Storage Class Changed",
    "s3:ObjectRestore:Completed": "Object Restore Completed",
}
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-mapping-troubleshooting.html"""


def test_the_pattern_has_the_same_events_as_notifications():
    types = json.loads(event_rule.pattern(BUCKET, ["styles/"]))["detail-type"]
    assert DETAIL_TYPES.keys() == set(EVENTS)
    assert sorted(types) == sorted(set(DETAIL_TYPES.values()))


def test_each_bucket_of_a_stack_has_its_own_rule_with_a_valid_name():
    prefix = "s3-manifest-5657c445-4358-447b-8586-577ff2430b01"
    names = {event_rule.name(prefix, bucket) for bucket in ("a" * 63, "b" * 63, BUCKET)}
    assert len(names) == 3
    assert all(re.fullmatch(r"[.\-_A-Za-z0-9]{1,64}", name) and name.startswith(f"{prefix}-") for name in names)


@pytest.mark.parametrize(
    ("pattern", "may"),
    [
        (event_rule.pattern(BUCKET, ["styles/"]), True),
        (event_rule.pattern("another", ["styles/"]), False),
        ({"source": ["aws.s3"]}, True),
        ({"source": ["aws.ec2", "aws.s3"], "detail": {"object": {"key": [{"suffix": ".png"}]}}}, True),
        ({"source": ["aws.ec2"]}, False),
        ({"source": [{"prefix": "aws."}]}, True),
        ({"source": [{"anything-but": "aws.s3"}]}, True),
        ({"source": ["aws.s3"], "detail": {"bucket": {"name": [{"prefix": "x"}]}}}, True),
        ({"account": ["123456789012"]}, True),
        ({"detail-type": ["Object Created"]}, True),
        ({"source": ["aws.s3"], "detail": {"bucket": "odd"}}, True),
        ({"source": ["aws.s3"], "detail": []}, True),
        ([], True),
        ("not JSON", True),
        ("", False),
    ],
    ids=str,
)
def test_a_rule_that_may_match_the_buckets_events_counts_as_needing_them(pattern, may):
    text = pattern if isinstance(pattern, str) else json.dumps(pattern)
    assert event_rule.may_match(text, BUCKET) is may
