"""Runs a command for many collections: prints one line for each, a total, and exits with the worst exit code."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click
from pydantic_core import PydanticSerializationError, to_json

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.client.bulk.folders import local_paths
from s3_manifest_cli.client.bulk.for_each import for_each
from s3_manifest_cli.client.bulk.selection import Selection, select
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.options import DEFAULTS, SyncOptions
from s3_manifest_cli.client.transfer.cancellation import Cancelled, terminable
from s3_manifest_cli.errors import Invalid, NoManifest
from s3_manifest_cli.terminal.failures import DIFFERENCES, FAILED, USAGE, print_traceback
from s3_manifest_cli.terminal.outcomes import failure_of
from s3_manifest_cli.terminal.output import Printer, Record, number, progress_bar, size

BYTES = "bytes"
"""The count that is printed as a size."""

_SINGULARS = {
    "conflicts": "conflict",
    "files corrected": "file corrected",
    "problems": "problem",
    "revisions": "revision",
}

_COLOURS = {DIFFERENCES: "yellow", USAGE: "red", FAILED: "red"}


class Request(NamedTuple):
    """One collection, as the user named it, and its local path, for a command to handle."""

    deployment: Deployment
    collection: Collection
    name: str
    path: Path | None
    printer: Printer
    options: SyncOptions = DEFAULTS

    @property
    def local(self) -> Path:
        """The path, of a command that needs one."""
        if self.path is None:
            raise AssertionError
        return self.path

    @property
    def sleep(self) -> Callable[[float], None]:
        """Waits for so many seconds. Raises ``Cancelled``."""
        return self.options.cancellation.sleep if self.options.cancellation else time.sleep


class BulkCommand(NamedTuple):
    """A command for many collections.

    ``run`` does what it does for one, and may exit with a code. ``numbers`` takes the numbers from the document that it
    prints; they are added up. ``line`` describes the document; the default is the numbers. ``hint`` follows the total.
    """

    verb: str
    run: Callable[[Request], object]
    numbers: Callable[[Mapping[str, Any]], Mapping[str, int]]
    line: Callable[[Mapping[str, Any]], str] | None = None
    hint: str | None = None


class _Report(NamedTuple):
    exit_code: int
    record: Record


def run_many(
    command: BulkCommand,
    deployment: Deployment,
    names: list[str],
    template: Path | None,
    printer: Printer,
    options: SyncOptions = DEFAULTS,
) -> NoReturn:
    """Runs the command for the collections of these names and patterns, and exits.

    ``template`` is the local path with its placeholders; None if the command has none.
    """
    if template:
        local_paths(template, ())  # before any request
    run_selection(command, select(deployment, names), template, printer, options)


def run_selection(
    command: BulkCommand,
    selection: Selection,
    template: Path | None,
    printer: Printer,
    options: SyncOptions = DEFAULTS,
) -> NoReturn:
    """As ``run_many``, for collections that were selected already."""
    paths = local_paths(template, selection.collections) if template else {}

    def run(deployment: Deployment, collection: Collection, options: SyncOptions) -> _Report | Exception:
        path = paths.get(collection)
        if isinstance(path, Invalid):
            raise path
        name = f"{collection.kind}/{collection.id}"
        return _run_one(command, Request(deployment, collection, name, path, printer, options))

    total = _Total(command, printer)
    for failure in selection.failures:
        total.add_failure(failure.name, {"name": failure.name}, failure.error)
    with progress_bar(command.verb, len(selection.collections), quiet=printer.quiet) as advance, terminable():
        for outcome in for_each(selection, run, options):
            name, fields = f"{outcome.item.kind}/{outcome.item.id}", {"kind": outcome.item.kind, "id": outcome.item.id}
            if isinstance(outcome.result, _Report):
                total.add(name, fields, outcome.result)
            elif error := outcome.result or outcome.error:
                total.add_failure(name, fields, error)
            advance(1, 0)
    if selection.unconfirmed and not total.collections:
        raise Invalid("No matching collection has a manifest any more.", remedy="List them with 's3-manifest ls'.")
    total.print()
    sys.exit(total.exit_code)


def _run_one(command: BulkCommand, request: Request) -> _Report | Exception:
    """What the command reports about one collection, or why it failed, whatever that is."""
    record = Record()
    try:
        command.run(request._replace(printer=request.printer._replace(record=record)))
    except SystemExit as exit_:
        return _Report(exit_.code if isinstance(exit_.code, int) else 0, record)
    except (NoManifest, Cancelled):  # ``for_each`` handles them
        raise
    except Exception as error:  # noqa: BLE001  # also a bug does not stop the other collections
        return error
    return _Report(0, record)


class _Total:
    """Prints the outcomes as they come, and adds them up."""

    def __init__(self, command: BulkCommand, printer: Printer) -> None:
        self.exit_code = 0
        self._command, self._printer = command, printer
        self.collections = self._failed = 0
        self._counts: Counter[str] = Counter()

    def add(self, name: str, fields: Mapping[str, Any], report: _Report) -> None:
        """Prints what the command found or did."""
        document: Mapping[str, Any] = report.record.document or {}
        counts = self._command.numbers(document)
        self._counts.update(counts)
        self._end(report.exit_code)
        for message, colour in report.record.messages:
            self._printer.note(f"{name}: {message}", colour)
        line = self._command.line(document) if self._command.line else _numbers(counts)
        self._printer.write(f"{name}: {line}", _COLOURS.get(report.exit_code))
        self._line({**fields, "exit_code": report.exit_code, **document})

    def add_failure(self, name: str, fields: Mapping[str, Any], error: Exception) -> None:
        """Prints why the command failed."""
        failure = failure_of(error)
        self._failed += 1
        self._end(failure.exit_code)
        self._printer.error(f"{name}: {failure.message}")
        print_traceback(error)
        described = {"error": failure.message, "code": failure.code, "remedy": failure.remedy or None}
        self._line({**fields, "exit_code": failure.exit_code, **described})

    def print(self) -> None:
        """Prints the total."""
        failed = f", {self._failed:,} failed" if self._failed else ""
        self._printer.write(f"{number(self.collections, 'collection')}{failed}: {_numbers(self._counts)}")
        total = {"collections": self.collections, "failed": self._failed, "counts": self._counts}
        if self._command.hint:
            self._printer.write(self._command.hint)
        self._line({"total": total, "exit_code": self.exit_code})

    def _end(self, exit_code: int) -> None:
        self.collections += 1
        self.exit_code = max(self.exit_code, exit_code)

    def _line(self, document: Mapping[str, Any]) -> None:
        if not self._printer.as_json:
            return
        try:
            line: bytes | str = to_json(document)
        except PydanticSerializationError:  # a name in the arguments is not UTF-8; ``json`` escapes it
            line = json.dumps(document, default=str)
        click.echo(line)


def _numbers(counts: Mapping[str, int]) -> str:
    names = {name: _SINGULARS.get(name, name) if count == 1 else name for name, count in counts.items() if count}
    words = ", ".join(f"{counts[name]:,} {word}" for name, word in names.items() if name != BYTES)
    moved = f" ({size(counts[BYTES])})" if counts.get(BYTES) else ""
    return f"{words}{moved}" or "nothing to do"
