"""The functions as S3 sees them: which requests they make, and what a policy's conditions may ask of these. Pure."""

from collections.abc import Iterator, Mapping
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

from s3_manifest_cli.client.doctor.checks.policies import Request, Value
from s3_manifest_cli.client.doctor.deployed import Deployed

_ANOTHER = "(another)"
"""A value that no policy names."""

ENCRYPTION = "s3:x-amz-server-side-encryption"

_NEVER_SENT = (
    ENCRYPTION,
    f"{ENCRYPTION}-aws-kms-key-id",
    f"{ENCRYPTION}-customer-algorithm",
    "s3:x-amz-acl",
    "s3:x-amz-copy-source",
    "s3:x-amz-metadata-directive",
    "s3:x-amz-website-redirect-location",
    *(f"s3:x-amz-grant-{right}" for right in ("read", "write", "read-acp", "write-acp", "full-control")),
    *(f"s3:object-lock-{what}" for what in ("mode", "retain-until-date", "legal-hold", "remaining-retention-days")),
    "s3:requestobjecttagkeys",
    "s3:dataaccesspointarn",
    "s3:dataaccesspointaccount",
    "s3:accesspointnetworkorigin",
    "s3:versionid",
    "aws:referer",
    "aws:username",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:principalservicename",
    "aws:federatedprovider",
)
"""Condition keys that requests of a function's role lack."""


_OF_SENDERS = {
    "s3:authtype",
    "s3:signatureversion",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:vpcsourceip",
    "aws:referer",
}
"""Condition keys that depend on who sends a request, not on who signed it."""


class Facts(NamedTuple):
    """What is known of a stack beyond its template: which functions run in a VPC, and the account's organization."""

    in_vpc: Mapping[str, bool] = MappingProxyType({})
    organization: str | None = None


NOTHING_KNOWN = Facts()


def objects(deployed: Deployed, resource: str) -> list[str]:
    """All objects that are of the kind of this one, as patterns: manifests, or data; of a bucket itself, that."""
    if resource == deployed.bucket_arn:
        return [resource]
    prefixes = [pattern.prefix("*") for pattern in deployed.kinds.patterns]
    if resource.startswith(f"{deployed.bucket_arn}/{deployed.root}"):
        names = ("manifest.json", "pages/*.json", "changes/*.json", "checkpoints/*.json", "sidecars/*")
        return [f"{deployed.bucket_arn}/{deployed.root}{prefix}{name}" for prefix in prefixes for name in names]
    return [f"{deployed.bucket_arn}/{prefix}*" for prefix in prefixes]


def requests(deployed: Deployed, function: str, action: str, resource: str, facts: Facts) -> Iterator[Request]:
    """The requests that a function makes by this action on such a resource; a policy may tell them apart."""
    role, name = deployed.role_arn(function), deployed.resources[function]
    account = f"arn:{deployed.partition}:iam::{deployed.account}:root"
    session = f"arn:{deployed.partition}:sts::{deployed.account}:assumed-role/{role.rpartition('/')[2]}/{name}"
    principals = frozenset({role, deployed.account, account, session})
    context = _context(deployed, role, name) | _network(facts.in_vpc.get(function))
    if facts.organization:
        context["aws:principalorgid"] = facts.organization
    contexts = [context]
    if function == "EditFunction" and action == "s3:PutObject":
        # It signs URLs too, for others to send.
        contexts.append({key: value for key, value in context.items() if key not in _OF_SENDERS})
    for target, known, more in product(objects(deployed, resource), contexts, _variants(deployed, action)):
        yield Request(principals, action, target, known | more)


def _context(deployed: Deployed, role: str, function: str) -> dict[str, Value]:
    arn = f"arn:{deployed.partition}:lambda:{deployed.region}:{deployed.account}:function:{function}"
    return dict.fromkeys(_NEVER_SENT) | {
        "aws:securetransport": "true",
        "aws:principalarn": role,
        "aws:principalaccount": deployed.account,
        "aws:principaltype": "AssumedRole",
        "aws:principalisawsservice": "false",
        "aws:viaawsservice": "false",
        "aws:multifactorauthpresent": (None, "false"),
        "aws:requestedregion": deployed.region,
        "aws:resourceaccount": deployed.account,
        "s3:resourceaccount": deployed.account,
        "lambda:sourcefunctionarn": arn,
        # S3 takes no older: https://aws.amazon.com/blogs/security/tls-1-2-required-for-aws-endpoints/
        "s3:tlsversion": ("1.2", "1.3"),
        "s3:authtype": "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        "s3:x-amz-storage-class": (None, "STANDARD"),
    }


def _network(in_vpc: bool | None) -> dict[str, Value]:
    """Outside of a VPC no request comes through an endpoint of the user's, though it may through one of Lambda's."""
    if in_vpc is None or in_vpc:
        return {}
    return dict.fromkeys(("aws:sourcevpc", "aws:sourcevpce", "aws:vpcsourceip"), (None, _ANOTHER))


def _variants(deployed: Deployed, action: str) -> list[dict[str, Value]]:
    """The headers by which requests of one action differ."""
    if action == "s3:PutObject":
        # Pages and change records are written without a condition, heads and sidecars never without one.
        conditions: tuple[tuple[str | None, str | None], ...] = ((None, None), ("*", None), (None, _ANOTHER))
        keys = ("s3:if-none-match", "s3:if-match", "s3:objectcreationoperation")
        return [dict(zip(keys, (*one, "true"), strict=True)) for one in conditions]
    if action == "s3:ListBucket":
        prefixes = [pattern.prefix("doctor") for pattern in deployed.kinds.patterns]
        return [{"s3:prefix": one} for one in (*prefixes, *(f"{deployed.root}{prefix}" for prefix in prefixes))]
    return [{}]
