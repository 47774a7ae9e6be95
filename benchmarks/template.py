"""What the template configures, as far as a model of it needs it."""

from functools import cache
from typing import Any

from s3_manifest_cli.local_stack import stack


@cache
def _template() -> dict[str, Any]:
    return stack.template()


def default(parameter: str) -> float:
    """The default of a parameter that is a number."""
    return float(_template()["Parameters"][parameter]["Default"])


def text(parameter: str) -> str:
    """The default of a parameter."""
    return str(_template()["Parameters"][parameter]["Default"])


def count(resource_type: str) -> int:
    """How many resources of a type there are, those that a condition may leave out among them."""
    return sum(resource["Type"] == resource_type for resource in _template()["Resources"].values())


def memory_mb(function: str) -> int:
    """The memory of a function, by its logical id."""
    return int(_template()["Resources"][function]["Properties"]["MemorySize"])


def change_source() -> dict[str, Any]:
    """How the reconcile function is fed from the change queue, by default."""
    event: dict[str, Any] = _template()["Resources"]["ReconcileFunction"]["Properties"]["Events"]["Changes"]
    _, gathered, at_once = event["Properties"]["BatchSize"]["Fn::If"]
    return event["Properties"] | {"BatchSize": gathered if default("BatchingWindowSeconds") else at_once}


def sweep_timeout() -> float:
    """The seconds that one message of the sweep queue may take."""
    return float(_template()["Resources"]["SweepFunction"]["Properties"]["Timeout"])


def sweep_visibility() -> float:
    """The seconds after which a message whose function died is delivered again."""
    return float(_template()["Resources"]["SweepQueue"]["Properties"]["VisibilityTimeout"])
