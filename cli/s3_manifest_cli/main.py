"""The ``s3-manifest`` command: its subcommands, each imported when it is asked for, and its exit codes."""

import errno
import gc
import importlib
from typing import Any, NamedTuple

import click

from s3_manifest.store import StoreError
from s3_manifest_cli.commands.telling import FAILED, INTERRUPTED
from s3_manifest_cli.errors import Invalid, S3ManifestError


class _Lazy(NamedTuple):
    """Where a command is, and what ``--help`` says of it without importing it: what its docstring begins with."""

    place: str
    summary: str


_ALLOCATIONS = 300_000
"""So many objects more, and garbage is looked for."""

_COMMANDS = {
    "ls": _Lazy(
        "commands.ls:ls",
        "List the collections that have a manifest, with their totals; with KIND those of one kind.",
    ),
    "info": _Lazy("commands.info:info", "Tell what the manifest of COLLECTION says of it, apart from the files."),
    "history": _Lazy(
        "commands.history:history_command",
        "Tell what each revision of COLLECTION's manifest changed, the newest last.",
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


class _Failure(click.ClickException):
    exit_code = FAILED


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

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # click's signature
        try:
            return super().invoke(ctx)
        except Invalid as error:
            raise click.UsageError(str(error)) from error
        except (S3ManifestError, StoreError) as error:
            raise _Failure(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read the output has ended, which click knows
                raise
            raise _Failure(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
        except KeyboardInterrupt:
            click.echo("Interrupted; a repeat goes on from here.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


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
    """  # click's mark for a paragraph that is not to be filled
