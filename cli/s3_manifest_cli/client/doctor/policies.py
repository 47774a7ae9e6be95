"""What a resource's policy says to a request, as far as that can be told: yes, no, or unknown. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

Decision = Literal["allowed", "denied", "implicitly denied", "unknown"]


class Request(NamedTuple):
    """Who asks for what. ``context``: its condition keys in lower case; None where one is surely absent.

    Of a key that is not in it nothing is known. ``principals`` are all the names that a policy may have for who asks.
    """

    principals: frozenset[str]
    action: str
    resource: str
    context: Mapping[str, str | None]


class Judged(NamedTuple):
    """The decision, and the statement that it is by: its ``Sid`` (or number) and effect, empty where it is by none."""

    decision: Decision
    statement: str = ""
    effect: str = ""


def judge(policy: Mapping[str, Any], request: Request) -> Judged:
    """What the policy says. ``unknown`` where a statement would decide if one knew whether its conditions hold."""
    found = [
        (one["Effect"], str(one.get("Sid") or f"number {number}"), _applies(one, request))
        for number, one in enumerate(_listed(policy.get("Statement", ())), 1)
    ]
    for effect, applies, decision in (
        ("Deny", True, "denied"),
        ("Deny", None, "unknown"),
        ("Allow", True, "allowed"),
        ("Allow", None, "unknown"),
    ):
        for its_effect, name, it_applies in found:
            if its_effect == effect and it_applies is applies:
                return Judged(decision, name, effect)  # type: ignore[arg-type]  # the table above has Decisions
    return Judged("implicitly denied")


def _applies(statement: Mapping[str, Any], request: Request) -> bool | None:
    """Whether a statement is about the request; None where that is not known."""
    if "NotPrincipal" in statement:
        is_about = None if not _names(statement["NotPrincipal"]) & request.principals else False
    else:
        is_about = bool(_names(statement.get("Principal")) & (request.principals | {"*"}))
    parts = [
        is_about,
        _matches(statement, "Action", request.action),
        _matches(statement, "Resource", request.resource),
        *(
            _holds(operator, key.lower(), [_text(value) for value in _listed(values)], request.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        ),
    ]
    return _all(parts)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _all(parts: Iterable[bool | None]) -> bool | None:
    known = list(parts)
    return False if False in known else None if None in known else True


def _names(principal: Any) -> frozenset[str]:  # noqa: ANN401  # JSON
    if isinstance(principal, Mapping):
        return frozenset(str(name) for names in principal.values() for name in _listed(names))
    return frozenset(map(str, _listed(principal or ())))


def _matches(statement: Mapping[str, Any], field: str, value: str) -> bool:
    is_case_free = field == "Action"
    if f"Not{field}" in statement:
        return not any(_like(pattern, value, is_case_free) for pattern in _listed(statement[f"Not{field}"]))
    return any(_like(pattern, value, is_case_free) for pattern in _listed(statement.get(field, ())))


def _like(pattern: str, value: str, is_case_free: bool = False) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, value, re.DOTALL | (re.IGNORECASE if is_case_free else 0)) is not None


def _same(pattern: str, value: str) -> bool:
    return pattern == value


def _same_in_any_case(pattern: str, value: str) -> bool:
    return pattern.lower() == value.lower()


def _less(limit: str, value: str) -> bool:
    return float(value) < float(limit)


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": _same,
    "StringEqualsIgnoreCase": _same_in_any_case,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _same_in_any_case,
    "NumericLessThan": _less,
}


def _holds(operator: str, key: str, values: list[str], context: Mapping[str, str | None]) -> bool | None:
    """Whether one condition holds; None where the operator, or the request's value, is not known."""
    if key not in context:
        return None
    value = context[key]
    if operator == "Null":
        return str(value is None).lower() in values
    base = operator.removesuffix("IfExists")
    positive = base.replace("Not", "", 1)
    if (compare := _OPERATORS.get(positive)) is None:
        return None
    is_negated = positive != base
    if value is None:
        return is_negated or base != operator
    return any(compare(one, value) for one in values) != is_negated


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  # JSON: one, or a list of them
    return list(value) if isinstance(value, list | tuple) else [value]
