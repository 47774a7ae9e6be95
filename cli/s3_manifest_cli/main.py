"""The ``s3-manifest`` command: its subcommands, each imported when it is asked for, and its exit codes."""

import gc
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import click

from s3_manifest.storage.store import StoreError
from s3_manifest_cli.errors import Invalid, S3ManifestError
from s3_manifest_cli.program import was_interrupted
from s3_manifest_cli.terminal import endings
from s3_manifest_cli.terminal.endings import Ending


class _Lazy(NamedTuple):
    """Where a command is, and what ``--help`` says of it without importing it: what its docstring begins with."""

    place: str
    summary: str


_ALLOCATIONS = 300_000
"""So many objects more, and garbage is looked for."""

_COMMANDS = {
    "ls": _Lazy(
        "commands.ls:ls",
        "List collections with file counts and sizes (only of KIND, if given).",
    ),
    "info": _Lazy("commands.info:info", "Tell what the manifest of COLLECTION says of it, apart from the files."),
    "history": _Lazy(
        "commands.history:history_command",
        "Show the revision history of COLLECTION, oldest first.",
    ),
    "diff": _Lazy(
        "commands.diff:diff_command",
        "Tell how the manifest B differs from A: COLLECTION, COLLECTION@REVISION or COLLECTION@TIME (ISO 8601).",
    ),
    "status": _Lazy(
        "commands.status:status_command",
        "Compare the folder LOCAL with the manifest of COLLECTION, by MD5, and list nothing in S3.",
    ),
    "verify": _Lazy(
        "commands.verify:verify_command",
        "Prove that every file of the folder LOCAL is what the manifest of COLLECTION says, by reading all of them.",
    ),
    "pull": _Lazy("commands.copies:pull", "Make the folder LOCAL what the manifest of COLLECTION says."),
    "push": _Lazy("commands.copies:push", "Make COLLECTION what the folder LOCAL has."),
    "sync": _Lazy("commands.copies:sync", "Make the folder LOCAL and COLLECTION the same, both ways."),
    "restore": _Lazy(
        "commands.restore:restore",
        "Bring back what COLLECTION was: to the folder LOCAL, or with --in-s3 in S3.",
    ),
    "rescan": _Lazy(
        "commands.rescan:rescan_command",
        "Have the stack compare COLLECTIONs with what is in S3, and mend their manifests.",
    ),
    "export": _Lazy("commands.export:export", "Write the manifest of COLLECTION as FORMAT, for other tools."),
    "doctor": _Lazy(
        "commands.doctor:doctor",
        "Examine a deployed stack, or a bucket: what is wrong with it, each finding with its mend.",
    ),
    "migrate": _Lazy("migration.command:migrate", "Take the legacy manifests and images below ROOT over into S3."),
    "local": _Lazy("commands.local:local", "Run the whole stack on this machine, with no AWS account."),
}


class _Raised(Exception):
    """An error of a command, as click hands it on: it has endings of its own for some errors."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class _Commands(click.Group):
    """Imports a subcommand when it is needed: what the others need would double the time that it takes to start."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"s3_manifest_cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        width = formatter.width - 6 - max(map(len, _COMMANDS))
        rows = [
            (name, click.Command(name, help=_COMMANDS[name].summary).get_short_help_str(width)) for name in _COMMANDS
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # click's signature
        # This is the program's start. What it reads of a large collection stays until its end: to look for garbage
        # among that each time that some hundred objects more were made would take as long as all the rest.
        gc.set_threshold(_ALLOCATIONS, 50, 100)
        try:
            return super().__call__(*args, **kwargs)
        finally:
            gc.freeze()  # nor is it looked for when Python ends

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # noqa: ANN401  # click's signature
        with _handed_on():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # click's signature
        with _handed_on():
            return super().invoke(ctx)

    def main(  # type: ignore[override]  # click calls it with keywords, and by two more positions in no case
        self,
        args: Sequence[str] | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,  # noqa: ANN401  # click's signature
    ) -> Any:  # noqa: ANN401  # click's signature
        """Runs the command and exits, as click does, but that each failure has one of the exit codes below."""

        def command() -> object:
            return super(_Commands, self).main(args, standalone_mode=False, **extra)

        if not standalone_mode:
            return command()
        endings.prepare_streams()
        code = _run(command, as_json=endings.asks_for_json(sys.argv[1:] if args is None else args))
        endings.flush(sys.stdout)
        sys.exit(code)


@contextmanager
def _handed_on() -> Iterator[None]:
    try:
        yield
    except (EOFError, KeyboardInterrupt, OSError, click.Abort) as error:
        raise _Raised(error) from error


def _run(command: Callable[[], object], *, as_json: bool) -> int:
    """Runs it, reports why it failed, and returns the exit code."""
    try:
        code = _exit_code(command)
        if error := endings.flush(sys.stdout):
            raise error
        return code
    except click.UsageError as error:
        error.show()
        ending = Ending(endings.USAGE, "usage", error.format_message())
        endings.report(ending, as_json=as_json, shown=True)
    except click.ClickException as error:
        ending = Ending(endings.FAILED, "failed", error.format_message())
        endings.report(ending, as_json=as_json)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the user reads one line
        ending = _ending(error.error if isinstance(error, _Raised) else error)
        endings.report(ending, as_json=as_json)
    return ending.exit_code


def _exit_code(command: Callable[[], object]) -> int:
    """What the command exits with, by returning, by click's exit or by Python's."""
    try:
        found = command()
    except SystemExit as ended:
        found = ended.code
    return found if isinstance(found, int) else 0


def _ending(error: BaseException) -> Ending:
    if was_interrupted() or isinstance(error, KeyboardInterrupt | EOFError | click.Abort):
        return endings.INTERRUPTION
    if not isinstance(error, S3ManifestError | OSError):
        from s3_manifest.manifest.model import UnreadableManifest  # noqa: PLC0415  # it imports pydantic
        from s3_manifest_cli.client.access.explanations import explain_manifest_error, explain_store_error  # noqa: PLC0415  # it imports botocore

        if isinstance(error, StoreError):
            error = explain_store_error(error)
        elif isinstance(error, UnreadableManifest):
            error = explain_manifest_error(error)
    if isinstance(error, S3ManifestError):
        code = endings.USAGE if isinstance(error, Invalid) else endings.FAILED
        return Ending(code, error.code, str(error), error.remedy)
    if isinstance(error, OSError):
        return endings.of_os_error(error)
    return endings.of_unexpected(error)


@click.command(cls=_Commands)
@click.version_option(package_name="s3-manifest")
def main() -> None:
    """Know exactly what is in S3, and keep local copies of it.

    COLLECTION is KIND/ID, such as style/16 or actor/42, or s3://BUCKET/PREFIX/.

    \b
    Exit codes:
      0    in sync, or done
      1    differences
      2    wrong usage
      3    something could not be read, written or reached
      130  interrupted

    With --json every command prints one JSON document, of a failure too: {"error": ..., "code": ..., "remedy": ...,
    "exit_code": ...}. With S3_MANIFEST_DEBUG=1 errors come with a traceback.
    """  # click's mark for a paragraph that is not to be filled
