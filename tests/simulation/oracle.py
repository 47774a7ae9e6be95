"""The expected descriptions of the objects in a bucket, computed from its sidecars and captions.

It uses none of the package's logic, and reads only the formats that the simulation writes.
"""

import json
from typing import Any

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Head
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import Present

RECORD = "_manifests/subscription.json"
PROMPTS, IMAGE_FOLDER, COLLECTION = "prompt_metadata.json", "metadata.jsonl", "collection.json"


def wrongly_described(truth: MemoryStore, collection: Collection, entries: list[Entry], pending: set[str]) -> set[str]:
    """The keys of entries that differ from the bucket, except those that wait for an event."""
    prompts, lines = _described(truth, collection)
    sidecars = {collection.prefix + PROMPTS, collection.prefix + IMAGE_FOLDER}
    if sidecars & pending:
        return set()
    wrong = set[str]()
    for entry in entries:
        caption = f"{collection.prefix}{entry.filename.rpartition('.')[0]}.txt"
        if not ({entry.s3_key, caption} & pending) and _recorded(entry) != _expected(
            truth, entry, caption, prompts, lines
        ):
            wrong.add(entry.s3_key)
    return wrong


def wrong_facts(truth: MemoryStore, collection: Collection, head: Head) -> str | None:
    """The first wrong fact about the collection in a manifest at rest."""
    facts = _json(truth, collection.prefix + COLLECTION)
    if head.title != facts.get("title"):
        return f"the title is {head.title!r} and not {facts.get('title')!r}"
    declared = {
        (generation["generation_id"], generation["type"]): generation["metadata"]
        for generation in facts.get("generations", ())
    }
    listed = {
        (generation.generation_id, generation.type): generation.metadata
        for generation in head.generations
        if generation.declared
    }
    if listed != declared:
        return f"the declared generations are {listed} and not {declared}"
    broken = {key for key, (_, body) in truth.objects.items() if key.startswith(collection.prefix) and body == b"{"}
    reported = {problem.s3_key for problem in head.problems}
    if missing := {key for key in broken if key.endswith((".json", ".jsonl"))} - reported:
        return f"no problem is reported for the broken {sorted(missing)}"
    return None


def _expected(truth: MemoryStore, entry: Entry, caption: str, prompts: dict[str, Any], lines: dict[str, Any]) -> Any:
    if entry.s3_key not in truth.objects:
        return None
    present, body = truth.objects[entry.s3_key]
    if entry.filename.endswith(".txt"):
        return body.decode()
    source = _source(truth, present)
    text = truth.objects[caption][1].decode() if caption in truth.objects else None
    first, second = prompts.get(entry.filename, {}), lines.get(entry.filename, {})
    prompt = first.get("prompt") or second.get("text") or text or present.metadata.get("prompt")
    generation = (first["generation_id"], "declared") if "generation_id" in first else (1, source)
    return prompt, first.get("good", True), first.get("hidden", False), generation, source


def _recorded(entry: Entry) -> Any:
    if entry.caption is not None:
        return entry.caption
    return entry.prompt, entry.good, entry.hidden, (entry.generation_id, entry.generation_type), entry.source


def _source(truth: MemoryStore, present: Present) -> str:
    """An object is announced from the time on that the record of the subscription names."""
    for prefix, subscription in _json(truth, RECORD).get("prefixes", {}).items():
        if present.key.startswith(prefix) and present.last_modified >= subscription["since"]:
            return "s3_event"
    return "s3_scan"


def _described(truth: MemoryStore, collection: Collection) -> tuple[dict[str, Any], dict[str, Any]]:
    stored = truth.get(collection.prefix + IMAGE_FOLDER)
    lines = [json.loads(line) for line in stored.body.splitlines() if line != b"{"] if stored else []
    return _json(truth, collection.prefix + PROMPTS), {line["file_name"]: line for line in reversed(lines)}


def _json(truth: MemoryStore, key: str) -> dict[str, Any]:
    stored = truth.get(key)
    return json.loads(stored.body) if stored and stored.body != b"{" else {}
