"""What is too long for one answer is cut in it, and the answer says so: the manifest itself keeps it whole."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue
from pydantic_core import from_json

from s3_manifest.manifest.encoding import json_bytes

MAX_ANSWER_BYTES = 5_500_000
"""The most that is put into one answer. Lambda's limit is 6 MB, envelope and escapes included.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

MAX_RESPONSE_BYTES = 6 * 1024 * 1024
"""Of what a function returns; the caller gets a 502 for more."""

MAX_FACTS_BYTES = MAX_ANSWER_BYTES - 1_000_000
"""Of what an answer says of the collection: the rest is for its files, of which any that is cut fits."""

_CHARACTERS, _ITEMS = 1000, 100
_MANY = 10


def escaped_size(body: bytes) -> int:
    """The size of a text once it is a string inside Lambda's JSON answer."""
    return len(body) + body.count(b'"') + body.count(b"\\")


def cut_entry(line: bytes) -> bytes:
    """An entry, JSON, with its long texts and lists cut; its ``problem`` says which."""
    entry: dict[str, Any] = from_json(line)
    cut = list[str]()
    short = {name: _cut(value, name, cut) for name, value in entry.items()}
    if not cut:
        return line
    names = ", ".join(cut[:_MANY]) + (f" and {len(cut) - _MANY} more" if len(cut) > _MANY else "")
    told = f"too long for an answer, and cut in this one: {names}; the manifest in S3 has all of it"
    before = short.get("problem")
    return json_bytes(short | {"problem": f"{before}; {told}" if before else told})


def fitting_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an answer; where they are too much for one, without metadata of generations, or without those.

    ``left_out`` says which.
    """
    whole = dict(facts)
    if escaped_size(json_bytes(whole)) <= MAX_FACTS_BYTES:
        return whole
    bare = [{name: value for name, value in one.items() if name != "metadata"} for one in whole["generations"]]
    smaller = whole | {"generations": bare, "left_out": ["generations.metadata"]}
    if escaped_size(json_bytes(smaller)) <= MAX_FACTS_BYTES:
        return smaller
    return whole | {"generations": [], "problems": [], "left_out": ["generations", "problems"]}


def _cut(value: JsonValue, name: str, cut: list[str]) -> JsonValue:
    match value:
        case str() if len(value) > _CHARACTERS:
            cut.append(f"{name} ({len(value.encode())} bytes)")
            return value[:_CHARACTERS] + "…"
        case list():
            if len(value) > _ITEMS:
                cut.append(f"{name} ({len(value)} items)")
            return [_cut(inner, name, cut) for inner in value[:_ITEMS]]
        case dict():
            kept = list(value.items())[:_ITEMS]
            if len(value) > _ITEMS:
                cut.append(f"{name} ({len(value)} items)")
            return {key[:_CHARACTERS]: _cut(inner, f"{name}.{key[:_CHARACTERS]}", cut) for key, inner in kept}
        case _:
            return value
