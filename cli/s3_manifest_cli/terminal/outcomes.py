"""Which ``Failure`` an error is."""

import click

from s3_manifest.storage.store import StoreError
from s3_manifest_cli.errors import Invalid, S3ManifestError
from s3_manifest_cli.terminal import failures
from s3_manifest_cli.terminal.failures import Failure


def failure_of(error: BaseException) -> Failure:
    """The failure that reports this error."""
    if isinstance(error, click.UsageError):
        return Failure(failures.USAGE, "usage", error.format_message())
    if isinstance(error, click.ClickException):
        return Failure(failures.FAILED, "failed", error.format_message())
    if isinstance(error, KeyboardInterrupt | EOFError | click.Abort):
        return failures.INTERRUPTION
    if not isinstance(error, S3ManifestError | OSError):
        from s3_manifest.manifest.model import UnreadableManifest  # noqa: PLC0415  # it imports pydantic
        from s3_manifest_cli.client.access.explanations import explain_error  # noqa: PLC0415  # it imports botocore

        if isinstance(error, StoreError | UnreadableManifest):
            error = explain_error(error)
    if isinstance(error, S3ManifestError):
        code = failures.USAGE if isinstance(error, Invalid) else failures.FAILED
        return Failure(code, error.code, str(error), error.remedy)
    if isinstance(error, OSError):
        return failures.of_os_error(error)
    return failures.of_unexpected(error)
