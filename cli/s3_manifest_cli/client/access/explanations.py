"""What to do about a refusal, by its error code: the same HTTP status has many causes. Pure.

Codes are those of S3 and of AWS's other services, of botocore's errors (the names of their classes), of the AWS Common
Runtime, and of urllib3. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from s3_manifest.manifest.model import NewerManifest, UnreadableManifest
from s3_manifest.storage.aws_faults import NO_ADDRESS, NOT_AWS, NOT_SENT
from s3_manifest.storage.store import Fault, ReadFailed, StoreError
from s3_manifest_cli.errors import Unavailable
from s3_manifest_cli.extras import upgrade_command

_READ = "s3:GetObject and s3:ListBucket on it, and kms:Decrypt with its key"


_SERVER = "The server"
_BUCKET_NAME = re.compile('Invalid bucket name "([^"]*)"')
_HOST = re.compile(r"https?://([^/\s\"'?]+)")


class Explanation(NamedTuple):
    """What failed, and what to do next, in whole sentences.

    ``is_general``: the cause is this machine's setup, the network or the bucket, and not the one object asked for.
    """

    message: str
    remedy: str
    is_general: bool = True


def explain(fault: Fault, allow: str = _READ) -> Explanation:
    """What the user should know of a fault; of an unknown one, its own words.

    ``allow``: the permissions that the request needs.
    """
    if found := _by_region(fault) or _BY_CODE.get(fault.code) or _by_text(fault):
        return _naming_host(found, fault)
    for prefix, found in _BY_PREFIX.items():
        if fault.code.startswith(prefix):
            return _naming_host(found, fault)
    return _of_status(fault, allow)


def _naming_host(found: Explanation, fault: Fault) -> Explanation:
    host = _HOST.search(fault.message)
    if not host or not found.message.startswith(_SERVER):
        return found
    return found._replace(message=host[1] + found.message.removeprefix(_SERVER))


def explain_store_error(error: StoreError) -> Unavailable:
    """The error for the user of a request that a store made."""
    if error.fault is None:
        return Unavailable(str(error))
    what = "not read" if isinstance(error, ReadFailed) else "not written"
    return unavailable(error.fault, f"{error.key}: {what}")


def explain_manifest_error(error: UnreadableManifest) -> Unavailable:
    """The error for the user of a manifest that this version does not read.

    One of a newer version is never to be moved away: whoever wrote it reads it well.
    """
    if isinstance(error, NewerManifest):
        reason = str(error).partition(". It is left untouched")[0]
        return Unavailable(f"{reason}.", remedy=f"Upgrade with '{upgrade_command()}'.", code="newer_schema")
    return Unavailable(str(error), code="unreadable_manifest")


def unavailable(fault: Fault, what: str, allow: str = _READ) -> Unavailable:
    """The error for the user; ``what`` says on what, and what was not done, where the cause is not a general one."""
    told = explain(fault, allow)
    message = told.message if told.is_general else f"{what}: {told.message}"
    return Unavailable(message, remedy=told.remedy, code=fault.code or (str(fault.status) if fault.status else ""))


def _by_region(fault: Fault) -> Explanation | None:
    is_elsewhere = fault.code in _OTHER_REGION or (
        fault.status in (301, 307) and fault.code in ("", "MovedPermanently")
    )
    if not is_elsewhere:
        return None
    if fault.region:
        return Explanation(f"The bucket is in {fault.region}.", f"Pass --region {fault.region}.")
    if fault.code:
        find = "Find it with 'aws s3api get-bucket-location --bucket BUCKET'"
        return Explanation("The bucket is in another region.", f"{find}, and pass --region.")
    return _BY_CODE[NOT_AWS]


def _by_text(fault: Fault) -> Explanation | None:
    """Where one code has several causes, and the message alone tells them apart."""
    text = fault.message.lower()
    if fault.code == "AccessDenied" and "explicit deny" in text:
        return Explanation(
            _sentence(fault),
            f"Change the policy that denies it{_denying(text)}: to allow it elsewhere does not help.",
            is_general=False,
        )
    if fault.code == "AccessDenied" and "kms:" in text:
        return Explanation(
            _sentence(fault),
            "Allow kms:Decrypt and kms:GenerateDataKey with that key.",
            is_general=False,
        )
    if fault.code == "ParamValidationError" and (name := _BUCKET_NAME.search(fault.message)):
        return Explanation(f"{name[1]!r} is not the name of a bucket.", "Check --bucket and S3_MANIFEST_BUCKET.")
    if fault.code in ("InvalidSignatureException", "AuthFailure"):
        is_clock = "signature expired" in text or "not yet current" in text
        return _BY_CODE["RequestTimeTooSkewed" if is_clock else "SignatureDoesNotMatch"]
    return None


def _denying(text: str) -> str:
    kinds = {
        "identity-based policy": "identity-based",
        "resource-based policy": "bucket",
        "service control policy": "service control",
        "resource control policy": "resource control",
        "session policy": "session",
        "vpc endpoint policy": "VPC endpoint",
        "permissions boundary": "permissions boundary",
    }
    return next((f" (the {name} one)" for phrase, name in kinds.items() if phrase in text), "")


def _of_status(fault: Fault, allow: str) -> Explanation:
    if fault.code not in _BY_OBJECT:
        if fault.status in (429, 503):
            return _BUSY
        if fault.status >= 500:
            return Explanation(f"The server failed ({fault.words.rstrip('.')}).", "Repeat the command in a minute.")
        if 300 <= fault.status < 400:
            return _BY_CODE[NOT_AWS]
    remedy = _BY_OBJECT.get(fault.code, "")
    if not remedy and fault.status == 403:
        remedy = f"Allow {allow}."
    elif fault.status == 400 and not fault.code:
        remedy = _SSE_C
    return Explanation(_sentence(fault), remedy, is_general=False)


def _sentence(fault: Fault) -> str:
    return fault.words.rstrip(".") + "."


_OTHER_REGION = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)

_EXPIRED = Explanation(
    "Your AWS session has expired.", "Log in again (for example 'aws sso login') and repeat the command."
)
_NO_SSO = Explanation(
    "You are not logged in to AWS, or the login has expired.",
    "Log in (for example 'aws sso login') with the same profile, and repeat the command.",
)
_UNKNOWN_KEY = Explanation(
    "AWS does not know this access key.",
    "It may be deleted, or belong to another server: check AWS_ACCESS_KEY_ID, the profile and --endpoint-url.",
)
_WRONG_TOKEN = Explanation(
    "AWS refuses the session token.",
    "Take AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN from one login, or unset all three.",
)
_WRONG_SECRET = Explanation(
    "AWS refuses the signature: the secret key does not belong to the access key.",
    "Check AWS_SECRET_ACCESS_KEY or the profile for missing or extra characters. If they are right, a proxy on the way"
    " changes requests.",
)
_CLOCK = Explanation(
    "This machine's clock is wrong, so AWS refuses its requests.",
    "Set the clock (for example 'sudo timedatectl set-ntp true') and repeat the command.",
)
_NO_BUCKET = Explanation(
    "There is no such bucket.", "Check --bucket or S3_MANIFEST_BUCKET, the AWS account and --endpoint-url."
)
_BUSY = Explanation("The server is busy and refused the request.", "Repeat the command in a minute.")
_ACCOUNT = Explanation(
    "AWS has disabled access for this account or bucket.",
    "Only the account's owner can lift that: see the AWS console, or contact AWS Support.",
)
_NO_CREDENTIALS = Explanation("No AWS credentials found.", "Set AWS_PROFILE or --profile, or run 'aws configure'.")
_NO_REGION = Explanation("No AWS region is set.", "Pass --region, or set AWS_DEFAULT_REGION.")
_CERTIFICATE = Explanation(
    "The server has a TLS certificate that is not trusted.",
    "If your network inspects TLS, set AWS_CA_BUNDLE to a file with its certificate; otherwise check --endpoint-url"
    " and the clock.",
)
_PROXY = Explanation("The proxy cannot be used.", "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
_UNRESOLVED = Explanation(
    "The server is not found: its name does not resolve.",
    "Check the network and the address: --region and --endpoint-url.",
)
_UNREACHED = Explanation(
    "The server cannot be reached.", "Check the network and the address: --region and --endpoint-url."
)
_SILENT = Explanation(
    "The server does not answer.", "Check the network, the proxy settings and --endpoint-url, and repeat the command."
)
_BROKEN = Explanation("The connection broke.", "Repeat the command: what is done is not done again.")

_BY_CODE: Mapping[str, Explanation] = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(
        (
            "UnauthorizedSSOTokenError",
            "SSOTokenLoadError",
            "SSOError",
            "TokenRetrievalError",
            "LoginRefreshRequired",
            "LoginTokenLoadError",
            "NoAuthTokenError",
        ),
        _NO_SSO,
    ),
    **dict.fromkeys(("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"), _UNKNOWN_KEY),
    **dict.fromkeys(("InvalidToken", "InvalidSecurity"), _WRONG_TOKEN),
    **dict.fromkeys(("SignatureDoesNotMatch", "IncompleteSignature"), _WRONG_SECRET),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestInTheFuture", "AWS_ERROR_S3_REQUEST_TIME_TOO_SKEWED"), _CLOCK),
    "NoSuchBucket": _NO_BUCKET,
    **dict.fromkeys(
        (
            "SlowDown",
            "ServiceUnavailable",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "AWS_ERROR_S3_SLOW_DOWN",
        ),
        _BUSY,
    ),
    **dict.fromkeys(("AllAccessDisabled", "AccountProblem", "NotSignedUp", "OptInRequired"), _ACCOUNT),
    **dict.fromkeys(("NoCredentialsError", "AWS_AUTH_SIGNING_NO_CREDENTIALS"), _NO_CREDENTIALS),
    "PartialCredentialsError": Explanation(
        "The AWS credentials are incomplete.", "Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a profile."
    ),
    **dict.fromkeys(
        ("CredentialRetrievalError", "MetadataRetrievalError"),
        Explanation(
            "The AWS credentials could not be fetched.",
            "Run 'aws sts get-caller-identity' with the same profile: it shows which step fails.",
        ),
    ),
    **dict.fromkeys(("NoRegionError", "EndpointResolutionError"), _NO_REGION),
    "InvalidRegionError": Explanation("This is not an AWS region.", "Check --region and AWS_DEFAULT_REGION."),
    "SSLError": _CERTIFICATE,
    **dict.fromkeys(("ProxyConnectionError", "ProxyError", "InvalidProxiesConfigError"), _PROXY),
    **dict.fromkeys((NO_ADDRESS, "AWS_IO_DNS_INVALID_NAME", "AWS_IO_DNS_NO_ADDRESS_FOR_HOST"), _UNRESOLVED),
    **dict.fromkeys(
        ("EndpointConnectionError", "NewConnectionError", "AWS_IO_SOCKET_CONNECTION_REFUSED"),
        _UNREACHED,
    ),
    **dict.fromkeys(
        ("ConnectTimeoutError", "ReadTimeoutError", "AWS_IO_SOCKET_TIMEOUT", "AWS_ERROR_S3_REQUEST_TIMEOUT"), _SILENT
    ),
    **dict.fromkeys(
        (
            "ConnectionClosedError",
            "ConnectionError",
            "IncompleteReadError",
            "ProtocolError",
            "ResponseStreamingError",
            "AWS_ERROR_HTTP_CONNECTION_CLOSED",
            "AWS_ERROR_HTTP_SERVER_CLOSED",
            "AWS_IO_SOCKET_CLOSED",
        ),
        _BROKEN,
    ),
    NOT_AWS: Explanation(
        "Something else than AWS answered.",
        "If your network has a login page (captive portal), open a browser and log in; otherwise check --endpoint-url"
        " and the proxy settings.",
    ),
}

_BY_PREFIX: Mapping[str, Explanation] = {
    "AWS_IO_TLS": _CERTIFICATE,
    "AWS_IO_DNS": _UNRESOLVED,
    "AWS_IO_SOCKET": _UNREACHED,
    "AWS_ERROR_HTTP_PROXY": _PROXY,
    "AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT": _SILENT,
}

_SSE_C = "If the object is encrypted with a customer-provided key (SSE-C), it cannot be read."
_KMS = "Its KMS key is disabled or about to be deleted: enable the key."

_BY_OBJECT: Mapping[str, str] = {
    "InvalidObjectState": "It is archived: restore it from its archive first (aws s3api restore-object).",
    "InvalidRequest": _SSE_C,
    **dict.fromkeys(
        (
            "KMS.DisabledException",
            "KMS.InvalidKeyUsageException",
            "KMS.KMSInvalidStateException",
            "KMS.NotFoundException",
            "KMS.KeyUnavailableException",
        ),
        _KMS,
    ),
    "EntityTooLarge": "It is larger than S3 takes: --exclude it.",
    "KeyTooLongError": "Rename it.",
    NOT_SENT: "Nothing was sent: look for line breaks in the file's name, the credentials and HTTPS_PROXY.",
}
