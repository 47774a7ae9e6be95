"""Evaluates a resource's policy for a request: allowed, denied, or unknown.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from operator import eq
from typing import Any, Literal, NamedTuple

Decision = Literal["allowed", "denied", "implicitly denied", "unknown"]

Value = str | None | tuple[str | None, ...]
"""The value of a condition key: None if the request lacks the key; a tuple of all possible values."""


class Request(NamedTuple):
    """A request. ``context``: condition keys in lower case; the values of other keys are unknown.

    ``principals``: all the names that a policy may use for the caller, by kind: that of a ``service``; or those of the
    ``account``, the ``role`` and the ``session``. ``resource`` may be a pattern, which covers one request for each
    resource that it matches.
    """

    principals: Mapping[str, set[str]]
    action: str
    resource: str
    context: Mapping[str, Value]


class Evaluation(NamedTuple):
    """A decision, and the ``Sid`` (or number) and effect of the statement that made it; empty if none did."""

    decision: Decision
    statement: str = ""
    effect: str = ""


class Match(NamedTuple):
    """A statement that applies to a request, or may apply: that depends on ``unknown``."""

    name: str
    statement: Mapping[str, Any]
    unknown: tuple[str, ...]


def evaluate(policy: Mapping[str, Any], request: Request) -> Evaluation:
    """Evaluates the policy. ``unknown``: the decision depends on conditions whose values are unknown."""
    decisions: dict[str, Decision] = {"Deny": "denied", "Allow": "allowed"}
    for effect, decision in decisions.items():
        found = list(matches(policy, request, effect))
        if first := next((match for match in found if not match.unknown), found[0] if found else None):
            return Evaluation("unknown" if first.unknown else decision, first.name, effect)
    return Evaluation("implicitly denied")


def matches(policy: Mapping[str, Any], request: Request, effect: str) -> Iterator[Match]:
    """Yields the statements of this effect that apply to the request, or may apply, with their ``Sid`` or number."""
    for number, statement in enumerate(_as_list(policy.get("Statement", ())), 1):
        if statement["Effect"] == effect and False not in (parts := _parts(statement, request)).values():
            name = str(statement.get("Sid") or f"number {number}")
            yield Match(name, statement, tuple(part for part, holds in parts.items() if holds is None))


def _parts(statement: Mapping[str, Any], request: Request) -> dict[str, bool | None]:
    """Returns whether each part of a statement applies to the request; None: unknown."""
    parts = {
        "NotPrincipal" if "NotPrincipal" in statement else "Principal": _matches_caller(statement, request.principals),
        "Action": _matches(statement, "Action", request.action),
        "Resource": _matches(statement, "Resource", request.resource),
    }
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            texts = [str(value).lower() if isinstance(value, bool) else str(value) for value in _as_list(values)]
            parts[f"{operator} {key}"] = _holds(operator, key.lower(), texts, request.context)
    return parts


def _matches_caller(statement: Mapping[str, Any], principals: Mapping[str, set[str]]) -> bool | None:
    if "NotPrincipal" not in statement:
        principal = statement.get("Principal")
        if _names(principal) & {"*"}.union(*principals.values()):
            return True
        # It may be the account's: https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-bucket-user-policy-specifying-principal-intro.html
        return None if isinstance(principal, Mapping) and "CanonicalUser" in principal else False
    excepted = _names(statement["NotPrincipal"])
    if "*" in excepted:
        return False
    # A role is only excepted with its account and its session:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
    named = [bool(names & excepted) for names in principals.values()]
    if not any(named):
        return True if principals.keys() & {"session", "service"} else None
    return False if all(named) else None


def _names(principal: Any) -> frozenset[str]:  # noqa: ANN401  # JSON
    if isinstance(principal, Mapping):
        return frozenset(str(name) for names in principal.values() for name in _as_list(names))
    return frozenset(map(str, _as_list(principal or ())))


def _matches(statement: Mapping[str, Any], field: str, value: str) -> bool | None:
    is_negated = f"Not{field}" in statement
    patterns = _as_list(statement.get(f"Not{field}" if is_negated else field, ()))
    results = [_covers(str(pattern), value, field == "Action") for pattern in patterns]
    matches = True if True in results else None if None in results else False
    return matches if matches is None else matches != is_negated


def _covers(pattern: str, value: str, ignore_case: bool) -> bool | None:
    """Whether a pattern matches the value. If the value is a pattern: all of it; None: some of it."""
    if ignore_case:
        pattern, value = pattern.lower(), value.lower()
    plain = _VARIABLE.sub("*", pattern)
    # A pattern that matches the text of another pattern matches everything that one matches.
    if plain == pattern and _like(pattern, value):
        return True
    return None if _overlap(plain, value) else False


def _overlap(left: str, right: str) -> bool:
    """Whether any text matches both patterns."""
    # In row[j]: whether the part of `left` so far and right[:j] overlap.
    row = [not right[:j].strip("*") for j in range(len(right) + 1)]
    for a in left:
        previous, row = row, [row[0] and a == "*"]
        for j, b in enumerate(right):
            both = previous[j] and (a == b or "?" in {a, b})
            row.append(both or ("*" in {a, b} and (row[j] or previous[j + 1])))
    return row[-1]


_VARIABLE = re.compile(r"\$\{[^}]*\}")


def _like(pattern: str, value: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _equal_ignoring_case(pattern: str, value: str) -> bool:
    return pattern.lower() == value.lower()


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": eq,
    "StringEqualsIgnoreCase": _equal_ignoring_case,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _equal_ignoring_case,
    "NumericEquals": lambda limit, value: float(value) == float(limit),
    "NumericLessThan": lambda limit, value: float(value) < float(limit),
    "NumericLessThanEquals": lambda limit, value: float(value) <= float(limit),
    "NumericGreaterThan": lambda limit, value: float(value) > float(limit),
    "NumericGreaterThanEquals": lambda limit, value: float(value) >= float(limit),
}
_SET_PREFIXES = ("ForAllValues:", "ForAnyValue:")


def _holds(operator: str, key: str, values: list[str], context: Mapping[str, Value]) -> bool | None:
    """Whether a condition holds; None: the operator or the request's value is unknown."""
    if key not in context or any(_VARIABLE.search(value) for value in values):
        return None
    known = context[key]
    results = {_holds_for(operator, value, values) for value in (known if isinstance(known, tuple) else (known,))}
    return results.pop() if len(results) == 1 else None


def _holds_for(operator: str, value: str | None, values: list[str]) -> bool | None:
    if operator == "Null":
        return str(value is None).lower() in values
    set_prefix = next((prefix for prefix in _SET_PREFIXES if operator.startswith(prefix)), "")
    base = operator.removeprefix(set_prefix).removesuffix("IfExists")
    positive = base.replace("Not", "", 1)
    if (compare := _OPERATORS.get(positive)) is None:
        return None
    is_negated = positive != base
    if value is None:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
        if set_prefix:
            return set_prefix == "ForAllValues:"
        return is_negated or operator.endswith("IfExists")
    try:
        return any(compare(expected, value) for expected in values) != is_negated
    except ValueError:  # not a number
        return None


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401  # JSON: a value or a list of values
    return list(value) if isinstance(value, list | tuple) else [value]
