"""One seed, one run: users change a bucket, events go astray, workers reconcile; at rest, is it true?

Everything is the real code but S3, the queue, time and chance. A run is a function of its seed.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar
from urllib.parse import quote_plus

from s3_manifest import commit as protocol
from s3_manifest import heads, turns
from s3_manifest.collections import parse_collections
from s3_manifest.facts import SIDECARS, Location
from s3_manifest.memory import MemoryStore
from s3_manifest.model import timestamp
from s3_manifest.reconcile import Message, reconcile
from s3_manifest.world import Backfill, World
from simulation.bucket import FAULTS, Crashed, SimulatedBucket
from simulation.scheduler import Scheduler

BUCKET = "images"
COLLECTIONS = parse_collections("style=styles/{style_id}/", "_manifests/")
NAMES = ("a.png", "b.png", "c/d.png", "e.png", "collection.json")
STEP_LIMIT = 20_000
YEAR = datetime(2026, 1, 1, tzinfo=UTC)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Divergence(AssertionError):
    """A manifest says something that is not so, and no event is left that would mend it."""


@dataclass
class Queue:
    """The change queue: at least once, in no order. ``pending`` counts what each key still awaits."""

    visible: list[tuple[Message, tuple[str, ...]]] = field(default_factory=list)
    pending: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    def promise(self, keys: Sequence[str]) -> None:
        self.pending.update(keys)

    def send(self, body: str, keys: Sequence[str] = (), *, is_backfill: bool = False) -> None:
        """Makes a message visible; its keys were promised before."""
        self.sent += 1
        self.visible.append((Message(str(self.sent), body, is_backfill), tuple(keys)))

    def acknowledge(self, keys: Sequence[str]) -> None:
        self.pending.subtract(keys)


class Simulation:
    """The state of one run."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        self.scheduler = Scheduler(chance)
        self.truth = MemoryStore(now=self._now)
        self.queue = Queue()
        self.faults = [chance.choice(FAULTS) for _ in range(chance.choice((0, 0, 2, 6)))]
        self.page = chance.choice((1, 2, 1000))
        self.workers = chance.choice((2, 2, 3, 4))
        self.batch = chance.choice((1, 2, 4))
        self.running = 0
        self.commits = 0
        # A clock that stands still is the hardest: nothing but the commit id tells two heads apart.
        self.ticks = chance.choice((False, False, True))
        self.time = 0
        self.sent_late: list[Callable[[], None]] = []
        self.chunk = chance.choice((1, 2, 500))
        self.turns_from = chance.choice((1, 2, 500))
        self.styles = ("1",) if chance.random() < 0.8 else ("1", "2")
        self.names = chance.sample(NAMES, chance.choice((1, 1, 2, 3, 5)))

    def run(self) -> None:
        for _ in range(self.chance.choice((0, 1, 3, 6))):
            self._store_something()  # from before anybody watched: no event tells of it
        for _ in range(self.chance.choice((1, 1, 2))):
            self.scheduler.spawn(self._user)
        steps = 0
        while self._step():
            steps += 1
            if steps > STEP_LIMIT:
                raise Divergence("it never comes to rest")
        for style in self.styles:
            self._check(f"styles/{style}/", at_rest=True)

    def _step(self) -> bool:
        if self.queue.visible and self.running < self.workers and self.chance.random() < 0.3:
            self.running += 1
            self.scheduler.spawn(self._worker)
        if self.scheduler.step():
            return True
        while self.sent_late:  # events that came so late that all else was over
            self.sent_late.pop()()
        return bool(self.queue.visible)

    def _user(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            for _ in range(self.chance.choice((1, 1, 5, 20))):
                self.scheduler.wait()
            key = self._key()
            if self.chance.random() < 0.5:
                key = self._store_something()
                name = "ObjectCreated:Put"
            else:
                self.truth.remove(key)
                name = "ObjectRemoved:Delete"
            for _ in range(self.chance.choice((1, 1, 1, 2))):
                self._notify(key, name)
        if self.chance.random() < 0.3:
            self._notify(self._key(), "ObjectRemoved:Delete")  # of an old version: the key may well be there

    def _notify(self, key: str, name: str) -> None:
        body = _notification(key, name)
        self.queue.promise([key])
        fate = self.chance.random()
        if fate < 0.1:
            self.sent_late.append(lambda: self.queue.send(body, [key]))
        elif fate < 0.5:
            self.scheduler.spawn(lambda: (self.scheduler.wait(), self.queue.send(body, [key])))
        else:
            self.queue.send(body, [key])

    def _worker(self) -> None:
        chance, visible = self.chance, self.queue.visible
        chance.shuffle(visible)
        batch = [visible.pop() for _ in range(min(len(visible), self.batch))]
        if batch and chance.random() < 0.05:
            message, keys = chance.choice(batch)  # delivered twice, to two workers
            self.queue.promise(keys)
            visible.append((message._replace(id=f"{message.id}+"), keys))
        try:
            report = reconcile(self._world(), [message for message, _ in batch], pause_with_seconds_left=50)
        except Crashed:
            visible += batch
        else:
            if report.crashes:
                raise report.crashes[0]
            for message, keys in batch:
                if message.id in report.failed:
                    visible.append((message, keys))
                else:
                    self.queue.acknowledge(keys)
        finally:
            self.running -= 1

    def _world(self) -> World:
        hasty = self.chance.random() < 0.1
        return World(
            store=SimulatedBucket(self.truth, self.scheduler, self.chance, self.faults, self.page, self._on_write),
            collections=COLLECTIONS,
            location=Location(BUCKET, "us-east-1"),
            md5_max_bytes=1000,
            ask=self._ask,
            each=self._each,
            now=self._now,
            seconds_left=lambda: self.chance.choice((5, 20, 100)) if hasty else 100,
            sleep=lambda _seconds: self.scheduler.pause(),
            random=self.chance.random,
            commit_id=lambda: f"{self.chance.getrandbits(64):016x}",
        )

    def _each(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        # One after the other in a random order: as each waits for its turn, all that several at once can see.
        todo = list(items)
        order = list(range(len(todo)))
        self.chance.shuffle(order)
        done = {index: work(todo[index]) for index in order}
        return [done[index] for index in range(len(todo))]

    def _ask(self, request: Backfill) -> None:
        self.scheduler.pause()
        if self.faults and self.faults[-1] == "crash":
            self.faults.pop()
            raise Crashed
        self.queue.send(request.model_dump_json(), is_backfill=True)

    def _key(self) -> str:
        return f"styles/{self.chance.choice(self.styles)}/{self.chance.choice(self.names)}"

    def _store_something(self) -> str:
        key = self._key()
        body = json.dumps({"title": self.chance.choice("xyz")}).encode()
        present = self.truth.upload(key, body)
        if self.chance.random() < 0.2:  # in parts: its ETag does not prove its MD5
            self.truth.upload(key, body, etag=f"{present.etag}-2")
        return key

    def _now(self) -> str:
        self.time += self.ticks
        return timestamp(YEAR + timedelta(milliseconds=self.time))

    def _on_write(self, key: str) -> None:
        if not key.endswith("/manifest.json"):
            return
        self.commits += 1
        self._check(key.removeprefix("_manifests/").removesuffix("manifest.json"), at_rest=False)

    def _check(self, prefix: str, *, at_rest: bool) -> None:
        """What the manifest says and what is so may differ only where an event is still to come."""
        collection = COLLECTIONS.of(f"{prefix}x")
        assert collection
        loaded = heads.load(self.truth, collection)
        if loaded is None:
            return  # nothing was ever committed, so no event was ever answered for
        head = loaded.head
        objects = {k: present for k, (present, _) in self.truth.objects.items() if k.startswith(prefix)}
        wrong = {
            sidecar.s3_key
            for sidecar in head.sidecars
            if getattr(objects.get(sidecar.s3_key), "etag", None) != sidecar.etag
        }
        said = {entry.s3_key: (entry.etag, entry.size_bytes) for entry in head.files}
        so = {k: (p.etag, p.size) for k, p in objects.items() if collection.filename(k) not in SIDECARS}
        listed = {sidecar.s3_key for sidecar in head.sidecars}
        wrong |= {k for k in said.keys() | so.keys() if said.get(k) != so.get(k)}
        wrong |= {k for k in objects if collection.filename(k) in SIDECARS and k not in listed}
        excused = {key for key, count in self.queue.pending.items() if count > 0}
        if head.complete and wrong - excused:
            raise Divergence(f"wrong, and no event is to come: {sorted(wrong - excused)} at revision {head.revision}")
        if head.total_files != len(said) or head.total_size_bytes != sum(size for _, size in said.values()):
            raise Divergence("the totals are not those of the files")
        if at_rest:
            self._check_at_rest(collection, head.complete, wrong)
            title_key = f"{prefix}collection.json"
            title = json.loads(self.truth.objects[title_key][1])["title"] if title_key in objects else None
            if head.title != title:
                raise Divergence(f"the title is {head.title!r} and not {title!r}")

    def _check_at_rest(self, collection: object, complete: bool, wrong: set[str]) -> None:
        if wrong:
            raise Divergence(f"at rest, wrong: {sorted(wrong)}")
        if not complete:
            raise Divergence(f"at rest, {collection} is not complete")
        if +self.queue.pending:
            raise Divergence("the simulation itself lost an event")


def _notification(key: str, name: str) -> str:
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": name,
        "s3": {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key)}},
    }
    return json.dumps({"Records": [record]})


def simulate(seed: int) -> int:
    """Runs one seed; the commits it made. Raises ``Divergence``."""
    simulation = Simulation(seed)
    with _bounds(simulation.chunk, simulation.turns_from):
        simulation.run()
    return simulation.commits


@contextmanager
def _bounds(chunk: int, turns_from: int) -> Iterator[None]:
    """The protocol with other bounds, so small that a few keys come up against them."""
    before = protocol.CHUNK, turns.MIN_KEYS
    protocol.CHUNK, turns.MIN_KEYS = chunk, turns_from
    try:
        yield
    finally:
        protocol.CHUNK, turns.MIN_KEYS = before
