"""The printed cause and remedy follow from the error code, not from the HTTP status."""

import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, HTTPClientError, ParamValidationError
from client.transfers import md5, refusal

from s3_manifest.storage.aws_errors import parse_fault
from s3_manifest.storage.store import Fault, OutcomeUnknown, ReadFailed, WriteRefused
from s3_manifest_cli.client.access.explanations import explain, explain_error
from s3_manifest_cli.client.access.s3_errors import write_error

KEY = "styles/16/a.png"
EXPIRED = "Your AWS session has expired. Log in again (for example 'aws sso login') and repeat the command."


def text(fault: Fault) -> str:
    return " ".join(explain(fault)[:2]).strip()


@pytest.mark.parametrize(
    ("fault", "begins"),
    [
        (Fault(400, "ExpiredToken"), EXPIRED),
        (Fault(403, "ExpiredTokenException"), EXPIRED),
        (Fault(403, "RequestTimeTooSkewed"), "This machine's clock is wrong"),
        (Fault(403, "InvalidSignatureException", "Signature expired: 2026"), "This machine's clock is wrong"),
        (Fault(403, "InvalidSignatureException", "The request signature"), "AWS refuses the signature"),
        (Fault(403, "SignatureDoesNotMatch"), "AWS refuses the signature"),
        (Fault(403, "InvalidAccessKeyId"), "AWS does not know this access key."),
        (Fault(403, "InvalidClientTokenId"), "AWS does not know this access key."),
        (Fault(400, "InvalidToken"), "AWS refuses the session token."),
        (Fault(301, "PermanentRedirect", "", "eu-west-1"), "The bucket is in eu-west-1. Pass --region eu-west-1."),
        (Fault(400, "AuthorizationHeaderMalformed", "", "eu-west-1"), "The bucket is in eu-west-1. Pass --region"),
        (Fault(301, "", "Moved", "eu-west-1"), "The bucket is in eu-west-1."),
        (Fault(301, "PermanentRedirect"), "The bucket is in another region. Find it with"),
        (Fault(302, "", "Found"), "Something other than AWS answered."),
        (Fault(404, "NoSuchBucket"), "There is no such bucket. Check --bucket"),
        (Fault(503, "SlowDown"), "The server is busy"),
        (Fault(429, ""), "The server is busy"),
        (Fault(500, "InternalError", "We"), "The server failed (500 InternalError: We). Repeat"),
        (Fault(403, "AllAccessDisabled"), "AWS has disabled access"),
        (Fault(403, "AccountProblem"), "AWS has disabled access"),
        (Fault(403, "InvalidObjectState", "x"), "403 InvalidObjectState: x. It is archived: restore it"),
        (Fault(400, "KMS.DisabledException", "x"), "400 KMS.DisabledException: x. Its KMS key is disabled"),
        (Fault(403, "AccessDenied", "Access Denied"), "403 AccessDenied: Access Denied. Allow s3:GetObject"),
        (Fault(403, "", "Forbidden"), "403: Forbidden. Allow s3:GetObject and s3:ListBucket on it"),
        (Fault(400, "", "Bad Request"), "400: Bad Request. If the object is encrypted with a customer-provided key"),
        (
            Fault(403, "AccessDenied", "not authorized ... with an explicit deny in a service control policy"),
            "403 AccessDenied: not authorized ... with an explicit deny in a service control policy. Change",
        ),
        (
            Fault(403, "AccessDenied", "User u is not authorized to perform: kms:Decrypt on the resource"),
            "403 AccessDenied: User u is not authorized to perform: kms:Decrypt on the resource. Allow kms:Decrypt",
        ),
        (Fault(0, "NoCredentialsError"), "No AWS credentials found. Set AWS_PROFILE or --profile, or run 'aws conf"),
        (
            Fault(0, "SSLError"),
            "The server has a TLS certificate that is not trusted. If your network inspects TLS",
        ),
        (Fault(0, "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE"), "The server has a TLS certificate that is not trusted."),
        (Fault(0, "ProxyConnectionError"), "The proxy cannot be used. Check HTTPS_PROXY"),
        (Fault(0, "AWS_IO_DNS_QUERY_FAILED"), "The server is not found: its name does not resolve."),
        (Fault(0, "EndpointConnectionError"), "The server cannot be reached."),
        (Fault(0, "AWS_IO_SOCKET_CONNECTION_REFUSED"), "The server cannot be reached."),
        (Fault(0, "ReadTimeoutError"), "The server does not answer."),
        (Fault(0, "ConnectionClosedError"), "The connection broke. Repeat the command"),
        (Fault(418, "Teapot", "short and stout"), "418 Teapot: short and stout."),
    ],
    ids=lambda value: f"{value.status} {value.code}" if isinstance(value, Fault) else "",
)
def test_the_explanation_follows_from_the_error_code(fault, begins):
    assert text(fault).startswith(begins)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "ExpiredToken"), (403, "RequestTimeTooSkewed"), (403, "SignatureDoesNotMatch")]
)
def test_a_head_that_is_refused_without_a_code_is_explained_by_one_get(objects, proxy, status, code):
    def before(request):
        return refusal(status, "" if request.method == "HEAD" else code)._replace(
            body=b"" if request.method == "HEAD" else refusal(status, code).body
        )

    proxy.before = before
    for _ in range(3):
        with pytest.raises(ReadFailed) as refused:
            objects.head(KEY)
        assert refused.value.fault.code == code
        assert explain_error(refused.value).code == code
        assert "SSE-C" not in str(refused.value)
    assert len(proxy.of("GET")) == 1


def test_a_head_of_an_object_with_a_customers_key_names_sse_c(objects, proxy):
    proxy.before = lambda _: refusal(400, "InvalidRequest")
    with pytest.raises(ReadFailed, match="SSE-C"):
        objects.head(KEY)


@pytest.mark.parametrize("value", ["two\nlines", "a\rb", "nul\0"])
def test_a_request_that_cannot_be_sent_is_a_refused_write(objects, proxy, value):
    with pytest.raises(WriteRefused, match="Nothing was sent"):
        objects.put(KEY, b"x", md5(b"x"), replaces=None, headers={"x-amz-meta-prompt": value})
    assert proxy.of("PUT") == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (HTTPClientError(error=ValueError("Invalid header value b'a\\nb'")), WriteRefused),
        (ParamValidationError(report="Non ascii characters found in S3 metadata"), WriteRefused),
        (CredentialRetrievalError(provider="process", error_msg="no"), WriteRefused),
        (RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."), WriteRefused),
        (HTTPClientError(error=OSError("reset")), OutcomeUnknown),
        (ClientError({"ResponseMetadata": {"HTTPStatusCode": 500}}, "PutObject"), OutcomeUnknown),
        (KeyError("ETag"), OutcomeUnknown),
    ],
)
def test_the_outcome_is_unknown_only_for_requests_that_were_sent(error, kind):
    assert type(write_error(KEY, parse_fault(error), is_conditional=False)) is kind


def wrapped(cause: Exception) -> Exception:
    """The error that botocore's HTTP session raises instead of the given one."""
    error = HTTPClientError(error=cause)
    error.__context__ = cause  # as Python sets it for an error raised while another is handled
    return error


@pytest.mark.parametrize("error", [RecursionError("depth"), wrapped(RecursionError("depth"))], ids=["bare", "wrapped"])
def test_redirects_without_end_are_no_answer_of_aws_wherever_the_stack_ended(error):
    assert text(parse_fault(error)).startswith("Something other than AWS answered.")
