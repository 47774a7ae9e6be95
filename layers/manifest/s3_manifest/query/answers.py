"""Answers of the HTTP API: how large they may be, and how larger ones are truncated.

An answer names what is truncated in it. The manifest in S3 is always complete.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, JsonValue
from pydantic_core import from_json, to_json

from s3_manifest.manifest.encoding import json_bytes
from s3_manifest.manifest.model import Frozen

MAX_ANSWER_BYTES = 5_500_000
"""The limit for one answer. Lambda's limit is 6 MB, including envelope and escapes.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

MAX_RESPONSE_BYTES = 6 * 1024 * 1024
"""The limit for what a function returns; for more, the caller gets a 502."""

MAX_FACTS_BYTES = MAX_ANSWER_BYTES - 1_000_000
"""The limit for the facts in an answer; the rest is for files, and fits any truncated entry."""

_MAX_CHARACTERS, _MAX_ITEMS = 1000, 100
_MAX_NAMES = 10


class AnswerModel(Frozen):
    """Part of an answer. Its validator is built at first use, which makes cold starts shorter."""

    model_config = ConfigDict(defer_build=True)


class AnswerTooLarge(Exception):
    """The result does not fit into one answer of Lambda."""


def json_with_lists(facts: Mapping[str, Any], lists: Mapping[str, Sequence[bytes]], **more: JsonValue) -> bytes:
    """A JSON object with these members and lists, whose items are encoded already."""
    body = json_bytes(facts)[:-1]
    for name, lines in lists.items():
        body += b',"%s":[' % name.encode() + b",".join(lines) + b"]"
    return body + (b"," + to_json(more)[1:] if more else b"}")


def escaped_size(body: bytes) -> int:
    """The size of a text as a string in Lambda's JSON answer."""
    return len(body) + body.count(b'"') + body.count(b"\\")


def truncate_entry(line: bytes) -> bytes:
    """An entry, JSON, with long texts and lists truncated; its ``problem`` names them."""
    entry: dict[str, Any] = from_json(line)
    truncated: list[str] = []
    short = {name: _truncate(value, name, truncated) for name, value in entry.items()}
    if not truncated:
        return line
    others = f" and {len(truncated) - _MAX_NAMES} more" if len(truncated) > _MAX_NAMES else ""
    names = ", ".join(truncated[:_MAX_NAMES]) + others
    problem = f"truncated here, because too long for an answer: {names}; the manifest in S3 is complete"
    before = short.get("problem")
    return json_bytes(short | {"problem": f"{before}; {problem}" if before else problem})


def truncate_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts, if need be without the metadata of generations, or without generations and problems (``left_out``)."""
    complete = dict(facts)
    generations = [{**generation} for generation in complete["generations"]]
    for generation in generations:
        generation.pop("metadata", None)
    smaller = complete | {"generations": generations, "left_out": ["generations.metadata"]}
    smallest = complete | {"generations": [], "problems": [], "left_out": ["generations", "problems"]}
    fitting = (short for short in (complete, smaller) if escaped_size(json_bytes(short)) <= MAX_FACTS_BYTES)
    return next(fitting, smallest)


def _truncate(value: JsonValue, name: str, truncated: list[str]) -> JsonValue:
    match value:
        case str() if len(value) > _MAX_CHARACTERS:
            truncated.append(f"{name} ({len(value.encode())} bytes)")
            return value[:_MAX_CHARACTERS] + "…"
        case list():
            if len(value) > _MAX_ITEMS:
                truncated.append(f"{name} ({len(value)} items)")
            return [_truncate(item, name, truncated) for item in value[:_MAX_ITEMS]]
        case dict():
            members = list(value.items())[:_MAX_ITEMS]
            if len(value) > _MAX_ITEMS:
                truncated.append(f"{name} ({len(value)} items)")
            short = ((key[:_MAX_CHARACTERS], item) for key, item in members)
            return {key: _truncate(item, f"{name}.{key}", truncated) for key, item in short}
        case _:
            return value
