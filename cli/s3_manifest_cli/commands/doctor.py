"""``s3-manifest doctor``: the command line of an examination."""

import os
import sys
from functools import partial
from typing import NamedTuple

import click
from botocore.exceptions import BotoCoreError

from s3_manifest.manifest.collections import Collections
from s3_manifest.storage.aws_faults import fault_of
from s3_manifest_cli.client import doctor as client
from s3_manifest_cli.client.access.aws_session import session_of
from s3_manifest_cli.client.access.explanations import unavailable
from s3_manifest_cli.client.doctor import Examination, Finding, Severity
from s3_manifest_cli.client.manifests.deployment import configured_collections
from s3_manifest_cli.terminal.options import output_options
from s3_manifest_cli.terminal.output import Printer

_MARKS: dict[Severity, tuple[str, str | None]] = {
    "ok": ("ok", "green"),
    "notice": ("notice", "cyan"),
    "warning": ("warning", "yellow"),
    "error": ("ERROR", "red"),
    "not_checked": ("not checked", "magenta"),
}
_WIDTH = max(len(word) for word, _ in _MARKS.values())


@click.command()
@click.option("--stack", help="The stack's name.  [env: S3_MANIFEST_STACK]")
@click.option(
    "--bucket",
    help="Instead of a stack: examine this bucket and its S3 server alone.  [env: S3_MANIFEST_BUCKET]",
)
@click.option("--collections", "kinds", help="With --bucket: the kinds of collections.  [env: S3_MANIFEST_COLLECTIONS]")
@click.option("--manifest-root", help="With --bucket: where its manifests are.  [env: S3_MANIFEST_ROOT]")
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
@output_options
def doctor(
    stack: str | None,
    bucket: str | None,
    kinds: str | None,
    manifest_root: str | None,
    fix: bool,
    no_round_trip: bool,
    collections: tuple[str, ...],
    endpoint_url: str | None,
    profile: str | None,
    region: str | None,
    printer: Printer,
) -> None:
    """Examine a deployed stack, or a bucket: what is wrong with it, each finding with its mend.

    It looks at the bucket's notifications, lifecycle rules and policy, at queues, functions, roles and alarms,
    and compares manifests with what is in S3. It writes a small object below the manifest root, and one into a
    collection of its own, named __doctor-…, and removes both.

    With --bucket, which needs no stack, it looks at that bucket and its manifests, and at whether its S3 server keeps
    the conditions that manifests rest on. That is the question to ask of a self-hosted server.

    \b
    Exit codes:
      0    nothing is wrong
      1    there are warnings or errors
      2    wrong usage
      3    there are none, but something could not be checked
      130  interrupted
    """  # click's mark for a paragraph that is not to be filled
    place = _named(stack, bucket, kinds, manifest_root, fix=fix)
    try:
        session = session_of(profile, region)
        progress = partial(_progress, printer)
        if isinstance(place, str):
            examined = client.doctor(
                place,
                fix=fix,
                go_round=not no_round_trip,
                collections=collections,
                session=session,
                endpoint=endpoint_url,
                progress=progress,
            )
        else:
            endpoint = endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3")
            examined = client.doctor_bucket(
                place.name,
                kinds=place.kinds,
                collections=collections,
                session=session,
                endpoint=endpoint,
                progress=progress,
            )
    except BotoCoreError as error:  # no region
        raise unavailable(fault_of(error), "not examined") from error
    for finding in examined.fixed:
        printer.write(_line("fixed", finding), "green")
    for finding in examined.findings:
        word, colour = _MARKS[finding.severity]
        printer.write(_line(word, finding), colour)
        if finding.mend:
            printer.write(f"{'':{_WIDTH}} mend: {finding.mend}")
    printer.write(_summary(examined))
    printer.document(examined)
    sys.exit(examined.exit_code)


class _Bucket(NamedTuple):
    """A bucket that is examined without a stack."""

    name: str
    kinds: Collections


def _named(stack: str | None, bucket: str | None, kinds: str | None, root: str | None, *, fix: bool) -> str | _Bucket:
    """The stack's name, or the bucket. What is an option counts for more than what the environment has."""
    if stack and bucket:
        raise click.UsageError("name a stack or a bucket: --stack examines its bucket too")
    given = os.environ.get
    if not bucket:
        stack = stack or given("S3_MANIFEST_STACK")
        bucket = None if stack else given("S3_MANIFEST_BUCKET")
    if stack:
        if kinds or root:
            raise click.UsageError("--collections and --manifest-root go with --bucket: of a stack they are known")
        return stack
    if not bucket:
        raise click.UsageError(
            "doctor needs the CloudFormation stack: --stack NAME. List yours with 'aws cloudformation list-stacks'."
            " For a bucket without a stack, as on a self-hosted S3 server, it needs --bucket NAME."
        )
    if fix:
        raise click.UsageError("--fix needs the stack whose queue is to be notified: --stack NAME")
    return _Bucket(bucket, configured_collections(kinds, root))


def _progress(printer: Printer, doing: str) -> None:
    if not (printer.quiet or printer.as_json):
        click.echo(f"{doing} …", err=True)


def _line(word: str, finding: Finding) -> str:
    return f"{word:{_WIDTH}} {finding.check}: {finding.subject}: {finding.found}"


def _summary(examined: Examination) -> str:
    counts = {severity: len(examined.of(severity)) for severity in _MARKS}
    told = [f"{count} {_MARKS[severity][0].lower()}" for severity, count in counts.items() if count]
    return f"{examined.stack or f's3://{examined.bucket}'}: {', '.join(told)}."
