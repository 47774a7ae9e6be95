"""``s3-manifest doctor``: examines a stack or a bucket, and prints the findings."""

import os
import sys
from dataclasses import replace
from functools import partial

import click
from botocore.exceptions import BotoCoreError

from s3_manifest.manifest.collections import Collections
from s3_manifest.storage.aws_errors import parse_fault
from s3_manifest_cli.client import doctor as client
from s3_manifest_cli.client.access.aws_session import session_of
from s3_manifest_cli.client.access.explanations import unavailable
from s3_manifest_cli.client.doctor import DoctorOptions, Examination, Finding, Severity
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
@click.option("--stack", help="The CloudFormation stack.  [env: S3_MANIFEST_STACK]")
@click.option(
    "--bucket", help="Examine only this bucket and its S3 server, without a stack.  [env: S3_MANIFEST_BUCKET]"
)
@click.option("--collections", "kinds", help="With --bucket: the kinds of collections.  [env: S3_MANIFEST_COLLECTIONS]")
@click.option("--manifest-root", help="With --bucket: the prefix of its manifests.  [env: S3_MANIFEST_ROOT]")
@click.option("--fix", is_flag=True, help="Repair the buckets' notifications; those of others are kept.")
@click.option("--no-round-trip", is_flag=True, help="Upload no test object into a collection.")
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="COLLECTION",
    help="Compare only this collection with S3 (repeatable).",
)
@click.option("--endpoint-url", envvar="AWS_ENDPOINT_URL", help="Another server than AWS.  [env: AWS_ENDPOINT_URL]")
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
    """Find what is wrong with a stack or a bucket, and how to fix it.

    Checks the notifications, lifecycle rules and policy of each bucket, the queues, functions, roles and alarms, and
    compares manifests with S3. Uploads two small test objects into each bucket, one below the manifest root and one
    into a collection named __doctor-…, and removes both.

    With --bucket, checks only the bucket, its manifests, and whether its S3 server honours conditional requests, on
    which manifests depend. Use this for a self-hosted server.

    \b
    Examples:
      s3-manifest doctor --stack s3-manifest
      s3-manifest doctor --bucket images --endpoint-url http://minio:9000

    \b
    Exit codes:
      0    nothing is wrong
      1    there are warnings or errors
      2    wrong usage
      3    no warnings or errors, but some checks could not be made
      130  interrupted
    """
    target = _target(stack, bucket, kinds, manifest_root, fix=fix)
    try:
        options = DoctorOptions(
            fix=fix,
            round_trip=not no_round_trip,
            collections=collections,
            session=session_of(profile, region),
            endpoint=endpoint_url,
            progress=partial(_print_progress, printer),
        )
        if isinstance(target, str):
            examination = client.doctor(target, options)
        else:
            options = replace(options, endpoint=endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3"))
            examination = client.doctor_bucket(*target, options)
    except BotoCoreError as error:  # no region
        raise unavailable(parse_fault(error), "not examined") from error
    is_ambiguous = len({finding.bucket for finding in examination.findings} - {""}) > 1
    for finding in examination.fixed:
        printer.write(_line("fixed", finding, is_ambiguous=is_ambiguous), "green")
    for finding in examination.findings:
        word, colour = _MARKS[finding.severity]
        printer.write(_line(word, finding, is_ambiguous=is_ambiguous), colour)
        if finding.mend:
            printer.write(f"{'':{_WIDTH}} fix: {finding.mend}")
    printer.write(_summary(examination))
    printer.document(examination)
    sys.exit(examination.exit_code)


def _target(
    stack: str | None, bucket: str | None, kinds: str | None, root: str | None, *, fix: bool
) -> str | tuple[str, Collections]:
    """Returns the stack's name, or the bucket and its kinds. Options take precedence over the environment."""
    if stack and bucket:
        raise click.UsageError("Pass either --stack or --bucket: --stack examines the stack's buckets too.")
    environment = os.environ.get
    if not bucket:
        stack = stack or environment("S3_MANIFEST_STACK")
        bucket = None if stack else environment("S3_MANIFEST_BUCKET")
    if stack:
        if kinds or root:
            raise click.UsageError("--collections and --manifest-root require --bucket; a stack has its own settings.")
        return stack
    if not bucket:
        raise click.UsageError(
            "doctor needs the CloudFormation stack: --stack NAME. List yours with 'aws cloudformation list-stacks'."
            " For a bucket without a stack, such as on a self-hosted S3 server, pass --bucket NAME."
        )
    if fix:
        raise click.UsageError("--fix needs the stack that receives the notifications: pass --stack NAME.")
    return bucket, configured_collections(kinds, root, bucket)


def _print_progress(printer: Printer, step: str) -> None:
    if not (printer.quiet or printer.as_json):
        click.echo(f"{step} …", err=True)


def _line(word: str, finding: Finding, *, is_ambiguous: bool) -> str:
    """The line of a finding. ``is_ambiguous``: several buckets were examined, so it names its own."""
    bucket = f"{finding.bucket}: " if is_ambiguous and finding.bucket not in {"", finding.subject} else ""
    return f"{word:{_WIDTH}} {finding.check}: {bucket}{finding.subject}: {finding.found}"


def _summary(examination: Examination) -> str:
    counts = {severity: len(examination.with_severity(severity)) for severity in _MARKS}
    plural = ("notice", "warning", "error")
    words = (
        f"{count} {_MARKS[severity][0].lower()}{'s' if count > 1 and severity in plural else ''}"
        for severity, count in counts.items()
        if count
    )
    summary = ", ".join(words)
    return f"{examination.stack or f's3://{examination.bucket}'}: {summary}."
