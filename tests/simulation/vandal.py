"""Damages the objects of manifests: loses, truncates, modifies or swaps them."""

from collections.abc import Sequence
from random import Random

from s3_manifest.manifest.collections import Collection
from s3_manifest.storage.memory import MemoryStore
from simulation.judge import Judge

FOLDERS = ("pages/", "pages/", "sidecars/", "changes/", "checkpoints/")


class Vandal:
    """One of them. Draws lots of its own, so that a run without it is the same as it would be."""

    def __init__(self, chance: Random, truth: MemoryStore, judge: Judge) -> None:
        self.chance = chance
        self._truth = truth
        self._judge = judge
        # Not both: a manifest that is recreated goes on above the records there are.
        self._takes_heads = chance.random() < 0.2

    @staticmethod
    def drawn(seed: int, truth: MemoryStore, judge: Judge) -> "Vandal | None":
        """One in some of the seeds; None in the others."""
        chance = Random(f"vandal {seed}")
        return Vandal(chance, truth, judge) if chance.random() < 0.2 else None

    def strike(self, collections: Sequence[Collection]) -> None:
        """Harms one object, if there is any."""
        collection = self.chance.choice(collections)
        if self._takes_heads:
            self._judge.removed_heads.add(collection.prefix)
            self._truth.remove(collection.head_key)
            return
        folder = self.chance.choice(FOLDERS)
        found = sorted(key for key in self._truth.objects if key.startswith(collection.folder + folder))
        if not found:
            return
        key = self.chance.choice(found)
        body = self._truth.objects[key][1]
        self._judge.damaged.setdefault(key, body)
        others = [self._truth.objects[other][1] for other in found if other != key]
        match self.chance.choice(("lost", "cut off", "altered", "altered", "swapped")):
            case "lost":
                self._truth.remove(key)
            case "cut off":
                self._truth.upload(key, body[: self.chance.randrange(len(body))])
            case "altered":
                self._truth.upload(key, _altered(body, self.chance))
            case _:
                self._truth.upload(key, self.chance.choice(others or [b"{}"]))


def _altered(body: bytes, chance: Random) -> bytes:
    """Other content that is still what it was by its form, where that is possible."""
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
