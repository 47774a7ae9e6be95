"""The arguments and options that commands share."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import s3_manifest_cli
from s3_manifest_cli.client.bulk.patterns import EVERY_COLLECTION, ID, is_pattern, parse_names
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.errors import Invalid
from s3_manifest_cli.terminal.output import Printer

if TYPE_CHECKING:  # importing them takes longer than `status` takes to start reading the folder
    from s3_manifest.manifest.collections import Collection
    from s3_manifest_cli.client.manifests.deployment import Deployment

Function = Callable[..., Any]

FOLDER = click.Path(file_okay=False, path_type=Path)
"""A folder on this machine; it need not exist."""


class _Time(click.ParamType[str]):
    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from s3_manifest_cli.client.manifests.revision_spec import parse_time  # noqa: PLC0415  # few commands need it

        try:
            return parse_time(value)
        except ValueError:
            hint = "Use ISO 8601, such as 2026-11-21 or 2026-11-21T10:00:00Z."
            return self.fail(f"{value!r} is not a valid time. {hint}", param, ctx)


TIME = _Time()
"""A time in ISO 8601, converted to a ``Timestamp``."""


def option_group(name: str, build: Callable[..., Any], **options: Function) -> Callable[[Function], Function]:
    """Options that the command gets as one argument: ``build`` makes it from their values, by these names."""

    def decorate(command: Function) -> Function:
        @wraps(command)
        def grouped(**values: Any) -> Any:  # noqa: ANN401  # whatever the command returns
            own = {option: values.pop(option) for option in options}
            return command(**{name: build(**own)}, **values)

        return with_options(grouped, *options.values())

    return decorate


_DEPLOYMENT = {
    "bucket": "Read manifests from this S3 bucket.  [env: S3_MANIFEST_BUCKET]",
    "stack": "Take bucket and settings from this CloudFormation stack.  [env: S3_MANIFEST_STACK]",
    "api_url": "Read manifests over HTTP, from the stack's output ApiUrl.  [env: S3_MANIFEST_API_URL]",
    "sweep_queue_url": "Send rescans to the stack's output SweepQueueUrl.  [env: S3_MANIFEST_SWEEP_QUEUE_URL]",
    "collections": "Use these collections, as in the stack's parameter Collections.  [env: S3_MANIFEST_COLLECTIONS]",
    "manifest_root": "Use this root, as in the stack's parameter ManifestRoot.  [env: S3_MANIFEST_ROOT]",
    "endpoint_url": "Send AWS requests to this server.  [env: AWS_ENDPOINT_URL]",
    "profile": "Use this AWS profile.  [env: AWS_PROFILE]",
    "region": "Use this AWS region.  [env: AWS_DEFAULT_REGION]",
}

_deployment_options = option_group(
    "deployment",
    lambda **options: s3_manifest_cli.connect(**options),  # noqa: PLW0108  # loaded when it is called
    **{name: click.option(f"--{name.replace('_', '-')}", help=help_) for name, help_ in _DEPLOYMENT.items()},
)

output_options = option_group(
    "printer",
    Printer,
    as_json=click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document."),
    quiet=click.option("--quiet", "-q", is_flag=True, help="Print errors only."),
)

filter_options = option_group(
    "filters",
    Filter,
    include=click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Include only matching files (repeatable). Patterns follow .gitignore: '*.png' matches at any depth,"
        " 'sub/' a folder and all below it, '/a.png' only at the top; '*' does not match '/'.",
    ),
    exclude=click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Exclude matching files (repeatable). They are not deleted either.",
    ),
)


class Many(NamedTuple):
    """The options that select many collections, besides patterns in place of a name."""

    is_all: bool
    source: str | None

    @property
    def is_given(self) -> bool:
        """Whether these options take the place of COLLECTION."""
        return self.is_all or self.source is not None

    def arguments(self, name: str | None, local: Path | None) -> tuple[str | None, Path | None]:
        """COLLECTION and LOCAL; with these options a single argument is LOCAL. Raises ``UsageError``."""
        if not self.is_given:
            return name, local
        given = [value for value in (name, local) if value is not None]
        self._check(is_named=len(given) > 1)
        return None, Path(given[0]) if given else None

    def name(self, name: str | None) -> str:
        """COLLECTION, of a command without LOCAL; empty with these options. Raises ``UsageError``."""
        if self.is_given:
            self._check(is_named=name is not None)
            return ""
        if name is None:
            raise missing("COLLECTION")
        return name

    def _check(self, *, is_named: bool) -> None:
        if is_named or (self.is_all and self.source is not None):
            raise click.UsageError("COLLECTION, --all and --from exclude each other.")

    def are_selected(self, name: str | None, local: Path | None) -> bool:
        """Whether the command is about many collections: by these options, a pattern, or a path with ``{id}``."""
        return self.is_given or is_pattern(name or "") or ID in str(local or "")

    def names(self, name: str | None) -> list[str]:
        """The names and patterns. Raises ``Invalid`` for a list without one."""
        if self.is_all:
            return [EVERY_COLLECTION]
        if self.source is None:
            return [name or ""]
        with click.open_file(self.source, "rb") as file:
            body = file.read()
        source = "Standard input" if self.source == "-" else self.source
        try:
            names = parse_names(body.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise Invalid(f"{source} is not UTF-8.", remedy="Write one collection per line, in UTF-8.") from error
        if not names:
            raise Invalid(f"{source} names no collection.", remedy="Write one collection per line.")
        return names


def select_options(all_help: str) -> Callable[[Function], Function]:
    """``--all`` and ``--from``, passed as ``many``."""
    return option_group(
        "many",
        Many,
        is_all=click.option("--all", "is_all", is_flag=True, help=all_help),
        source=click.option(
            "--from",
            "source",
            type=click.Path(exists=True, dir_okay=False, allow_dash=True),
            metavar="FILE",
            help="Select the collections in this file ('-': stdin), one per line.",
        ),
    )


many_options = select_options("Select all collections that have a manifest.")


def common_options(command: Function) -> Function:
    """Options of every command that reads a deployment, passed to it as ``deployment`` and ``printer``."""
    return _deployment_options(output_options(command))


def revision_options(command: Function) -> Function:
    """``--revision`` and ``--at``, which exclude each other."""

    @wraps(command)
    def dated(*, revision: int | None, at: str | None, **options: Any) -> Any:  # noqa: ANN401  # whatever the command returns
        if revision is not None and at is not None:
            raise click.UsageError("Pass either --revision or --at, not both.")
        return command(revision=revision, at=at, **options)

    return with_options(
        dated,
        click.option("--revision", type=click.IntRange(1), help="Use this revision of the manifest."),
        click.option("--at", type=TIME, metavar="TIME", help="Use the manifest of this time (ISO 8601, default UTC)."),
    )


def with_options(command: Function, *options: Callable[[Function], Function]) -> Function:
    """The command with these options, listed by its help in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def parse_collection(deployment: "Deployment", name: str, local: Path | None, usage: str) -> "Collection":
    """The collection of that name. ``usage`` is the command, with ``{local}`` and ``{collection}``.

    Raises as ``Deployment.collection``, and suggests the right command if LOCAL and COLLECTION are swapped.
    """
    try:
        return deployment.collection(name)
    except Invalid as error:
        other = "" if local is None else local.as_posix()
        kind, slash, collection_id = other.partition("/")
        if slash and deployment.collections.lookup(kind, collection_id):
            command = usage.format(local=name, collection=other)
            raise Invalid(f"{name!r} is not a collection.", remedy=f"Did you mean 's3-manifest {command}'?") from error
        raise


def missing(*names: str, choices: Mapping[str, Iterable[str]] | None = None) -> click.UsageError:
    """The error of a command that lacks arguments; ``choices`` are the values of those that have few."""
    plural = "s" if len(names) > 1 else ""
    lists = (f" Choose {name} from {', '.join(values)}." for name, values in (choices or {}).items() if name in names)
    return click.UsageError(f"Missing argument{plural} {' and '.join(names)}.{''.join(lists)}")
