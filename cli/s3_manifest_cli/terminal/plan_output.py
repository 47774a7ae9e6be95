"""What the commands share that plan, tell what they plan, and carry it out."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from s3_manifest.manifest.filenames import unusable
from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.export.output import atomic_file
from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.client.local.scan import Problem
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.execute import SyncResult
from s3_manifest_cli.client.sync.options import MAX_DELETE, Preference, Progress, SyncOptions
from s3_manifest_cli.client.sync.plan import Action, ActionType, Plan, Verb, decode, encode
from s3_manifest_cli.client.sync.sync import PreparedPlan, apply_plan, wait_until_shown
from s3_manifest_cli.client.transfer.cancellation import terminable
from s3_manifest_cli.client.transfer.upload_metadata import UploadMetadata
from s3_manifest_cli.client.verify.compare import FileStatus
from s3_manifest_cli.terminal.manifest_warnings import (
    doubts_json,
    exit_code,
    is_unreadable,
    problems_json,
    warn_of_doubts,
)
from s3_manifest_cli.terminal.options import Function
from s3_manifest_cli.terminal.output import Printer, size
from s3_manifest_cli.terminal.output import files as count_of
from s3_manifest_cli.terminal.progress import progress
from s3_manifest_cli.terminal.steps import read_so_far, steps

PORTABLE = click.option("--portable", is_flag=True, help="Refuse names that some other system could not hold.")
WAIT = click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long until the manifest shows what was changed in S3.",
)

_WORDS: dict[ActionType, str] = {
    "download": "download",
    "upload": "upload",
    "copy": "restore in S3",
    "delete_local": "delete here",
    "delete_remote": "delete in S3",
    "conflict": "conflict",
}
_DONE: dict[ActionType, str] = {
    "download": "downloaded",
    "upload": "uploaded",
    "copy": "restored in S3",
    "delete_local": "deleted here",
    "delete_remote": "deleted in S3",
}
_COLOURS: dict[ActionType, str] = {"delete_local": "red", "delete_remote": "red", "conflict": "magenta"}


class Choices(NamedTuple):
    """What the options say of how a plan is made and carried out."""

    delete: bool
    max_delete: int
    dry_run: bool
    plan_file: Path | None
    apply: Path | None
    portable: bool = False
    prefer: Preference | None = None
    upload_metadata: UploadMetadata = UploadMetadata()
    wait: float = 0

    @property
    def is_dry_run(self) -> bool:
        """Whether the plan is only shown or written, and nothing else changed."""
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


def planning(delete: str) -> Callable[[Function], Function]:
    """The options that all of them share; the command gets what they say as keywords of ``Choices``.

    ``delete`` is the help of ``--delete``.
    """
    options = (
        click.option("--delete", is_flag=True, help=delete),
        click.option(
            "--max-delete",
            type=click.IntRange(0),
            default=MAX_DELETE,
            show_default=True,
            metavar="N",
            help="Refuse to do anything if more files than that would be deleted.",
        ),
        click.option("--dry-run", "-n", is_flag=True, help="Say what would be done, and change nothing."),
        click.option(
            "--plan",
            "plan_file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write what would be done to a file, in JSON lines, and change nothing.",
        ),
        click.option(
            "--apply",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Do what such a file says, as far as both sides are still as they were.",
        ),
    )

    def decorated(command: Function) -> Function:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def run(
    verb: Verb,
    deployment: Deployment,
    prepared: Callable[[SyncOptions], PreparedPlan],
    choices: Choices,
    printer: Printer,
    *,
    is_past: bool = False,
) -> None:
    """Plans, or reads the plan that is to be applied; tells it, or carries it out; and exits.

    ``is_past``: the manifest that is planned by is one of the past.
    """
    files: list[FileStatus] = []
    about = _About()
    if choices.apply:
        with disk_errors(str(choices.apply), "not read"), choices.apply.open("rb") as lines:
            plan = decode(lines)
        if plan.verb != verb:
            raise click.UsageError(f"{choices.apply} is the plan of a {plan.verb}")
    else:
        with steps(printer) as show:
            progress_of_reading = Progress(on_read=lambda count, read: show(read_so_far(count, read)))
            made = prepared(choices.sync_options(progress_of_reading))
        plan, files = made.plan, made.files
        about = _About(made.facts, tuple(made.problems), made.unmatched, made.refused, is_past=is_past)
        about.warn(printer)
    is_refused = about.refused is not None
    if choices.plan_file and not is_refused:
        with disk_errors(str(choices.plan_file), "not written"), atomic_file(choices.plan_file) as out:
            out.writelines(encode(plan))
    if choices.is_dry_run:
        _tell_plan(plan, about, printer, None if is_refused else choices.plan_file)
        if is_refused and choices.plan_file:
            printer.error(f"{choices.plan_file}: not written, since this plan would be refused")
        failed = is_unreadable(about.problems) or (is_refused and choices.plan_file is not None)
        sys.exit(exit_code(facts=about.facts, failed=failed, differs=bool(plan.actions)))
    moved = plan.select("download", "upload", "copy")
    with progress(verb, len(moved), sum(one.size for one in moved), quiet=printer.quiet) as told, terminable():
        result = apply_plan(deployment, plan, files, choices.sync_options(told))
    shown = wait_until_shown(deployment, result, choices.wait) if choices.wait else None
    _tell(result, shown, about, printer)
    failed = bool(result.failed) or is_unreadable(about.problems)
    sys.exit(exit_code(facts=about.facts, failed=failed, differs=bool(result.conflicts) or shown is False))


class _About(NamedTuple):
    """What the user should know of a plan that was made just now; of one that is applied, nothing is known."""

    facts: Facts | None = None
    problems: tuple[Problem, ...] = ()
    unmatched: tuple[str, ...] = ()
    refused: str | None = None
    is_past: bool = False

    def warn(self, printer: Printer) -> None:
        """Says it on stderr, but for the refusal, which follows the plan."""
        printer.unmatched(self.unmatched)
        for problem in self.problems:
            printer.warn(f"{problem.path}: {problem.reason}")
        warn_of_doubts(self.facts, printer, is_past=self.is_past)

    @property
    def fields(self) -> dict[str, Any]:
        """The same in a document."""
        return doubts_json(self.facts, is_past=self.is_past) | {
            "problems": problems_json(self.problems),
            "unmatched_filters": self.unmatched,
        }


def _tell_plan(plan: Plan, about: _About, printer: Printer, written: Path | None) -> None:
    for action in plan.actions:
        printer.write(f"{_WORDS[action.action]:<12}  {action.filename}", _COLOURS.get(action.action))
    for action in plan.select("upload", "copy"):
        if reason := unusable(action.filename):
            printer.warn(f"{action.filename}: will be skipped: {reason}; rename the file")
    todo = _summary(plan.actions, _WORDS, "{word} {count}")
    printer.write((f"to do: {todo}" if todo else "nothing to do") + (f"; written to {written}" if written else ""))
    if about.refused:
        printer.warn(about.refused)
    document = plan.model_dump(mode="json", exclude_none=True)
    printer.document(document | about.fields | {"refused": about.refused})


def _tell(result: SyncResult, shown: bool | None, about: _About, printer: Printer) -> None:
    for one in result.failed:
        printer.error(f"{_WORDS[one.action.action]} {one.action.filename}: {one.error}")
    for one in result.conflicts:
        printer.write(f"conflict  {one.action.filename}", "magenta")
    for one in result.done:
        if one.note:
            printer.warn(f"{one.action.filename}: {one.note}")
    plan = result.plan
    sides = f"{plan.folder} and {plan.kind}/{plan.id}" if plan.folder else f"{plan.kind}/{plan.id}"
    done = _summary((one.action for one in result.done), _DONE, "{count} {word}")
    printer.write(f"{sides}: {done or 'nothing to do'}")
    skipped = sum(one.is_name_refused for one in result.failed)
    if skipped:
        whose, them = ("its name", "it") if skipped == 1 else ("their names", "them")
        told = f"{count_of(skipped)} skipped because of {whose} (listed above)."
        printer.write(f"{told} Rename {them}; running again will not help.", "red")
    if failed := len(result.failed) - skipped:
        printer.write(f"{failed:,} failed; run it again: what is done is not done again", "red")
    if result.conflicts:
        count = "1 conflict" if len(result.conflicts) == 1 else f"{len(result.conflicts):,} conflicts"
        printer.write(f"{count}: choose the side that wins with --prefer", "magenta")
    if shown is False:
        printer.warn("the manifest does not show all of it yet; see: s3-manifest doctor")
    if unread := sum(problem.kind == "unreadable" for problem in about.problems):
        printer.write(f"{_parts(unread)} of the folder could not be read (listed above)", "red")
    printer.document(_as_json(result, shown, about))


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count:,} parts"


def _as_json(result: SyncResult, shown: bool | None, about: _About) -> dict[str, Any]:
    return result.plan.model_dump(exclude={"actions"}) | {
        "done": Counter(one.action.action for one in result.done),
        "failed": len(result.failed),
        "conflicts": len(result.conflicts),
        "shown": shown,
        **about.fields,
        "files": [
            {"action": one.action.action, "filename": one.action.filename, "size": one.action.size, "error": one.error}
            for one in result.steps
        ],
    }


def _summary(actions: Iterable[Action], words: Mapping[ActionType, str], told: str) -> str:
    """How many of each there are, and how much is moved by them; ``told`` says how a word and its count go."""
    counts: Counter[ActionType] = Counter()
    moved: Counter[ActionType] = Counter()
    for action in actions:
        counts[action.action] += 1
        moved[action.action] += action.size
    return ", ".join(
        told.format(word=word, count=f"{counts[doing]:,}")
        + (f" ({size(moved[doing])})" if doing in {"download", "upload"} else "")
        for doing, word in words.items()
        if counts[doing]
    )
