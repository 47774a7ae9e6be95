"""Damages the objects of manifests: loses, truncates, modifies or swaps them."""

from collections.abc import Mapping, Sequence
from random import Random

from s3_manifest.manifest.collections import Collection
from s3_manifest.storage.memory import MemoryStore
from simulation.history import Place
from simulation.judge import Judge

FOLDERS = ("pages/", "pages/", "sidecars/", "changes/", "checkpoints/")


class Vandal:
    """Damages objects at random. Its random numbers are its own, so that the rest of a run does not depend on it."""

    def __init__(self, chance: Random, truths: Mapping[str, MemoryStore], judge: Judge) -> None:
        self.chance = chance
        self._truths = truths
        self._judge = judge
        # Either heads or other objects: a recreated manifest continues above the existing records.
        self._takes_heads = chance.random() < 0.2

    @staticmethod
    def drawn(seed: int | str, truths: Mapping[str, MemoryStore], judge: Judge) -> "Vandal | None":
        """Returns a vandal for some of the seeds, and None for the others."""
        chance = Random(f"vandal {seed}")
        return Vandal(chance, truths, judge) if chance.random() < 0.2 else None

    def strike(self, collections: Sequence[Collection]) -> None:
        """Damages one object, if there is any."""
        collection = self.chance.choice(collections)
        truth = self._truths[collection.bucket]
        if self._takes_heads:
            self._judge.removed_heads.add(collection)
            truth.remove(collection.head_key)
            return
        folder = self.chance.choice(FOLDERS)
        keys = sorted(key for key in truth.objects if key.startswith(collection.folder + folder))
        if not keys:
            return
        key = self.chance.choice(keys)
        body = truth.objects[key][1]
        self._judge.damaged.setdefault(Place(collection.bucket, key), body)
        others = [truth.objects[other][1] for other in keys if other != key]
        match self.chance.choice(("lost", "cut off", "altered", "altered", "swapped")):
            case "lost":
                truth.remove(key)
            case "cut off":
                truth.upload(key, body[: self.chance.randrange(max(1, len(body)))])
            case "altered":
                truth.upload(key, _altered(body, self.chance))
            case _:
                truth.upload(key, self.chance.choice(others or [b"{}"]))


def _altered(body: bytes, chance: Random) -> bytes:
    """Returns different content, still valid where possible."""
    pairs = [
        (b'"good":true', b'"good":false'),
        (b'"prompt":null', b'"prompt":"z"'),
        (b'"prompt":"o"', b'"prompt":"p"'),
        (b'"good":false', b'"good":true'),
        (b'"complete":true', b'"complete":false'),
        (b'"etag":"', b'"etag":"0'),
    ]
    chance.shuffle(pairs)
    for old, new in pairs:
        if old in body:
            return body.replace(old, new, 1)
    return body + b" "
