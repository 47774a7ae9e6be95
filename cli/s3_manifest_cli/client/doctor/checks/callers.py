"""The requests that the functions send to S3, with the condition keys that a bucket policy may test."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import NamedTuple

from s3_manifest.storage.subscription_record import record_key
from s3_manifest_cli.client.doctor.checks.policies import Request, Value
from s3_manifest_cli.client.doctor.stack import Stack

_OTHER = "(other)"
"""A value that no policy contains."""

ENCRYPTION = "s3:x-amz-server-side-encryption"

_NEVER_SENT = (
    *(f"{ENCRYPTION}{part}" for part in ("", "-aws-kms-key-id", "-customer-algorithm")),
    *(f"s3:x-amz-{header}" for header in ("acl", "copy-source", "metadata-directive", "website-redirect-location")),
    *(f"s3:x-amz-grant-{right}" for right in ("read", "write", "read-acp", "write-acp", "full-control")),
    *(f"s3:object-lock-{what}" for what in ("mode", "retain-until-date", "legal-hold", "remaining-retention-days")),
    *(f"s3:dataaccesspoint{part}" for part in ("arn", "account")),
    "s3:accesspointnetworkorigin",
    "s3:requestobjecttagkeys",
    "s3:versionid",
    *(f"aws:calledvia{which}" for which in ("", "first", "last")),
    *(f"aws:source{part}" for part in ("arn", "account")),
    *(f"aws:{name}" for name in ("referer", "username", "federatedprovider", "principalservicename")),
)
"""Condition keys that requests of a function's role lack."""

_SENDER_KEYS = {
    "s3:authtype",
    "s3:signatureversion",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:vpcsourceip",
    "aws:referer",
}
"""Condition keys that depend on the sender of a request, not on its signer."""


class Surroundings(NamedTuple):
    """What the template does not contain: which functions run in a VPC, and the id of the account's organization."""

    in_vpc: Mapping[str, bool]
    organization: str | None


def objects(stack: Stack, resource: str) -> list[str]:
    """Returns patterns for all objects of a resource's kind (manifests or data); a bucket and its record unchanged."""
    if resource in {stack.bucket_arn, f"{stack.bucket_arn}/{record_key(stack.root)}"}:
        return [resource]
    prefixes = [pattern.prefix("*") for pattern in stack.patterns]
    if resource.startswith(f"{stack.bucket_arn}/{stack.root}"):
        names = ("manifest.json", "pages/*.json", "changes/*.json", "checkpoints/*.json", "sidecars/*")
        return [f"{stack.bucket_arn}/{stack.root}{prefix}{name}" for prefix in prefixes for name in names]
    return [f"{stack.bucket_arn}/{prefix}*" for prefix in prefixes]


def requests(stack: Stack, function: str, action: str, resource: str, surroundings: Surroundings) -> Iterator[Request]:
    """Yields the requests with an action on such a resource that a policy can tell apart."""
    role, name = stack.role_arn(function), stack.resources[function]
    account = {stack.account, f"arn:{stack.partition}:iam::{stack.account}:root"}
    session = f"arn:{stack.partition}:sts::{stack.account}:assumed-role/{role.rpartition('/')[2]}/{name}"
    principals = {"role": {role}, "account": account, "session": {session}}
    context = _context(stack, role, name)
    if surroundings.in_vpc.get(function) is False:
        # Outside of a VPC, requests never use an endpoint of the account, but may use one of Lambda's.
        context |= dict.fromkeys(("aws:sourcevpc", "aws:sourcevpce", "aws:vpcsourceip"), (None, _OTHER))
    if surroundings.organization:
        context["aws:principalorgid"] = surroundings.organization
    contexts = [context]
    if function == "EditFunction" and action == "s3:PutObject":
        # Clients send its presigned URLs.
        contexts.append({key: value for key, value in context.items() if key not in _SENDER_KEYS})
    for target, base, headers in product(objects(stack, resource), contexts, _variants(stack, action)):
        yield Request(principals, action, target, base | headers)


def _context(stack: Stack, role: str, function: str) -> dict[str, Value]:
    return dict.fromkeys(_NEVER_SENT) | {
        "aws:securetransport": "true",
        "aws:principalarn": role,
        "aws:principalaccount": stack.account,
        "aws:principaltype": "AssumedRole",
        "aws:principalisawsservice": "false",
        "aws:viaawsservice": "false",
        "aws:multifactorauthpresent": (None, "false"),
        "aws:requestedregion": stack.region,
        "aws:resourceaccount": stack.account,
        "s3:resourceaccount": stack.account,
        "lambda:sourcefunctionarn": stack.arn("lambda", f"function:{function}"),
        # S3 rejects older versions: https://aws.amazon.com/blogs/security/tls-1-2-required-for-aws-endpoints/
        "s3:tlsversion": ("1.2", "1.3"),
        "s3:authtype": "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        "s3:x-amz-storage-class": (None, "STANDARD"),
    }


def _variants(stack: Stack, action: str) -> list[dict[str, Value]]:
    """Returns the headers that differ between the requests of an action."""
    if action == "s3:PutObject":
        # Pages and change records are written without a condition, heads and sidecars with one.
        plain: dict[str, Value] = {"s3:if-none-match": None, "s3:if-match": None, "s3:objectcreationoperation": "true"}
        return [plain, plain | {"s3:if-none-match": "*"}, plain | {"s3:if-match": _OTHER}]
    if action == "s3:ListBucket":
        prefixes = [pattern.prefix("doctor") for pattern in stack.patterns]
        return [{"s3:prefix": root + prefix} for root in ("", stack.root) for prefix in prefixes]
    return [{}]
