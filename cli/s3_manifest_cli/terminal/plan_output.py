"""Runs a plan for the commands that copy: makes or reads it, prints or executes it, and exits."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from s3_manifest.manifest.filenames import filename_problem
from s3_manifest.manifest.model import Facts
from s3_manifest.storage.upload_headers import UploadMetadata
from s3_manifest_cli.client.export.output import atomic_file
from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.local.scan import Problem
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.execute import SyncResult
from s3_manifest_cli.client.sync.options import MAX_DELETE, Preference, Progress, SyncOptions
from s3_manifest_cli.client.sync.plan import Action, ActionType, Plan, Verb, decode, encode
from s3_manifest_cli.client.sync.sync import PreparedPlan, apply_plan, wait_until_shown
from s3_manifest_cli.client.transfer.cancellation import terminable
from s3_manifest_cli.client.verify.compare import FileStatus
from s3_manifest_cli.terminal.options import Function, with_options
from s3_manifest_cli.terminal.output import (
    Printer,
    exit_code,
    is_unreadable,
    manifest_fields,
    number,
    problem_fields,
    size,
)
from s3_manifest_cli.terminal.output import files as count_of
from s3_manifest_cli.terminal.progress import progress_bar, read_so_far, status_line

PORTABLE = click.option("--portable", is_flag=True, help="Skip files whose names some other system does not allow.")
WAIT = click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Wait up to this long until the manifest shows the changes in S3.",
)

_LABELS: dict[ActionType, str] = {
    "download": "download",
    "upload": "upload",
    "copy": "restore in S3",
    "delete_local": "delete local",
    "delete_remote": "delete in S3",
    "conflict": "conflict",
}
_DONE: dict[ActionType, str] = {
    "download": "downloaded {files} ({size}) from {collection} to {folder}",
    "upload": "uploaded {files} ({size}) from {folder} to {collection}",
    "copy": "restored {files} of {collection} in S3",
    "delete_local": "deleted {files} from {folder}",
    "delete_remote": "deleted {files} from {collection}",
}
_PLANNED: dict[ActionType, str] = {
    "download": "download {files} ({size}) from {collection} to {folder}",
    "upload": "upload {files} ({size}) from {folder} to {collection}",
    "copy": "restore {files} of {collection} in S3",
    "delete_local": "delete {files} from {folder}",
    "delete_remote": "delete {files} from {collection}",
    "conflict": "leave {conflicts}",
}
_COLOURS: dict[ActionType, str] = {"delete_local": "red", "delete_remote": "red", "conflict": "magenta"}


class PlanOptions(NamedTuple):
    """The options for making and executing a plan."""

    delete: bool
    max_delete: int
    dry_run: bool
    plan_file: Path | None
    apply: Path | None
    filters: Filter = EVERYTHING
    portable: bool = False
    prefer: Preference | None = None
    upload_metadata: UploadMetadata = UploadMetadata()
    wait: float = 0

    @property
    def is_dry_run(self) -> bool:
        """Whether the plan is only printed or written."""
        return self.dry_run or self.plan_file is not None

    def sync_options(self, progress: Progress) -> SyncOptions:
        """The same for the client."""
        return SyncOptions(
            delete=self.delete,
            prefer=self.prefer,
            max_delete=self.max_delete,
            dry_run=self.is_dry_run,
            portable=self.portable,
            upload_metadata=self.upload_metadata,
            progress=progress,
        )


def plan_options(delete_help: str) -> Callable[[Function], Function]:
    """The options that these commands share, passed as keywords of ``PlanOptions``."""
    return lambda command: with_options(
        command,
        click.option("--delete", is_flag=True, help=delete_help),
        click.option(
            "--max-delete",
            type=click.IntRange(0),
            default=MAX_DELETE,
            show_default=True,
            metavar="N",
            help="Refuse to start if more files than this would be deleted.",
        ),
        click.option("--dry-run", "-n", is_flag=True, help="Print what would be done, and change nothing."),
        click.option(
            "--plan",
            "plan_file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write the plan to this file as JSON lines, and change nothing.",
        ),
        click.option(
            "--apply",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Execute the plan in this file; what changed since is skipped.",
        ),
    )


def run_plan(
    verb: Verb,
    deployment: Deployment,
    prepare: Callable[[SyncOptions], PreparedPlan],
    options: PlanOptions,
    printer: Printer,
    *,
    is_past: bool = False,
) -> None:
    """Makes the plan, or reads the one to apply; prints or executes it; and exits.

    ``is_past``: the plan is based on an earlier revision of the manifest.
    """
    files: list[FileStatus] = []
    context = _Context()
    if options.apply:
        with disk_errors(str(options.apply), "not read"), options.apply.open("rb") as lines:
            plan = decode(lines)
        if plan.verb != verb:
            command = f"s3-manifest {plan.verb} --apply {options.apply}"
            raise click.UsageError(f"{options.apply} is a plan for '{plan.verb}'. Run '{command}'.")
    else:
        with status_line(printer) as show:
            progress = Progress(on_read=lambda count, size_bytes: show(read_so_far(count, size_bytes)))
            prepared = prepare(options.sync_options(progress))
        plan, files = prepared.plan, prepared.files
        context = _Context(
            prepared.facts, tuple(prepared.problems), prepared.unmatched, prepared.refused, is_past=is_past
        )
        context.warn(printer)
    if options.is_dry_run:
        _write_plan(plan, context, printer, options.plan_file)
    moved = plan.select("download", "upload", "copy")
    total_bytes = sum(action.size for action in moved)
    with progress_bar(verb, len(moved), total_bytes, quiet=printer.quiet) as advance, terminable():
        progress = Progress(on_bytes=lambda size_bytes: advance(0, size_bytes), on_file=lambda: advance(1, 0))
        result = apply_plan(deployment, plan, files, options.sync_options(progress))
    shown = wait_until_shown(deployment, result, options.wait) if options.wait else None
    _print(result, shown, context, printer)
    printer.document(_fields(result, shown, context))
    failed = bool(result.failed) or is_unreadable(context.problems)
    sys.exit(exit_code(facts=context.facts, failed=failed, differs=bool(result.conflicts) or shown is False))


class _Context(NamedTuple):
    """What a plan made just now is based on; unknown for a plan that is applied."""

    facts: Facts | None = None
    problems: tuple[Problem, ...] = ()
    unmatched: tuple[str, ...] = ()
    refused: str | None = None
    is_past: bool = False

    def warn(self, printer: Printer) -> None:
        """Prints the warnings, except for the refusal, which follows the plan."""
        printer.warn_of_filters(self.unmatched)
        for problem in self.problems:
            printer.warn(f"{problem.path}: {problem.reason}")
        printer.warn_of_manifest(self.facts, is_past=self.is_past)

    @property
    def fields(self) -> dict[str, Any]:
        """The same as fields of a document."""
        return manifest_fields(self.facts, is_past=self.is_past) | {
            "problems": problem_fields(self.problems),
            "unmatched_filters": self.unmatched,
        }


def _write_plan(plan: Plan, context: _Context, printer: Printer, file: Path | None) -> None:
    """Prints the plan, writes it to the file unless it is refused, and exits."""
    written = file if context.refused is None else None
    if written:
        with disk_errors(str(written), "not written"), atomic_file(written) as out:
            out.writelines(encode(plan))
    for action in plan.actions:
        printer.write(f"{_LABELS[action.action]:<12}  {action.filename}", _COLOURS.get(action.action))
    for action in plan.select("upload", "copy"):
        if reason := filename_problem(action.filename):
            printer.warn(f"{action.filename}: will be skipped: {reason}. Rename the file.")
    summary = _summary(plan, plan.actions, _PLANNED)
    printer.write(f"Would {summary}." if summary else "Nothing to do.")
    if written:
        printer.write(f"Plan written to {written}.")
    if context.refused:
        printer.warn(context.refused)
    document = plan.model_dump(mode="json", exclude_none=True)
    printer.document(document | context.fields | {"refused": context.refused})
    if file and not written:
        printer.error(f"{file}: not written, because this plan would be refused.")
    failed = is_unreadable(context.problems) or (file is not None and not written)
    sys.exit(exit_code(facts=context.facts, failed=failed, differs=bool(plan.actions)))


def _print(result: SyncResult, shown: bool | None, context: _Context, printer: Printer) -> None:
    for step in result.failed:
        printer.error(f"{_LABELS[step.action.action]} {step.action.filename}: {step.error}")
    for step in result.conflicts:
        printer.write(f"conflict  {step.action.filename}", "magenta")
    for step in result.done:
        if step.note:
            printer.warn(f"{step.action.filename}: {step.note}")
    summary = _summary(result.plan, (step.action for step in result.done), _DONE)
    nothing = "Nothing was changed." if result.plan.actions else "Nothing to do."
    printer.write(f"{summary[0].upper()}{summary[1:]}." if summary else nothing)
    skipped = sum(step.is_name_refused for step in result.failed)
    if skipped:
        whose, them = ("its name", "it") if skipped == 1 else ("their names", "them")
        reason = f"{count_of(skipped)} skipped because of {whose} (listed above)."
        printer.write(f"{reason} Rename {them}; running again will not help.", "red")
    if failed := len(result.failed) - skipped:
        printer.write(f"{count_of(failed)} failed. Run the command again to retry; finished files are skipped.", "red")
    if result.conflicts:
        conflicts = number(len(result.conflicts), "conflict")
        printer.write(f"{conflicts}: both sides changed. Choose the side that wins with --prefer.", "magenta")
    if shown is False:
        printer.warn("The manifest does not show all changes yet. Use a longer --wait, or run 's3-manifest doctor'.")
    if unread := sum(problem.kind == "unreadable" for problem in context.problems):
        printer.write(f"{number(unread, 'path')} in the folder could not be read (listed above).", "red")


def _fields(result: SyncResult, shown: bool | None, context: _Context) -> dict[str, Any]:
    return result.plan.model_dump(exclude={"actions"}) | {
        "done": Counter(step.action.action for step in result.done),
        "failed": len(result.failed),
        "conflicts": len(result.conflicts),
        "shown": shown,
        **context.fields,
        "files": [
            {
                "action": step.action.action,
                "filename": step.action.filename,
                "size": step.action.size,
                "error": step.error,
            }
            for step in result.steps
        ],
    }


def _summary(plan: Plan, actions: Iterable[Action], clauses: Mapping[ActionType, str]) -> str:
    """The actions as one sentence without its period; empty if there are none."""
    counts: Counter[ActionType] = Counter()
    sizes: Counter[ActionType] = Counter()
    for action in actions:
        counts[action.action] += 1
        sizes[action.action] += action.size
    return "; ".join(
        clause.format(
            files=count_of(counts[doing]),
            conflicts=number(counts[doing], "conflict"),
            size=size(sizes[doing]),
            folder=plan.folder,
            collection=f"{plan.kind}/{plan.id}",
        )
        for doing, clause in clauses.items()
        if counts[doing]
    )
