"""The protocol's bounds, so small that a few keys reach them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from types import ModuleType

from s3_manifest.manifest import layout
from s3_manifest.query import reads
from s3_manifest.reconcile import commit, drain, lease, working_set
from s3_manifest.storage import heads
from s3_manifest.sweep import sweep


@dataclass(frozen=True)
class Bounds:
    """One value for each; the real ones are far larger."""

    values: tuple[tuple[ModuleType, str, int], ...]

    @staticmethod
    def inline(chance: Random) -> int:
        """How many entries a head may hold."""
        return chance.choice((1, 2, 3, 2000))

    @staticmethod
    def drawn(chance: Random, inline: int) -> "Bounds":
        largest = chance.choice((2, 3))
        return Bounds(
            (
                (commit, "CHUNK", chance.choice((1, 2, 500))),
                (working_set, "MAX_PAGES", chance.choice((1, 2, 32))),
                (lease, "MIN_KEYS", chance.choice((1, 2, 500))),
                (layout, "MAX_INLINE", inline),
                (layout, "MAX_PAGE", largest),
                (layout, "MIN_PAGE", chance.choice((1, largest // 2 + 1))),
                (heads, "CHECKPOINT_EVERY", chance.choice((1, 2, 3, 100))),
                (sweep, "MAX_DIFFERENT", chance.choice((1, 2, 500))),
                (sweep, "MAX_PENDING_BYTES", chance.choice((20, 40, 150_000))),
                (sweep, "RANGES", chance.choice((1, 2, 8))),
                (sweep, "MIN_PAGES", chance.choice((1, 8))),
                (sweep, "MAX_PAGES", chance.choice((1, 2, 64))),
                (drain, "FULL_BATCH", chance.choice((1, 2, 10))),
                (drain, "RECEIVE_MESSAGES", chance.choice((1, 2))),
                (drain, "DELETE_MESSAGES", chance.choice((1, 10))),
                (drain, "MAX_MESSAGES", chance.choice((1, 3, 1000))),
                (drain, "MAX_CALLS", chance.choice((1, 2))),
                (reads, "PAGES_READ", chance.choice((1, 2))),
            )
        )

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Replaces the real bounds during the block."""
        before = [(module, name, getattr(module, name)) for module, name, _ in self.values]
        for module, name, value in self.values:
            setattr(module, name, value)
        try:
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)
