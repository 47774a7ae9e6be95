"""A collection's life: changes in S3, told by their events, and what the manifest said after each."""

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
    """A clock that stands still unless it is put forward; it takes ``datetime``'s place where the world is made."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self, _zone: object) -> datetime:
        return self.moment


class Scenario:
    """One style's. ``manifests`` holds, for each revision, the canonical manifest as it was then."""

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

    def look(self, *names: str, event: str = "ObjectCreated:Put") -> None:
        """The events come; a minute passes after them."""
        assert self.reconcile({"m": s3_event(*(PREFIX + name for name in names), event=event)}) == []
        self.note()
        self.clock.moment += timedelta(minutes=1)

    def note(self) -> None:
        """Remembers what the manifest says."""
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
        self.look(*names)

    def remove(self, *names: str) -> None:
        self.delete(*names)
        self.look(*names, event="ObjectRemoved:Delete")

    def live(self, revisions: int, seed: int = 16) -> None:
        """Changes at random until there are so many revisions."""
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
            self.look(*touched)

    def records(self) -> list[str]:
        """The keys of the change records, the oldest first."""
        return self.account.below(f"_manifests/{PREFIX}changes/")


def read_all(get: Callable[..., Any], limit: int, **query: object) -> dict[str, Any]:
    """The manifest, read page by page: all pages say the same of it; its files together."""
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
    """The changes since a revision, asked for again and again until there are no more."""
    found: list[dict[str, Any]] = []
    while True:
        reply = get(f"{PATH}/changes", since=since, limit=limit)
        assert reply.status == 200, reply.text
        told = reply.json
        assert told["since"] == since
        assert len(told["changes"]) <= limit
        assert told["next"] == (told["changes"][-1]["revision"] if told["changes"] else since)
        assert told["more"] is (told["next"] < told["revision"])
        found += told["changes"]
        since = told["next"]
        if not told["more"]:
            return found
