"""What the manifests of a made tree have to say, and where they say something else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Fact(NamedTuple):
    """What a manifest has to say of one file; None: nothing but what the object says itself."""

    md5: str
    prompt: str | None = None
    good: bool = True
    generation: tuple[int | str, str] | None = None


@dataclass
class Truth:
    """What the manifest of one collection has to say."""

    title: str | None = None
    files: dict[str, Fact] = field(default_factory=dict)
    generations: set[tuple[int | str, str]] = field(default_factory=set)


def differences(truth: Truth, manifest: Mapping[str, Any] | None) -> Iterator[str]:
    """What a manifest, as JSON, says otherwise (None: there is none)."""
    said: Mapping[str, Any] = manifest or {"kind": "none", "none_title": None, "files": [], "generations": []}
    files = {one["filename"]: one for one in said["files"]}
    yield from (f"{name}: only in the manifest" for name in sorted(files.keys() - truth.files.keys()))
    for name, fact in truth.files.items():
        if name not in files:
            yield f"{name}: not in the manifest"
            continue
        one = files[name]
        if one["md5_hash"] != fact.md5:
            yield f"{name}: MD5 {one['md5_hash']}, and not {fact.md5}"
        if (one["prompt"], one["good"]) != (fact.prompt, fact.good):
            yield f"{name}: {one['prompt']!r}, {one['good']}, and not {fact.prompt!r}, {fact.good}"
        if fact.generation and (one["generation_id"], one["generation_type"]) != fact.generation:
            yield f"{name}: generation {one['generation_type']} {one['generation_id']}, and not {fact.generation}"
    if (title := said[f"{said['kind']}_title"]) != truth.title:
        yield f"title {title!r}, and not {truth.title!r}"
    declared = {(one["generation_id"], one["type"]) for one in said["generations"]}
    yield from (f"generation {one}: not in the manifest" for one in truth.generations - declared)
