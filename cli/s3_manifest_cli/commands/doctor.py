"""``s3-manifest doctor``: the command line of an examination."""

import sys
from collections.abc import Iterator

import boto3
import click
from botocore.exceptions import BotoCoreError, ProfileNotFound

from s3_manifest_cli.client import doctor as client
from s3_manifest_cli.client.doctor import Examination, Finding, Severity
from s3_manifest_cli.errors import Invalid, NotFound, S3ManifestError

_MARKS: dict[Severity, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "notice": ("notice", "cyan"),
    "warning": ("warning", "yellow"),
    "error": ("ERROR", "red"),
    "not_checked": ("not checked", "magenta"),
}


@click.command()
@click.option("--stack", required=True, help="The deployed CloudFormation stack.")
@click.option(
    "--fix", is_flag=True, help="Merge our part into the bucket's notification configuration, if it is wrong."
)
@click.option("--no-round-trip", is_flag=True, help="Put no object into a collection to see it in its manifest.")
@click.option(
    "--collection", "collections", multiple=True, help="Compare this one, KIND/ID, with S3, and no other; repeatable."
)
@click.option("--json", "is_json", is_flag=True, help="What was found, as one JSON document.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong.")
@click.option("--endpoint-url", envvar="AWS_ENDPOINT_URL", help="Where AWS's services answer, if not at AWS.")
@click.option("--profile", envvar="AWS_PROFILE", help="The AWS profile.")
@click.option("--region", help="The stack's region, if it is not the profile's.")
def doctor(
    stack: str,
    fix: bool,
    no_round_trip: bool,
    collections: tuple[str, ...],
    is_json: bool,
    quiet: bool,
    endpoint_url: str | None,
    profile: str | None,
    region: str | None,
) -> None:
    """Examine a deployed stack: what is wrong with it, each finding with its mend.

    It reads the bucket's notifications, lifecycle rules and policy, the queues, functions, roles and
    alarms, and compares manifests with what is in S3. It writes a small object below the manifest root
    and one into a collection of its own, named __doctor-…, and removes both.

    Exit codes: 0 nothing is wrong; 1 there are warnings or errors; 2 wrong usage; 3 there are none, but
    something could not be checked.
    """
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        examined = client.doctor(
            stack,
            fix=fix,
            go_round=not no_round_trip,
            collections=collections,
            session=session,
            endpoint=endpoint_url,
            progress=lambda doing: None if quiet or is_json else click.echo(f"{doing} …", err=True),
        )
    except (Invalid, NotFound, ProfileNotFound) as error:
        raise click.UsageError(str(error)) from error
    except (S3ManifestError, BotoCoreError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(3)
    except KeyboardInterrupt:
        click.echo("Interrupted; what was written is removed.", err=True)
        sys.exit(130)
    if is_json:
        click.echo(examined.model_dump_json(indent=1))
    else:
        for line in _lines(examined, quiet=quiet):
            click.echo(line)
    sys.exit(examined.exit_code)


def _lines(examined: Examination, *, quiet: bool) -> Iterator[str]:
    for finding in examined.fixed:
        mark = click.style(f"{'fixed':11}", fg="green", bold=True)
        yield f"{mark} {_words(finding)}"
    for finding in examined.findings:
        if not quiet or finding.severity not in {"ok", "notice"}:
            yield from _told(finding)
    if not quiet:
        yield _summary(examined)


def _told(finding: Finding) -> Iterator[str]:
    word, colour = _MARKS[finding.severity]
    mark = click.style(f"{word:11}", fg=colour, bold=finding.severity != "ok")
    yield f"{mark} {_words(finding)}"
    if finding.mend:
        yield f"{'':11} mend: {_printable(finding.mend)}"


def _words(finding: Finding) -> str:
    return _printable(f"{finding.check}: {finding.subject}: {finding.found}")


def _printable(text: str) -> str:
    """Keys may hold what a terminal obeys."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _summary(examined: Examination) -> str:
    counts = {severity: len(examined.of(severity)) for severity in _MARKS}
    told = [f"{count} {_MARKS[severity][0].lower()}" for severity, count in counts.items() if count]
    return f"{examined.stack}: {', '.join(told)}."
