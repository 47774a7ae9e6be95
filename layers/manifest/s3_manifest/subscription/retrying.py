"""Retries requests that AWS rejects for a while: permissions and policies that have not propagated, busy services."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from s3_manifest.storage.aws_errors import parse_fault
from s3_manifest.storage.store import Fault, StoreError

T = TypeVar("T")

ATTEMPTS = 6
PAUSE_SECONDS = 10
"""About a minute in all: IAM is eventually consistent, and "usually" takes seconds.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
"""

_NEEDED_SECONDS = 50.0
"""The time that an attempt needs at most: a few requests that each time out, and the response to CloudFormation."""

_DENIED = {"AccessDenied", "AccessDeniedException"}
_TEMPORARY = _DENIED | {
    "ConcurrentModificationException",
    # S3's code for a destination that it cannot find yet or may not send to yet.
    "InvalidArgument",
    "OperationAborted",
    "Throttling",
    "ThrottlingException",
}


class AttemptFailed(Exception):
    """An attempt failed and a retry can succeed; the message states the cause."""


class RetriesExhausted(Exception):
    """The last attempt failed too. ``is_denied``: because of a missing permission."""

    def __init__(self, problem: str, *, is_denied: bool) -> None:
        super().__init__(problem)
        self.is_denied = is_denied


class RetryPolicy(NamedTuple):
    """How to wait between attempts, and how many seconds this invocation has left."""

    sleep: Callable[[float], None]
    seconds_left: Callable[[], float] = lambda: float("inf")


def retry(attempt: Callable[[], T], policy: RetryPolicy) -> T:
    """Repeats ``attempt`` until it succeeds; returns its result.

    Raises ``RetriesExhausted`` when attempts or time run out, and any other error that waiting cannot cure.
    """
    problem, is_denied = "there was no time for an attempt", False
    for _ in range(ATTEMPTS):
        if policy.seconds_left() < _NEEDED_SECONDS:
            break
        try:
            return attempt()
        except (ClientError, StoreError) as error:
            fault = error.fault if isinstance(error, StoreError) else parse_fault(error)
            # Of a store's errors, one without a status had no response.
            is_unanswered = isinstance(error, StoreError) and fault is not None and not fault.status
            if fault is None or not (is_unanswered or _is_temporary(fault)):
                raise
            problem, is_denied = _describe(error), _is_denial(fault)
        except (AttemptFailed, BotoCoreError, ResponseParserError) as error:
            problem, is_denied = str(error), False
        policy.sleep(PAUSE_SECONDS)
    raise RetriesExhausted(problem, is_denied=is_denied)


def _is_temporary(fault: Fault) -> bool:
    return fault.code in _TEMPORARY or _is_denial(fault) or fault.status == 429 or fault.status >= 500


def _is_denial(fault: Fault) -> bool:
    # The response to a HEAD has no code.
    return fault.code in _DENIED or (fault.status == 403 and not fault.code)


def rejected_arguments(error: ClientError) -> dict[str, str]:
    """Returns the arguments that AWS rejects, with its reasons: S3 names destinations in them."""
    fields: dict[str, str] = dict(error.response.get("Error", {}))  # type: ignore[arg-type]  # S3 adds fields
    names = [name for name in fields if name.startswith("ArgumentName")]
    return {fields[name]: fields.get(name.replace("Name", "Value"), "") for name in names}


def _describe(error: ClientError | StoreError) -> str:
    rejected = rejected_arguments(error) if isinstance(error, ClientError) else {}
    arguments = "; ".join(f"{name}: {reason}" for name, reason in rejected.items())
    return f"{error} ({arguments})" if arguments else str(error)
