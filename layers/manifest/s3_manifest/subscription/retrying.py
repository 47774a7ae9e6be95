"""Retrying what AWS refuses for a while: permissions and policies that it does not know yet, and busy services."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

T = TypeVar("T")

ATTEMPTS = 6
PAUSE_SECONDS = 10
"""About a minute in all: IAM is eventually consistent, and "usually" takes seconds.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
"""

_NEEDED_SECONDS = 50.0
"""No attempt begins with less left: a few requests that each time out, and an answer to CloudFormation."""

_TEMPORARY = {
    "AccessDenied",
    "AccessDeniedException",
    "ConcurrentModificationException",
    # S3 reports a destination that it may not send to, or cannot find yet, with this code.
    "InvalidArgument",
    "OperationAborted",
    "Throttling",
    "ThrottlingException",
}
_DENIED = {"AccessDenied", "AccessDeniedException"}


class NotDone(Exception):
    """An attempt that did not reach its aim and is worth another; the text says why."""


class GaveUp(Exception):
    """The last attempt failed too. ``denied``: because of a missing permission."""

    def __init__(self, problem: str, *, denied: bool) -> None:
        super().__init__(problem)
        self.denied = denied


class RetryPolicy(NamedTuple):
    """How to wait between attempts, and how many seconds this invocation has left."""

    sleep: Callable[[float], None]
    seconds_left: Callable[[], float] = lambda: float("inf")


def insist(attempt: Callable[[], T], retry_policy: RetryPolicy) -> T:
    """Repeats ``attempt`` until it succeeds; its result.

    Raises ``GaveUp`` when the attempts or the time are used up, and at once any error that waiting cannot cure.
    """
    problem, denied = "no time was left for an attempt", False
    for _ in range(ATTEMPTS):
        if retry_policy.seconds_left() < _NEEDED_SECONDS:
            break
        try:
            return attempt()
        except NotDone as unfinished:
            problem, denied = str(unfinished), False
        except ClientError as error:
            if not _is_temporary(error):
                raise
            problem, denied = describe(error), code(error) in _DENIED
        except (BotoCoreError, ResponseParserError) as error:
            problem, denied = str(error), False
        retry_policy.sleep(PAUSE_SECONDS)
    raise GaveUp(problem, denied=denied)


def code(error: ClientError) -> str:
    """The error code of AWS's answer."""
    return error.response.get("Error", {}).get("Code", "")


def describe(error: ClientError) -> str:
    """AWS's answer in one line, with the arguments that it objects to: S3 names destinations in them."""
    fields: dict[str, str] = dict(error.response.get("Error", {}))  # type: ignore[arg-type]  # S3 adds fields
    named = [
        f"{value}: {fields.get(name.replace('Name', 'Value'), '')}"
        for name, value in fields.items()
        if name.startswith("ArgumentName")
    ]
    return f"{error} ({'; '.join(named)})" if named else str(error)


def _is_temporary(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code(error) in _TEMPORARY or status == 429 or status >= 500
