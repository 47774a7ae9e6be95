"""The ``s3-manifest`` command: loads a subcommand on first use, and maps every outcome to an exit code."""

import gc
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import click

from s3_manifest_cli.program import was_interrupted
from s3_manifest_cli.terminal import failures
from s3_manifest_cli.terminal.failures import Failure
from s3_manifest_cli.terminal.outcomes import failure_of


class _Command(NamedTuple):
    """``target`` is ``module:name``; ``summary`` repeats the first sentence of its help, to print it unimported."""

    target: str
    summary: str


_GC_THRESHOLDS = (300_000, 50, 100)

_GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Inspect": {
        "ls": ("commands.ls:ls", "List collections with file counts and sizes (only of KIND, if given)."),
        "info": ("commands.info:info", "Show the totals, generations and sidecars of COLLECTION."),
        "history": ("commands.history:history_command", "Show the revision history of COLLECTION, oldest first."),
        "diff": ("commands.diff:diff_command", "Show the files that differ between two manifests A and B."),
        "status": (
            "commands.status:status_command",
            "Compare LOCAL with COLLECTION by MD5, without listing the bucket.",
        ),
        "verify": ("commands.verify:verify_command", "Read every file in LOCAL and prove that it matches COLLECTION."),
    },
    "Copy": {
        "pull": ("commands.copies:pull", "Download COLLECTION into LOCAL, transferring only what differs."),
        "push": ("commands.copies:push", "Upload LOCAL to COLLECTION, transferring only what differs."),
        "sync": ("commands.copies:sync", "Copy changes between LOCAL and COLLECTION in both directions."),
        "restore": ("commands.copies:restore", "Restore COLLECTION, or an earlier revision of it, to LOCAL or in S3."),
    },
    "Dataset": {
        "export": ("commands.export:export", "Export the manifest of COLLECTION to FORMAT, for other tools."),
        "migrate": ("migration.command:migrate", "Import the legacy manifests and images below ROOT into S3."),
    },
    "Operate": {
        "rescan": (
            "commands.rescan:rescan_command",
            "Make the stack compare COLLECTION with S3 and correct its manifest.",
        ),
        "doctor": ("commands.doctor:doctor", "Find what is wrong with a stack or a bucket, and how to fix it."),
        "local": ("commands.local:local", "Run the whole stack on this machine, without an AWS account."),
    },
}
_COMMANDS = {name: _Command(*command) for group in _GROUPS.values() for name, command in group.items()}


class _CommandError(Exception):
    """Carries an error past click, which would otherwise handle some errors in its own way."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class _Commands(click.Group):
    """Imports a subcommand on first use: importing all of them would double the start-up time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(f"s3_manifest_cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        width = max(map(len, _COMMANDS))
        for title, group in _GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), _COMMANDS[name].summary) for name in group])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # click's signature
        # A large collection stays in memory until the program ends. With Python's default thresholds, the garbage
        # collector would scan it so often that it takes as long as everything else.
        gc.set_threshold(*_GC_THRESHOLDS)
        try:
            return super().__call__(*args, **kwargs)
        finally:
            gc.freeze()  # spares the last collection, at exit

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # noqa: ANN401  # click's signature
        with _past_click():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # click's signature
        with _past_click():
            return super().invoke(ctx)

    def main(  # type: ignore[override]  # click passes the rest by keyword
        self,
        args: Sequence[str] | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,  # noqa: ANN401  # click's signature
    ) -> Any:  # noqa: ANN401  # click's signature
        """Runs the command and exits with one of the documented exit codes."""

        def command() -> object:
            return super(_Commands, self).main(args, standalone_mode=False, **extra)

        if not standalone_mode:
            return command()
        failures.prepare_streams()
        code = _run(command, as_json=failures.is_json_requested(sys.argv[1:] if args is None else args))
        failures.flush(sys.stdout)
        sys.exit(code)


@contextmanager
def _past_click() -> Iterator[None]:
    try:
        yield
    except (EOFError, KeyboardInterrupt, OSError, click.Abort) as error:
        raise _CommandError(error) from error


def _run(command: Callable[[], object], *, as_json: bool) -> int:
    """Runs the command, reports a failure, and returns the exit code."""
    try:
        try:
            code = command()
        except SystemExit as error:
            code = error.code
        if closed := failures.flush(sys.stdout):
            raise closed
        return code if isinstance(code, int) else 0
    except BaseException as error:  # noqa: BLE001  # every error becomes one line
        failure = _failure(error.error if isinstance(error, _CommandError) else error)
        if isinstance(error, click.UsageError):
            error.show()
        failures.report(failure, as_json=as_json, is_printed=isinstance(error, click.UsageError))
        return failure.exit_code


def _failure(error: BaseException) -> Failure:
    if was_interrupted() and not isinstance(error, click.ClickException):
        return failures.INTERRUPTION
    return failure_of(error)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="s3-manifest")
def main() -> None:
    """List, verify, copy and restore collections of training images in S3.

    COLLECTION is KIND/ID, such as style/16 or actor/42, or s3://BUCKET/PREFIX/.
    LOCAL is a folder on this machine. Name the deployment with --bucket, --stack
    or --api-url, or with an environment variable such as S3_MANIFEST_BUCKET.

    \b
    Examples:
      s3-manifest ls --bucket storyboard-user-files
      s3-manifest pull style/16 pictures

    \b
    Exit codes:
      0    success: in sync, or done
      1    differences
      2    wrong usage
      3    something could not be read, written or reached
      130  interrupted

    With --json every command prints one JSON document, also when it fails:
    {"error": ..., "code": ..., "remedy": ..., "exit_code": ...}. Set
    S3_MANIFEST_DEBUG=1 to see the traceback of an error.
    """  # \b keeps click from reflowing the paragraph
