"""A scenario of a collection: changes in S3 with their events, and the manifest after each."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from handlers.account import Account
from handlers.lambda_events import s3_event
from s3_manifest.aws import runtime

PREFIX = "styles/16/"
PATH = "/api/manifests/style/16"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that stands still unless it is advanced; it replaces ``datetime`` in ``runtime``."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self, _zone: object) -> datetime:
        return self.moment


class Scenario:
    """The scenario of one style. ``manifests`` holds the canonical manifest of each revision."""

    def __init__(self, account: Account, reconcile: Callable[..., list[str]], monkeypatch: Any) -> None:
        self.account = account
        self.reconcile = reconcile
        self.clock = Clock()
        self.manifests: dict[int, dict[str, Any]] = {}
        self.at: dict[int, datetime] = {}
        monkeypatch.setattr(runtime, "datetime", self.clock)

    @property
    def revision(self) -> int:
        return max(self.manifests)

    def put(self, *names: str, body: bytes = b"data", **facts: Any) -> None:
        for name in names:
            self.account.put(PREFIX + name, body, **facts)

    def delete(self, *names: str) -> None:
        for name in names:
            self.account.delete(PREFIX + name)

    def send_events(self, *names: str, event: str = "ObjectCreated:Put") -> None:
        """Sends the events and advances the clock by a minute."""
        assert self.reconcile({"m": s3_event(*(PREFIX + name for name in names), event=event)}) == []
        self.note()
        self.clock.moment += timedelta(minutes=1)

    def note(self) -> None:
        """Records the manifest."""
        head = self.account.manifest(PREFIX)
        if head["revision"] not in self.manifests:
            self.at[head["revision"]] = self.clock.moment
            files = [entry for _, entry in sorted(self.account.files(PREFIX).items())]
            facts = {
                name: value for name, value in head.items() if name not in {"files", "captions", "hidden", "pages"}
            }
            self.manifests[head["revision"]] = facts | {"files": files}

    def add(self, *names: str, **facts: Any) -> None:
        self.put(*names, **facts)
        self.send_events(*names)

    def remove(self, *names: str) -> None:
        self.delete(*names)
        self.send_events(*names, event="ObjectRemoved:Delete")

    def live(self, revisions: int, seed: int = 16) -> None:
        """Makes random changes until there are so many revisions."""
        chance = Random(seed)
        while len(self.manifests) < revisions:
            touched = set()
            for name in chance.sample(range(30), chance.randrange(1, 6)):
                filename = f"{chance.choice(['', 'größe/'])}{name:03}.png"
                touched.add(filename)
                if chance.random() < 0.25:
                    self.delete(filename)
                else:
                    metadata = {"generation-id": str(chance.randrange(4)), "prompt": f"p{chance.randrange(3)}"}
                    self.put(filename, body=chance.randbytes(chance.randrange(50)), Metadata=metadata)
            if chance.random() < 0.2:
                touched.add("collection.json")
                self.put("collection.json", body=json.dumps({"title": f"title {chance.randrange(5)}"}).encode())
            self.send_events(*touched)

    def records(self) -> list[str]:
        """The keys of the change records, the oldest first."""
        return self.account.below(f"_manifests/{PREFIX}changes/")


def read_all(get: Callable[..., Any], limit: int, **query: object) -> dict[str, Any]:
    """Reads the manifest page by page; all pages must have the same fields except ``files``."""
    files: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    facts = None
    while True:
        reply = get(PATH, limit=limit, **query, **cursor)
        assert reply.status == 200, reply.text
        page = reply.json
        files += page.pop("files")
        following = page.pop("cursor")
        assert facts in (None, page)
        facts = page
        if following is None:
            return facts | {"files": files}
        cursor = {"cursor": following}


def follow(get: Callable[..., Any], since: int, limit: int) -> list[dict[str, Any]]:
    """Reads the changes since a revision, page by page."""
    changes: list[dict[str, Any]] = []
    while True:
        reply = get(f"{PATH}/changes", since=since, limit=limit)
        assert reply.status == 200, reply.text
        page = reply.json
        assert page["since"] == since
        assert len(page["changes"]) <= limit
        assert page["next"] == (page["changes"][-1]["revision"] if page["changes"] else since)
        assert page["more"] is (page["next"] < page["revision"])
        changes += page["changes"]
        since = page["next"]
        if not page["more"]:
            return changes
