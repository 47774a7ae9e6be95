"""``s3-manifest doctor``: the command line of an examination."""

import sys

import boto3
import click
from botocore.exceptions import BotoCoreError

from s3_manifest_cli.client import doctor as client
from s3_manifest_cli.client.doctor import Examination, Finding, Severity
from s3_manifest_cli.commands.options import telling
from s3_manifest_cli.commands.telling import Teller
from s3_manifest_cli.errors import Invalid

_MARKS: dict[Severity, tuple[str, str | None]] = {
    "ok": ("ok", "green"),
    "notice": ("notice", "cyan"),
    "warning": ("warning", "yellow"),
    "error": ("ERROR", "red"),
    "not_checked": ("not checked", "magenta"),
}
_WIDTH = max(len(word) for word, _ in _MARKS.values())


@click.command()
@click.option("--stack", required=True, envvar="S3_MANIFEST_STACK", help="The stack's name.  [env: S3_MANIFEST_STACK]")
@click.option(
    "--fix", is_flag=True, help="Merge our part into the bucket's notification configuration, if it is wrong."
)
@click.option("--no-round-trip", is_flag=True, help="Put no object into a collection to see it in its manifest.")
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="COLLECTION",
    help="Compare this one with S3, and no other; may be repeated.",
)
@click.option(
    "--endpoint-url",
    envvar="AWS_ENDPOINT_URL",
    help="Where AWS answers, if it is another server.  [env: AWS_ENDPOINT_URL]",
)
@click.option("--profile", help="The AWS profile.  [env: AWS_PROFILE]")
@click.option("--region", help="The AWS region.  [env: AWS_DEFAULT_REGION]")
@telling
def doctor(
    stack: str,
    fix: bool,
    no_round_trip: bool,
    collections: tuple[str, ...],
    endpoint_url: str | None,
    profile: str | None,
    region: str | None,
    teller: Teller,
) -> None:
    """Examine a deployed stack: what is wrong with it, each finding with its mend.

    It looks at the bucket's notifications, lifecycle rules and policy, at queues, functions, roles and alarms,
    and compares manifests with what is in S3. It writes a small object below the manifest root, and one into a
    collection of its own, named __doctor-…, and removes both.

    \b
    Exit codes:
      0    nothing is wrong
      1    there are warnings or errors
      2    wrong usage
      3    there are none, but something could not be checked
      130  interrupted
    """  # click's mark for a paragraph that is not to be filled
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        examined = client.doctor(
            stack,
            fix=fix,
            go_round=not no_round_trip,
            collections=collections,
            session=session,
            endpoint=endpoint_url,
            progress=lambda doing: _progress(teller, doing),
        )
    except BotoCoreError as error:  # no such profile, no region
        raise Invalid(str(error)) from error
    for finding in examined.fixed:
        teller.say(_line("fixed", finding), "green")
    for finding in examined.findings:
        word, colour = _MARKS[finding.severity]
        teller.say(_line(word, finding), colour)
        if finding.mend:
            teller.say(f"{'':{_WIDTH}} mend: {finding.mend}")
    teller.say(_summary(examined))
    teller.document(examined)
    sys.exit(examined.exit_code)


def _progress(teller: Teller, doing: str) -> None:
    if not (teller.quiet or teller.as_json):
        click.echo(f"{doing} …", err=True)


def _line(word: str, finding: Finding) -> str:
    return f"{word:{_WIDTH}} {finding.check}: {finding.subject}: {finding.found}"


def _summary(examined: Examination) -> str:
    counts = {severity: len(examined.of(severity)) for severity in _MARKS}
    told = [f"{count} {_MARKS[severity][0].lower()}" for severity, count in counts.items() if count]
    return f"{examined.stack}: {', '.join(told)}."
