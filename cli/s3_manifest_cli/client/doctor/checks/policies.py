"""What a resource's policy says to a request, as far as that can be told: yes, no, or unknown. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

Decision = Literal["allowed", "denied", "implicitly denied", "unknown"]

Value = str | None | tuple[str | None, ...]
"""What is known of a condition key: its value, None where it is absent, or all that it may be."""


class Request(NamedTuple):
    """Who asks for what. ``context``: its condition keys in lower case; of a key that is not in it nothing is known.

    ``principals`` are all the names that a policy may have for who asks. ``resource`` may be a pattern: that is one
    request of each of many.
    """

    principals: frozenset[str]
    action: str
    resource: str
    context: Mapping[str, Value]


class Judged(NamedTuple):
    """The decision, and the statement that it is by: its ``Sid`` (or number) and effect, empty where it is by none."""

    decision: Decision
    statement: str = ""
    effect: str = ""


class Denial(NamedTuple):
    """A Deny statement that hits a request, or, unless ``certain``, may hit it, depending on what is ``unknown``."""

    statement: str
    certain: bool
    unknown: tuple[str, ...]


def judge(policy: Mapping[str, Any], request: Request) -> Judged:
    """What the policy says. ``unknown`` where a statement would decide if one knew whether its conditions hold."""
    found = [(effect, name, _all(_parts(one, request).values())) for effect, name, one in statements(policy)]
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


def denials(policy: Mapping[str, Any], request: Request) -> Iterator[Denial]:
    """Every Deny statement of the policy that hits the request, or may hit it."""
    for effect, name, statement in statements(policy):
        parts = _parts(statement, request)
        if effect == "Deny" and (applies := _all(parts.values())) is not False:
            yield Denial(name, applies is True, tuple(part for part, holds in parts.items() if holds is None))


def statements(policy: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each statement with its effect and its name: the ``Sid``, or its number."""
    for number, one in enumerate(_listed(policy.get("Statement", ())), 1):
        yield one["Effect"], str(one.get("Sid") or f"number {number}"), one


def _parts(statement: Mapping[str, Any], request: Request) -> dict[str, bool | None]:
    """Of each part of a statement whether it is about the request; None where that is not known."""
    parts = {
        "NotPrincipal" if "NotPrincipal" in statement else "Principal": _is_by(statement, request.principals),
        "Action": _matches(statement, "Action", request.action),
        "Resource": _matches(statement, "Resource", request.resource),
    }
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            texts = [_text(value) for value in _listed(values)]
            parts[f"{operator} {key}"] = _holds(operator, key.lower(), texts, request.context)
    return parts


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _all(parts: Iterable[bool | None]) -> bool | None:
    known = list(parts)
    return False if False in known else None if None in known else True


def _is_by(statement: Mapping[str, Any], principals: frozenset[str]) -> bool | None:
    if "NotPrincipal" not in statement:
        principal = statement.get("Principal")
        if _names(principal) & (principals | {"*"}):
            return True
        # It may be the account's: https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-bucket-user-policy-specifying-principal-intro.html
        return None if isinstance(principal, Mapping) and "CanonicalUser" in principal else False
    excepted = _names(statement["NotPrincipal"])
    if "*" in excepted:
        return False
    # A role is only excepted with its account and its session:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
    kinds = {_kind(name) for name in principals}
    named = {_kind(name) for name in principals & excepted}
    if not named:
        return True if kinds & {"session", "service"} else None
    return False if named == kinds else None


def _kind(principal: str) -> str:
    if principal.endswith(".amazonaws.com"):
        return "service"
    if ":assumed-role/" in principal:
        return "session"
    return "account" if principal.endswith(":root") or ":" not in principal else "role"


def _names(principal: Any) -> frozenset[str]:  # noqa: ANN401  # JSON
    if isinstance(principal, Mapping):
        return frozenset(str(name) for names in principal.values() for name in _listed(names))
    return frozenset(map(str, _listed(principal or ())))


def _matches(statement: Mapping[str, Any], field: str, value: str) -> bool | None:
    is_negated = f"Not{field}" in statement
    patterns = _listed(statement.get(f"Not{field}" if is_negated else field, ()))
    found = [_covers(str(pattern), value, field == "Action") for pattern in patterns]
    matches = True if True in found else None if None in found else False
    return matches if matches is None else matches != is_negated


def _covers(pattern: str, value: str, is_case_free: bool) -> bool | None:
    """Whether a pattern matches the value, or all that it stands for; None where it matches some of that."""
    if is_case_free:
        pattern, value = pattern.lower(), value.lower()
    plain = _VARIABLE.sub("*", pattern)
    # A value that is a pattern, taken as a text, is matched only by patterns that match all it stands for.
    if plain == pattern and _like(pattern, value):
        return True
    return None if _overlap(plain, value) else False


def _overlap(one: str, other: str) -> bool:
    """Whether anything matches both patterns."""
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if i == len(one) and j == len(other):
            return True
        a, b = one[i : i + 1], other[j : j + 1]
        steps = []
        if a == "*":
            steps += [(i + 1, j)] + ([(i, j + 1)] if b else [])
        if b == "*":
            steps += [(i, j + 1)] + ([(i + 1, j)] if a else [])
        if a and b and (a == b or "?" in {a, b}):
            steps.append((i + 1, j + 1))
        for step in steps:
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return False


_VARIABLE = re.compile(r"\$\{[^}]*\}")


def _like(pattern: str, value: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _same(pattern: str, value: str) -> bool:
    return pattern == value


def _same_in_any_case(pattern: str, value: str) -> bool:
    return pattern.lower() == value.lower()


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": _same,
    "StringEqualsIgnoreCase": _same_in_any_case,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _same_in_any_case,
    "NumericEquals": lambda limit, value: float(value) == float(limit),
    "NumericLessThan": lambda limit, value: float(value) < float(limit),
    "NumericLessThanEquals": lambda limit, value: float(value) <= float(limit),
    "NumericGreaterThan": lambda limit, value: float(value) > float(limit),
    "NumericGreaterThanEquals": lambda limit, value: float(value) >= float(limit),
}
_OF_SETS = ("ForAllValues:", "ForAnyValue:")


def _holds(operator: str, key: str, values: list[str], context: Mapping[str, Value]) -> bool | None:
    """Whether one condition holds; None where the operator, or the request's value, is not known."""
    if key not in context or any(_VARIABLE.search(value) for value in values):
        return None
    known = context[key]
    found = {_holds_for(operator, value, values) for value in (known if isinstance(known, tuple) else (known,))}
    return found.pop() if len(found) == 1 else None


def _holds_for(operator: str, value: str | None, values: list[str]) -> bool | None:
    if operator == "Null":
        return str(value is None).lower() in values
    of_set = next((prefix for prefix in _OF_SETS if operator.startswith(prefix)), "")
    base = operator.removeprefix(of_set).removesuffix("IfExists")
    positive = base.replace("Not", "", 1)
    if (compare := _OPERATORS.get(positive)) is None:
        return None
    is_negated = positive != base
    if value is None:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
        if of_set:
            return of_set == "ForAllValues:"
        return is_negated or operator.endswith("IfExists")
    try:
        return any(compare(one, value) for one in values) != is_negated
    except ValueError:  # not a number
        return None


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  # JSON: one, or a list of them
    return list(value) if isinstance(value, list | tuple) else [value]
