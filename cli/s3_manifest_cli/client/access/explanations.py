"""Explains a refused request by its error code, with a remedy: the same HTTP status has many causes. Pure.

Codes are those of S3 and of AWS's other services, of botocore's errors (their class names), of the AWS Common Runtime,
and of urllib3. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from s3_manifest.manifest.model import NewerManifest, UnreadableManifest
from s3_manifest.storage.aws_errors import NO_ADDRESS, NOT_AWS, NOT_SENT
from s3_manifest.storage.store import Fault, ReadFailed, StoreError
from s3_manifest_cli.errors import Unavailable
from s3_manifest_cli.extras import upgrade_command

_READ = "s3:GetObject and s3:ListBucket on it, and kms:Decrypt with its key"

_ALLOW_KMS = "Allow kms:Decrypt and kms:GenerateDataKey with that key."
_SERVER = "The server"
_BUCKET_NAME = re.compile('Invalid bucket name "([^"]*)"')
_HOST = re.compile(r"https?://([^/\s\"'?]+)")


class Explanation(NamedTuple):
    """What failed, and what to do next, in whole sentences.

    ``is_general``: the cause is this machine's setup, the network or the bucket, and not the one requested object.
    """

    message: str
    remedy: str
    is_general: bool = True

    @property
    def text(self) -> str:
        """Both as one text."""
        return f"{self.message} {self.remedy}".strip()


def explain(fault: Fault, permissions: str = _READ) -> Explanation:
    """The explanation of a fault, or the server's own words. ``permissions`` are those that the request needs."""
    by_code = (explanation for code, explanation in _BY_CODE.items() if fnmatchcase(fault.code, code))
    explanation = _explain_region(fault) or _explain_by_message(fault) or next(by_code, None)
    if explanation is None:
        return _explain_status(fault, permissions)
    host = _HOST.search(fault.message)
    if host and explanation.message.startswith(_SERVER):
        return explanation._replace(message=host[1] + explanation.message.removeprefix(_SERVER))
    return explanation


def explain_error(error: StoreError | UnreadableManifest) -> Unavailable:
    """The error for the user: of a request that a store made, or of a manifest that this version does not read.

    A manifest of a newer version must never be moved away, as the newer version reads it.
    """
    if isinstance(error, NewerManifest):
        reason = str(error).partition(". It is left untouched")[0]
        return Unavailable(f"{reason}.", remedy=f"Upgrade with '{upgrade_command()}'.", code="newer_schema")
    if isinstance(error, UnreadableManifest):
        return Unavailable(str(error), code="unreadable_manifest")
    if error.fault is None:
        return Unavailable(str(error))
    action = "not read" if isinstance(error, ReadFailed) else "not written"
    return unavailable(error.fault, f"{error.place}: {action}")


def unavailable(fault: Fault, subject: str, permissions: str = _READ) -> Unavailable:
    """The error for the user; ``subject`` is what was not done, which the message names unless the cause is general."""
    message, remedy, is_general = explain(fault, permissions)
    code = fault.code or (str(fault.status) if fault.status else "")
    return Unavailable(message if is_general else f"{subject}: {message}", remedy=remedy, code=code)


def _explain_region(fault: Fault) -> Explanation | None:
    is_redirect = fault.status in (301, 307) and fault.code in ("", "MovedPermanently")
    if fault.code not in _OTHER_REGION and not is_redirect:
        return None
    if fault.region:
        return Explanation(f"The bucket is in {fault.region}.", f"Pass --region {fault.region}.")
    if fault.code:
        find = "Find it with 'aws s3api get-bucket-location --bucket BUCKET'"
        return Explanation("The bucket is in another region.", f"{find}, and pass --region.")
    return _BY_CODE[NOT_AWS]


