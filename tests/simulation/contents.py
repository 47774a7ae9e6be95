"""The objects of a simulated bucket: images, captions, and sidecars, some of them broken."""

import json
from random import Random

PICTURES = ("a.png", "b.png", "c/d.png", "e.png", "f.png", "g.png")
_METADATA = {
    "r": {"prompt": "r"},
    "s": {"prompt": "s"},
    "x": {"generated-at": "2025-02-01T00:00:00Z"},
    "y": {"generated-at": "2025-03-01T00:00:00Z"},
}
SIDECARS_AND_CAPTIONS = ("a.txt", "e.txt", "collection.json", "prompt_metadata.json", "metadata.jsonl")


def names(chance: Random) -> list[str]:
    """The filenames of one run."""
    sidecars_and_captions = chance.sample(SIDECARS_AND_CAPTIONS, chance.choice((0, 1, 2, 5)))
    return chance.sample(PICTURES, chance.choice((1, 1, 1, 2, 5))) + sidecars_and_captions


def random_object(filename: str, chance: Random) -> tuple[bytes, dict[str, str]]:
    """A body for an object of that name, and its user metadata."""
    if filename.endswith(".txt"):
        return chance.choice("uvw").encode(), {}
    if filename.endswith(".png"):
        # New metadata always has new bytes: a listing does not show a change of metadata alone within a second.
        body = chance.choice("rsxyz")
        return body.encode(), _METADATA.get(body, {})
    if chance.random() < 0.1:
        return b"{", {}
    if filename == "collection.json":
        return json.dumps(_collection(chance)).encode(), {}
    described = [name for name in PICTURES if chance.random() < 0.5]
    if filename == "metadata.jsonl":
        lines = (json.dumps({"file_name": name, "text": chance.choice("lmn")}) for name in described)
        return "\n".join(lines).encode(), {}
    return json.dumps({name: _description(chance) for name in described}).encode(), chance.choice(({}, {"edit": "7"}))


def _description(chance: Random) -> dict[str, object]:
    description: dict[str, object] = {}
    if chance.random() < 0.5:
        description["prompt"] = chance.choice("opq")
    if chance.random() < 0.5:
        description["good"] = chance.random() < 0.5
    if chance.random() < 0.3:
        description["hidden"] = chance.random() < 0.7
    if chance.random() < 0.3:
        description["generation_id"] = chance.choice((7, 8))
    return description


def _collection(chance: Random) -> dict[str, object]:
    generation = {
        "generation_id": chance.choice((7, 8)),
        "type": "declared",
        "generated_at": "2025-01-01T00:00:00.000Z",
    }
    declared = [generation | {"metadata": {"seed": chance.randint(1, 3)}}] if chance.random() < 0.5 else []
    return {"title": chance.choice("xyz"), "generations": declared}
