"""Several collections on a real server."""

import json
from typing import Any

import pytest
from click.testing import CliRunner
from client.sides import Sides

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.main import main


class Several:
    """Collections by the names that a user gives them; ``sides`` has the server and the commands."""

    def __init__(self, sides: Sides) -> None:
        self.sides = sides

    def put(self, name: str, *filenames: str, **more: Any) -> Collection:
        """Stores files and commits them to the manifest of that collection."""
        self.sides.collection = self._named(name)
        self.sides.put(*filenames, **more)
        return self.sides.collection

    def commit(self, name: str, *filenames: str) -> None:
        """Commits files that are stored."""
        self.sides.collection = self._named(name)
        self.sides.commit(*filenames)

    def delete(self, name: str, filename: str) -> None:
        """Deletes a file, also from the manifest of that collection."""
        self.sides.collection = self._named(name)
        self.sides.delete(filename)
        self.sides.commit(filename)

    def _named(self, name: str) -> Collection:
        kind, _, collection_id = name.partition("/")
        collection = self.sides.collections.lookup(kind, collection_id)
        assert collection
        return collection

    def put_uncommitted(self, name: str, filename: str) -> None:
        """Stores a file that is not in the manifest of that collection yet."""
        self.sides.collection = self._named(name)
        self.sides.put_uncommitted(filename)

    def lines(self, *arguments: object, exit_code: int = 0, stdin: str | None = None) -> list[dict[str, Any]]:
        """The JSON lines of a command; the collections by their names, and then the total."""
        words = [*map(str, arguments), "--json"]
        answer = CliRunner().invoke(main, words, env=self.sides.environment, input=stdin)
        assert answer.exit_code == exit_code, answer.output
        *lines, total = map(json.loads, answer.stdout.splitlines())
        return [*sorted(lines, key=lambda line: (line.get("kind", ""), line.get("id", ""))), total]

    def requests(self) -> list[str]:
        """The requests since the last call, sorted: their method and path, with ``LIST`` for a listing."""
        requests, self.sides.proxy.seen[:] = list(self.sides.proxy.seen), []
        return sorted(f"LIST {r.path}" if "list-type" in r.path else f"{r.method} {r.path}" for r in requests)


@pytest.fixture
def several(sides: Sides) -> Several:
    return Several(sides)
