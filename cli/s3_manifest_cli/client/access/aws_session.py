"""The user's AWS session: its profile, region and credentials, each checked before anything else needs it."""

import boto3
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, NoCredentialsError, NoRegionError

from s3_manifest.storage.aws_faults import fault_of
from s3_manifest.storage.store import Fault
from s3_manifest_cli.client.access.explanations import unavailable
from s3_manifest_cli.errors import Invalid, Unavailable

_SEE_WHY = "Run 'aws sts get-caller-identity' with the same profile: it shows which step fails."


def session_of(profile: str | None, region: str | None) -> boto3.Session:
    """A session for that profile and region, or for what boto3 finds. Makes no request.

    Raises ``Invalid`` where there is no such profile, ``Unavailable`` where the region is set to nothing.
    """
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        found = session.region_name
    except BotoCoreError as error:
        raise Invalid(
            f"{error}.", remedy="List the profiles with 'aws configure list-profiles'.", code=type(error).__name__
        ) from error
    # An empty variable counts for botocore, which then asks a host named `s3..amazonaws.com`.
    if found is not None and not found.strip():
        raise unavailable(Fault(code=NoRegionError.__name__), "")
    return session


def credentials_of(session: boto3.Session) -> Credentials:
    """The session's credentials, which may run the profile's program or ask for a role. Raises ``Unavailable``."""
    try:
        found: Credentials | None = session.get_credentials()
        if found is not None:
            found.get_frozen_credentials()
    except BotoCoreError as error:
        raise unavailable(fault_of(error), "") from error
    except RuntimeError as error:
        raise unavailable(fault_of(error), "no AWS credentials") from error
    except (OSError, ValueError) as error:
        # What botocore lets through of a `credential_process` that is not there, or prints no JSON.
        raise Unavailable(f"The AWS credentials could not be fetched: {error}.", remedy=_SEE_WHY) from error
    if found is None:
        raise unavailable(Fault(code=NoCredentialsError.__name__), "")
    return found
