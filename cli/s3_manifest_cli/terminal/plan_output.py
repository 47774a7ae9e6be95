"""Runs a plan for the commands that copy: makes or reads it, prints or executes it, and exits."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

import click

from s3_manifest.manifest.filenames import filename_problem
from s3_manifest_cli.client.export.output import atomic_file
from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.execute import SyncResult
from s3_manifest_cli.client.sync.options import Progress, SyncOptions
from s3_manifest_cli.client.sync.plan import Action, ActionType, Plan, Verb, decode, encode
from s3_manifest_cli.client.sync.sync import PreparedPlan, apply_plan, wait_until_shown
from s3_manifest_cli.client.transfer.cancellation import terminable
from s3_manifest_cli.terminal.output import (
    Printer,
    exit_with,
    is_unreadable,
    manifest_fields,
    number,
    progress_bar,
    read_progress,
    size,
)


class _Words(NamedTuple):
    """An action in a list; what a plan does, what was done, and the rest of both clauses."""

    label: str
    planned: str
    done: str
    rest: str
    colour: str | None = None


_WORDS: dict[ActionType, _Words] = {
    "download": _Words("download", "download", "downloaded", "{files} ({size}) from {collection} to {folder}"),
    "upload": _Words("upload", "upload", "uploaded", "{files} ({size}) from {folder} to {collection}"),
    "copy": _Words("restore in S3", "restore", "restored", "{files} of {collection} in S3"),
    "delete_local": _Words("delete local", "delete", "deleted", "{files} from {folder}", "red"),
    "delete_remote": _Words("delete in S3", "delete", "deleted", "{files} from {collection}", "red"),
    "conflict": _Words("conflict", "leave", "left", "{conflicts}", "magenta"),
}


class PlanOptions(NamedTuple):
    """The options for making and executing a plan: ``sync`` are those of the client."""

    sync: SyncOptions
    plan_file: Path | None
    apply: Path | None
    filters: Filter = EVERYTHING
    wait: float | None = None

    @classmethod
    def of(cls, *, dry_run: bool, plan_file: Path | None, **options: Any) -> Self:  # noqa: ANN401  # as the fields
        """The options of a command, by their names."""
        own = {name: options.pop(name) for name in cls._fields if name in options}
        return cls(SyncOptions(dry_run=dry_run or plan_file is not None, **options), plan_file, **own)

    @property
    def is_past(self) -> bool:
        """Whether the plan is based on an earlier revision of the manifest."""
        return self.sync.revision is not None or self.sync.at is not None


def run_plan(
    verb: Verb,
    deployment: Deployment,
    prepare: Callable[[SyncOptions], PreparedPlan],
    options: PlanOptions,
    printer: Printer,
) -> NoReturn:
    """Makes the plan, or reads the one to apply; prints or executes it; and exits."""
    if options.apply:
        with disk_errors(str(options.apply), "not read"), options.apply.open("rb") as lines:
            plan = decode(lines)
        if plan.verb != verb:
            command = f"s3-manifest {plan.verb} --apply {options.apply}"
            raise click.UsageError(f"{options.apply} is a plan for '{plan.verb}'. Run '{command}'.")
        prepared = PreparedPlan(plan, facts=None, files=[], problems=[])
    else:
        with read_progress(printer, options.sync.cancellation) as on_read:
            prepared = prepare(options.sync._replace(progress=Progress(on_read=on_read)))
        printer.warn_of_filters(prepared.unmatched)
        for problem in prepared.problems:
            printer.warn(f"{problem.path}: {problem.reason}")
        printer.warn_of_manifest(prepared.facts, is_past=options.is_past)
    if options.sync.dry_run:
        _write_plan(prepared, options, printer)
    moved = prepared.plan.select("download", "upload", "copy")
    total_bytes = sum(action.size for action in moved)
    with progress_bar(verb, len(moved), total_bytes, quiet=printer.is_silent) as advance, terminable():
        progress = Progress(on_bytes=lambda size_bytes: advance(0, size_bytes), on_file=lambda: advance(1, 0))
        result = apply_plan(deployment, prepared.plan, prepared.files, options.sync._replace(progress=progress))
    shown = wait_until_shown(deployment, result, options.wait, options.sync.cancellation) if options.wait else None
    _print(result, shown, printer)
    if unread := sum(problem.kind == "unreadable" for problem in prepared.problems):
        printer.write(f"{number(unread, 'path')} in the folder could not be read (listed above).", "red")
    printer.document(_fields(result, shown) | _context_fields(prepared, options))
    failed = bool(result.failed) or is_unreadable(prepared.problems)
    exit_with(facts=prepared.facts, failed=failed, differs=bool(result.conflicts) or shown is False)


def plan_counts(document: Mapping[str, Any]) -> Mapping[str, int]:
    """The numbers in the document of a plan that was executed, or would be."""
    is_planned = "actions" in document
    steps = document["actions" if is_planned else "files"]
    done = [step for step in steps if not step.get("error") and step["action"] != "conflict"]
    moved = [step["size"] for step in done if step["action"] in {"download", "upload", "copy"}]
    conflicts = sum(step["action"] == "conflict" for step in steps)

    def name(action: ActionType) -> str:
        return f"to {_WORDS[action].planned}" if is_planned else _WORDS[action].done

    counts = Counter(name(step["action"]) for step in done)
    return {
        **{name(action): counts[name(action)] for action in _WORDS if action != "conflict"},
        "failed": document.get("failed", 0),
        "conflicts": conflicts,
        "bytes": sum(moved),
    }


def _context_fields(prepared: PreparedPlan, options: PlanOptions) -> dict[str, Any]:
    """What the plan is based on, as fields of a document; unknown for a plan that is applied."""
    return manifest_fields(prepared.facts, is_past=options.is_past) | {
        "problems": [problem._asdict() for problem in prepared.problems],
        "unmatched_filters": prepared.unmatched,
    }


def _write_plan(prepared: PreparedPlan, options: PlanOptions, printer: Printer) -> NoReturn:
    """Prints the plan, writes it to the file unless it is refused, and exits."""
    plan, refused, file = prepared.plan, prepared.refused, options.plan_file
    if file and refused is None:
        with disk_errors(str(file), "not written"), atomic_file(file) as out:
            out.writelines(encode(plan))
    for action in plan.actions:
        words = _WORDS[action.action]
        printer.write(f"{words.label:<12}  {action.filename}", words.colour)
    for action in plan.select("upload", "copy"):
        if reason := filename_problem(action.filename):
            printer.warn(f"{action.filename}: will be skipped: {reason}. Rename the file.")
    summary = _summary(plan, plan.actions, is_done=False)
    printer.write(f"Would {summary}." if summary else "Nothing to do.")
    if file and refused is None:
        printer.write(f"Plan written to {file}.")
    if refused:
        printer.warn(refused)
    document = plan.model_dump(mode="json", exclude_none=True)
    printer.document(document | _context_fields(prepared, options) | {"refused": refused})
    if file and refused:
        printer.error(f"{file}: not written, because this plan would be refused.")
    failed = is_unreadable(prepared.problems) or bool(file and refused)
    exit_with(facts=prepared.facts, failed=failed, differs=bool(plan.actions))


def _print(result: SyncResult, shown: bool | None, printer: Printer) -> None:
    for step in result.failed:
        printer.error(f"{_WORDS[step.action.action].label} {step.action.filename}: {step.error}")
    for step in result.conflicts:
        printer.write(f"conflict  {step.action.filename}", "magenta")
    for step in result.done:
        if step.note:
            printer.warn(f"{step.action.filename}: {step.note}")
    summary = _summary(result.plan, (step.action for step in result.done), is_done=True)
    nothing = "Nothing was changed." if result.plan.actions else "Nothing to do."
    printer.write(f"{summary[0].upper()}{summary[1:]}." if summary else nothing)
    if skipped := sum(step.is_name_refused for step in result.failed):
        whose, them = ("its name", "it") if skipped == 1 else ("their names", "them")
        reason = f"{number(skipped, 'file')} skipped because of {whose} (listed above)."
        printer.write(f"{reason} Rename {them}; running again will not help.", "red")
    if failed := len(result.failed) - skipped:
        retry = "Run the command again to retry; finished files are skipped."
        printer.write(f"{number(failed, 'file')} failed. {retry}", "red")
    if result.conflicts:
        conflicts = number(len(result.conflicts), "conflict")
        printer.write(f"{conflicts}: both sides changed. Choose the side that wins with --prefer.", "magenta")
    if shown is False:
        printer.warn("The manifest does not show all changes yet. Use a longer --wait, or run 's3-manifest doctor'.")


def _fields(result: SyncResult, shown: bool | None) -> dict[str, Any]:
    return result.plan.model_dump(exclude={"actions"}) | {
        "done": Counter(step.action.action for step in result.done),
        "failed": len(result.failed),
        "conflicts": len(result.conflicts),
        "shown": shown,
        "files": [
            step.action.model_dump(include={"action", "filename", "size"}) | {"error": step.error}
            for step in result.steps
        ],
    }


def _summary(plan: Plan, actions: Iterable[Action], *, is_done: bool) -> str:
    """The actions as one sentence without its period; empty if there are none."""
    counts: Counter[ActionType] = Counter()
    sizes: Counter[ActionType] = Counter()
    for action in actions:
        counts[action.action] += 1
        sizes[action.action] += action.size
    clauses = []
    for kind, words in _WORDS.items():
        if counts[kind]:
            values = words.rest.format(
                files=number(counts[kind], "file"),
                conflicts=number(counts[kind], "conflict"),
                size=size(sizes[kind]),
                folder=plan.folder,
                collection=f"{plan.kind}/{plan.id}",
            )
            clauses.append(f"{words.done if is_done else words.planned} {values}")
    return "; ".join(clauses)
