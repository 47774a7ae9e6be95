"""The functions' responses, checked for the format that Lambda's callers accept."""

import json
from collections import defaultdict
from typing import Any

UNITS = {"Freshness": "Milliseconds"}


def failed_ids(answer: object) -> list[str]:
    """The failed messages in the response to a batch. Rejects any format that Lambda would read as full success."""
    assert isinstance(answer, dict)
    assert list(answer) == ["batchItemFailures"]
    assert all(list(item) == ["itemIdentifier"] for item in answer["batchItemFailures"])
    ids = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
    assert len(ids) == len(set(ids))
    return ids


def metrics_in(printed: str) -> dict[str, list[float]]:
    """The metrics of the whole stack that a function printed; a test with one bucket has no others."""
    (metrics,) = metrics_by_bucket_in(printed).values() or ({},)
    return metrics


def metrics_by_bucket_in(printed: str) -> dict[str, dict[str, list[float]]]:
    """The metrics that a function printed, checked for the format that CloudWatch accepts, by bucket; "" has all.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    by_bucket: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in printed.splitlines():
        assert len(line.encode()) < 1024 * 1024
        record = json.loads(line)
        assert isinstance(record["_aws"]["Timestamp"], int)
        (directive,) = record["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "S3Manifest"
        (dimensions,) = directive["Dimensions"]
        metrics = by_bucket[record.get("bucket", "")]
        assert sorted(dimensions) == [*(["bucket"] if "bucket" in record else []), "service", "stack"]
        assert record["stack"] == "images"
        assert record["service"] in {"reconcile", "sweep"}
        assert len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            name, values = metric["Name"], record[metric["Name"]]
            assert metric["Unit"] == UNITS.get(name, "Count")
            assert 1 <= len(values) <= 100
            assert all(isinstance(value, int | float) for value in values)
            metrics[name] += values
    return {bucket: dict(metrics) for bucket, metrics in by_bucket.items()}


class Reply:
    """A response to an HTTP request."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.raw = answer
        self.status: int = answer["statusCode"]
        self.headers = {name.lower(): value for name, value in answer["headers"].items()}
        self.text: str = answer.get("body") or ""

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def etag(self) -> str:
        return self.headers["etag"]

    @property
    def size(self) -> int:
        """The size that Lambda limits: the whole response as JSON."""
        return len(json.dumps(self.raw, ensure_ascii=False).encode())

    @property
    def filenames(self) -> list[str]:
        return [entry["filename"] for entry in self.json["files"]]