def _explain_by_message(fault: Fault) -> Explanation | None:
    """For codes with several causes that only the message distinguishes."""
    text = fault.message.lower()
    if fault.code == "AccessDenied" and "explicit deny" in text:
        kind = next((f" (the {name} one)" for phrase, name in _POLICY_KINDS.items() if phrase in text), "")
        remedy = f"Change the policy that denies it{kind}; allowing it in another policy does not help."
        return Explanation(_sentence(fault), remedy, is_general=False)
    if fault.code == "AccessDenied" and "kms:" in text:
        return Explanation(_sentence(fault), _ALLOW_KMS, is_general=False)
    if fault.code == "ParamValidationError" and (name := _BUCKET_NAME.search(fault.message)):
        return Explanation(f"{name[1]!r} is not a bucket name.", "Check --bucket and S3_MANIFEST_BUCKET.")
    if fault.code in ("InvalidSignatureException", "AuthFailure"):
        is_clock = "signature expired" in text or "not yet current" in text
        return _BY_CODE["RequestTimeTooSkewed" if is_clock else "SignatureDoesNotMatch"]
    return None


def _explain_status(fault: Fault, permissions: str) -> Explanation:
    if fault.code not in _OBJECT_REMEDIES:
        if fault.status in (429, 503):
            return _BY_CODE["SlowDown"]
        if fault.status >= 500:
            return Explanation(f"The server failed ({fault.words.rstrip('.')}).", "Repeat the command in a minute.")
        if 300 <= fault.status < 400:
            return _BY_CODE[NOT_AWS]
    remedy = _OBJECT_REMEDIES.get(fault.code, "")
    if not remedy and fault.status == 403:
        remedy = f"Allow {permissions}."
    elif fault.status == 400 and not fault.code:
        remedy = _SSE_C
    return Explanation(_sentence(fault), remedy, is_general=False)


def _sentence(fault: Fault) -> str:
    return fault.words.rstrip(".") + "."


_OTHER_REGION = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)

_POLICY_KINDS = {
    "identity-based policy": "identity-based",
    "resource-based policy": "bucket",
    "service control policy": "service control",
    "resource control policy": "resource control",
    "session policy": "session",
    "vpc endpoint policy": "VPC endpoint",
    "permissions boundary": "permissions boundary",
}

