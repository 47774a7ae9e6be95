"""The values of the template that the models use."""

from functools import cache
from typing import Any

from s3_manifest_cli.local_stack import stack


@cache
def _template() -> dict[str, Any]:
    return stack.template()


def default(parameter: str) -> float:
    """The default of a numeric parameter."""
    return float(_template()["Parameters"][parameter]["Default"])


def text(parameter: str) -> str:
    """The default of a parameter."""
    return str(_template()["Parameters"][parameter]["Default"])


def count(resource_type: str) -> int:
    """The number of resources of a type, including those that depend on a condition."""
    return sum(resource["Type"] == resource_type for resource in _template()["Resources"].values())


def memory_mb(function: str) -> int:
    """The memory of a function, by its logical id."""
    return int(_template()["Resources"][function]["Properties"]["MemorySize"])


def change_source() -> dict[str, Any]:
    """The properties of the event source that invokes the reconcile function, by default."""
    event: dict[str, Any] = _template()["Resources"]["ReconcileFunction"]["Properties"]["Events"]["Changes"]
    _, with_window, without_window = event["Properties"]["BatchSize"]["Fn::If"]
    return event["Properties"] | {"BatchSize": with_window if default("BatchingWindowSeconds") else without_window}


def sweep_timeout() -> float:
    """The timeout of the sweep function, in seconds."""
    return float(_template()["Resources"]["SweepFunction"]["Properties"]["Timeout"])


def sweep_visibility() -> float:
    """The visibility timeout of the sweep queue: after it, the message of a dead function is delivered again."""
    return float(_template()["Resources"]["SweepQueue"]["Properties"]["VisibilityTimeout"])
