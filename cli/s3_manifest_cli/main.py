"""The ``s3-manifest`` command: its subcommands, each imported when it is asked for, and its exit codes."""

import errno
import importlib
from typing import Any

import click

from s3_manifest.store import StoreError
from s3_manifest_cli.errors import Invalid, S3ManifestError

DIFFERENCES, USAGE, FAILED, INTERRUPTED = 1, 2, 3, 130
"""Exit codes; 0 is: all is in sync, or done."""

_COMMANDS = {
    "ls": "s3_manifest_cli.commands.ls:ls",
    "info": "s3_manifest_cli.commands.info:info",
    "history": "s3_manifest_cli.commands.history:history_command",
    "diff": "s3_manifest_cli.commands.diff:diff_command",
    "status": "s3_manifest_cli.commands.status:status_command",
    "verify": "s3_manifest_cli.commands.verify:verify_command",
    "pull": "s3_manifest_cli.commands.copies:pull",
    "push": "s3_manifest_cli.commands.copies:push",
    "sync": "s3_manifest_cli.commands.copies:sync",
    "restore": "s3_manifest_cli.commands.restore:restore",
    "rescan": "s3_manifest_cli.commands.rescan:rescan_command",
    "export": "s3_manifest_cli.commands.export:export",
    "doctor": "s3_manifest_cli.commands.doctor:doctor",
    "migrate": "s3_manifest_cli.migration.command:migrate",
    "local": "s3_manifest_cli.commands.local:local",
}

_SUMMARIES = {
    "ls": "List the collections that have a manifest, with their totals; with KIND those of one kind.",
    "status": "Compare the folder LOCAL with the manifest of COLLECTION, by MD5, and list nothing in S3.",
    "pull": "Make the folder LOCAL what the manifest of COLLECTION says.",
    "push": "Make COLLECTION what the folder LOCAL has.",
    "sync": "Make the folder LOCAL and COLLECTION the same, both ways.",
    "restore": "Bring back what COLLECTION was: to the folder LOCAL, or with --in-s3 in S3.",
    "export": "Write the manifest of COLLECTION as FORMAT, for other tools.",
    "doctor": "Examine a deployed stack: what is wrong with it, each finding with its mend.",
    "migrate": "Take the legacy manifests and images below ROOT over into S3.",
    "local": "Run the whole stack on this machine, with no AWS account.",
}
"""What ``--help`` says of each without importing it, which would take a second: the beginning of its docstring."""


class _Failure(click.ClickException):
    exit_code = FAILED


class _Commands(click.Group):
    """Imports a subcommand when it is needed: what the others need would double the time that it takes to start."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        width = formatter.width - 6 - max(map(len, _COMMANDS))
        rows = [(name, click.Command(name, help=_SUMMARIES[name]).get_short_help_str(width)) for name in _COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

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