_EXPLANATIONS = {
    "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired": (
        "Your AWS session has expired. Log in again (for example 'aws sso login') and repeat the command."
    ),
    "UnauthorizedSSOTokenError SSOTokenLoadError SSOError TokenRetrievalError LoginRefreshRequired"
    " LoginTokenLoadError NoAuthTokenError": (
        "You are not logged in to AWS, or the login has expired. Log in (for example 'aws sso login') with the same"
        " profile, and repeat the command."
    ),
    "InvalidAccessKeyId InvalidClientTokenId UnrecognizedClientException": (
        "AWS does not know this access key. It may be deleted, or belong to another server: check AWS_ACCESS_KEY_ID,"
        " the profile and --endpoint-url."
    ),
    "InvalidToken InvalidSecurity": (
        "AWS refuses the session token. Take AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN from one"
        " login, or unset all three."
    ),
    "SignatureDoesNotMatch IncompleteSignature": (
        "AWS refuses the signature: the secret key does not belong to the access key. Check AWS_SECRET_ACCESS_KEY or"
        " the profile for missing or extra characters. If they are right, a proxy changes the requests."
    ),
    "RequestTimeTooSkewed RequestInTheFuture AWS_ERROR_S3_REQUEST_TIME_TOO_SKEWED": (
        "This machine's clock is wrong, so AWS refuses its requests. Set the clock (for example 'sudo timedatectl"
        " set-ntp true') and repeat the command."
    ),
    "NoSuchBucket": (
        "There is no such bucket. Check --bucket or S3_MANIFEST_BUCKET, the AWS account and --endpoint-url."
    ),
    "SlowDown ServiceUnavailable Throttling ThrottlingException TooManyRequestsException RequestLimitExceeded"
    " BandwidthLimitExceeded AWS_ERROR_S3_SLOW_DOWN": (
        "The server is busy and refused the request. Repeat the command in a minute."
    ),
    "AllAccessDisabled AccountProblem NotSignedUp OptInRequired": (
        "AWS has disabled access for this account or bucket. Only the account's owner can enable it: see the AWS"
        " console, or contact AWS Support."
    ),
    "NoCredentialsError AWS_AUTH_SIGNING_NO_CREDENTIALS": (
        "No AWS credentials found. Set AWS_PROFILE or --profile, or run 'aws configure'."
    ),
    "PartialCredentialsError": (
        "The AWS credentials are incomplete. Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a profile."
    ),
    "CredentialRetrievalError MetadataRetrievalError": (
        "The AWS credentials could not be fetched. Run 'aws sts get-caller-identity' with the same profile: it shows"
        " which step fails."
    ),
    "NoRegionError EndpointResolutionError": "No AWS region is set. Pass --region, or set AWS_DEFAULT_REGION.",
    "InvalidRegionError": "This is not an AWS region. Check --region and AWS_DEFAULT_REGION.",
    "SSLError AWS_IO_TLS*": (
        "The server has a TLS certificate that is not trusted. If your network inspects TLS, set AWS_CA_BUNDLE to a"
        " file with its certificate; otherwise check --endpoint-url and the clock."
    ),
    "ProxyConnectionError ProxyError InvalidProxiesConfigError AWS_ERROR_HTTP_PROXY*": (
        "The proxy cannot be used. Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
    ),
    f"{NO_ADDRESS} AWS_IO_DNS*": (
        "The server is not found: its name does not resolve."
        " Check the network and the address: --region and --endpoint-url."
    ),
    "ConnectTimeoutError ReadTimeoutError AWS_IO_SOCKET_TIMEOUT AWS_ERROR_S3_REQUEST_TIMEOUT"
    " AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT*": (
        "The server does not answer. Check the network, the proxy settings and --endpoint-url, and repeat the command."
    ),
    "ConnectionClosedError ConnectionError IncompleteReadError ProtocolError ResponseStreamingError"
    " AWS_ERROR_HTTP_CONNECTION_CLOSED AWS_ERROR_HTTP_SERVER_CLOSED AWS_IO_SOCKET_CLOSED": (
        "The connection broke. Repeat the command; it continues where it stopped."
    ),
    "EndpointConnectionError NewConnectionError AWS_IO_SOCKET*": (
        "The server cannot be reached. Check the network and the address: --region and --endpoint-url."
    ),
    NOT_AWS: (
        "Something other than AWS answered. If your network has a login page (captive portal), open a browser and log"
        " in; otherwise check --endpoint-url and the proxy settings."
    ),
}
"""By error codes: the first sentence is the message, the others are the remedy.

A code with ``*`` stands for all that begin so; the first row that matches counts.
"""


def _by_code(table: Mapping[str, str]) -> dict[str, str]:
    return {code: text for codes, text in table.items() for code in codes.split()}


def _explanation(text: str) -> Explanation:
    message, _, remedy = text.partition(". ")
    return Explanation(f"{message}.", remedy)


_BY_CODE = {code: _explanation(text) for code, text in _by_code(_EXPLANATIONS).items()}

_SSE_C = "If the object is encrypted with a customer-provided key (SSE-C), it cannot be read."
_OBJECT_REMEDIES = _by_code(
    {
        "InvalidObjectState": "It is archived: restore it from its archive first (aws s3api restore-object).",
        "InvalidRequest": _SSE_C,
        "KMS.DisabledException KMS.InvalidKeyUsageException KMS.KMSInvalidStateException KMS.NotFoundException"
        " KMS.KeyUnavailableException": "Its KMS key is disabled or about to be deleted: enable the key.",
        "EntityTooLarge": "It is larger than S3 allows: --exclude it.",
        "KeyTooLongError": "Rename it.",
        NOT_SENT: "Nothing was sent: look for line breaks in the file's name, the credentials and HTTPS_PROXY.",
    }
)
"""Remedies of errors whose message is the server's own."""
