"""The expected manifests of a generated tree, and their differences from real ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Fact(NamedTuple):
    """The expected fields of one file; None where only the object's own metadata counts."""

    md5: str
    prompt: str | None = None
    good: bool = True
    generation: tuple[int | str, str] | None = None


@dataclass
class Truth:
    """The expected manifest of one collection."""

    title: str | None = None
    files: dict[str, Fact] = field(default_factory=dict)
    generations: set[tuple[int | str, str]] = field(default_factory=set)


def differences(truth: Truth, manifest: Mapping[str, Any] | None) -> Iterator[str]:
    """The differences of a manifest, as JSON, from the expected one (None: there is no manifest)."""
    actual: Mapping[str, Any] = manifest or {"kind": "none", "none_title": None, "files": [], "generations": []}
    files = {file["filename"]: file for file in actual["files"]}
    yield from (f"{name}: only in the manifest" for name in sorted(files.keys() - truth.files.keys()))
    for name, fact in truth.files.items():
        if name not in files:
            yield f"{name}: not in the manifest"
            continue
        file = files[name]
        if file["md5_hash"] != fact.md5:
            yield f"{name}: MD5 {file['md5_hash']}, and not {fact.md5}"
        if (file["prompt"], file["good"]) != (fact.prompt, fact.good):
            yield f"{name}: {file['prompt']!r}, {file['good']}, and not {fact.prompt!r}, {fact.good}"
        if fact.generation and (file["generation_id"], file["generation_type"]) != fact.generation:
            yield f"{name}: generation {file['generation_type']} {file['generation_id']}, and not {fact.generation}"
    if (title := actual[f"{actual['kind']}_title"]) != truth.title:
        yield f"title {title!r}, and not {truth.title!r}"
    declared = {(item["generation_id"], item["type"]) for item in actual["generations"]}
    yield from (f"generation {missing}: not in the manifest" for missing in truth.generations - declared)
