"""The user's AWS session: checks profile, region and credentials before they are needed."""

import boto3
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, NoCredentialsError, NoRegionError

from s3_manifest.storage.aws_errors import parse_fault
from s3_manifest.storage.store import Fault
from s3_manifest_cli.client.access.explanations import explain, unavailable
from s3_manifest_cli.errors import Invalid, Unavailable


def session_of(profile: str | None, region: str | None) -> boto3.Session:
    """A session for that profile and region, or for boto3's defaults. Makes no request.

    Raises ``Invalid`` where there is no such profile, ``Unavailable`` where the region is empty.
    """
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        name = session.region_name
    except BotoCoreError as error:
        raise Invalid(
            f"{error}.", remedy="List the profiles with 'aws configure list-profiles'.", code=type(error).__name__
        ) from error
    # botocore accepts an empty variable, and then requests a host named `s3..amazonaws.com`.
    if name is not None and not name.strip():
        raise unavailable(Fault(code=NoRegionError.__name__), "")
    return session


def credentials_of(session: boto3.Session) -> Credentials:
    """The session's credentials; may run the profile's program or assume a role. Raises ``Unavailable``."""
    try:
        credentials: Credentials | None = session.get_credentials()
        if credentials is not None:
            credentials.get_frozen_credentials()
    except (BotoCoreError, RuntimeError) as error:
        raise unavailable(parse_fault(error), "no AWS credentials") from error
    except (OSError, ValueError) as error:
        # botocore lets errors of a `credential_process` through: it does not exist, or prints no JSON.
        remedy = explain(Fault(code="CredentialRetrievalError")).remedy
        raise Unavailable(f"The AWS credentials could not be fetched: {error}.", remedy=remedy) from error
    if credentials is None:
        raise unavailable(Fault(code=NoCredentialsError.__name__), "")
    return credentials
