"""What the functions answer, checked for the shape that Lambda's callers take."""

import json
from typing import Any


def failed_ids(answer: object) -> list[str]:
    """The messages a batch's answer reports as failed. Anything Lambda would take for full success is refused here."""
    assert isinstance(answer, dict)
    assert list(answer) == ["batchItemFailures"]
    assert all(list(item) == ["itemIdentifier"] for item in answer["batchItemFailures"])
    ids = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
    assert len(ids) == len(set(ids))
    return ids


class Reply:
    """An answer to an HTTP request."""

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
        """What Lambda counts: the whole answer as JSON."""
        return len(json.dumps(self.raw, ensure_ascii=False).encode())

    @property
    def filenames(self) -> list[str]:
        return [entry["filename"] for entry in self.json["files"]]
