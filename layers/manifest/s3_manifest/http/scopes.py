"""The scope that a request's token must have: one for reading, one for editing, one for deleting.

An HTTP API compares scopes by route, so by method; it cannot see that a POST replaces objects. The functions
therefore check every request again, and these requests for the scope of what they do.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from s3_manifest.aws.settings import settings

Right = Literal["read", "edit", "delete"]

_BY_METHOD: Mapping[str, Right] = {"GET": "read", "HEAD": "read", "POST": "edit", "PATCH": "edit"}


class MissingScope(Exception):
    """The token lacks ``scope``."""

    def __init__(self, scope: str, right: Right) -> None:
        super().__init__(f"the token lacks the scope {scope}, required to {right}: request one that has it")
        self.scope = scope


def required(right: Right) -> str:
    """The scope for this right; empty where any valid token, or IAM, decides.

    Without one of its own, a right requires the scope of the next weaker one: whoever may not read may not delete.
    """
    known = settings()
    scopes = {"read": known.jwt_read_scope, "edit": known.jwt_edit_scope, "delete": known.jwt_delete_scope}
    ladder = ("read", "edit", "delete")
    return next((scopes[one] for one in reversed(ladder[: ladder.index(right) + 1]) if scopes[one]), "")


def require(event: Mapping[str, Any], right: Right) -> None:
    """Raises ``MissingScope`` unless the token of an HTTP API request (payload 2.0) has the scope for this right."""
    if (scope := required(right)) and scope not in set(_scopes(event)):
        raise MissingScope(scope, right)


def require_for_method(event: Mapping[str, Any]) -> None:
    """Raises ``MissingScope`` unless the token has the scope for the request's method; an unknown one deletes."""
    require(event, _BY_METHOD.get(event["requestContext"]["http"]["method"], "delete"))


def _scopes(event: Mapping[str, Any]) -> Iterator[str]:
    """The scopes of a token, which the HTTP API has verified.

    ``scopes`` is null where the route requires none; the claims are strings, an array of them as ``[a b]``:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
    """
    token = event["requestContext"].get("authorizer", {}).get("jwt") or {}
    yield from token.get("scopes") or ()
    for claim in ("scope", "scp"):
        text = str((token.get("claims") or {}).get(claim) or "")
        yield from (text[1:-1] if text.startswith("[") and text.endswith("]") else text).split()
