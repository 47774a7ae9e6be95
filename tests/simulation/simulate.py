"""Runs one seed: users change a bucket, events are lost or late, workers reconcile, and the manifests are checked.

Only S3, the queues, time and randomness are simulated. The seed determines the run.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Location, parse_collections
from s3_manifest.manifest.jobs import Job, JobsNotQueued, Sweep, SweepAll, decode_job, encode_job
from s3_manifest.manifest.model import Head, UnreadableManifest, days_before, timestamp
from s3_manifest.reconcile.drain import ChangeQueue, QueueFailed, reconcile_and_drain
from s3_manifest.reconcile.environment import AnnouncementFailed, Environment
from s3_manifest.reconcile.reconcile import Message
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import StoreError
from s3_manifest.sweep.garbage import collect_garbage
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepFailed
from simulation import contents
from simulation.bounds import Bounds
from simulation.bucket import FAULTS, Crashed, SimulatedBucket
from simulation.judge import Divergence, Judge
from simulation.queues import Delivery, Queue, bridge_event, notification
from simulation.readers import Follower, InconsistentRead, read_whole
from simulation.scheduler import Scheduler
from simulation.vandal import Vandal

BUCKET = "images"
COLLECTIONS = parse_collections("style=styles/{style_id}/", "_manifests/", BUCKET)
STEP_LIMIT = 40_000
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
DAY_AND_A_HALF = 36 * 3600 * 1000

Item = TypeVar("Item")
Result = TypeVar("Result")


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
        # A clock that stands still is the hardest case: only the commit id distinguishes two heads.
        self.ticks = chance.choice((False, False, True))
        self.time = 0
        self.day = 0
        self.days_to_come = chance.choice((0, 0, 1, 3))
        self.history_days = chance.choice((1, 30))
        self.sent_late: list[Callable[[], None]] = []
        self.bounds = Bounds.drawn(chance)
        self.loses_events = chance.random() < 0.2
        self.breaks_heads = chance.random() < 0.05
        self.styles = ("1",) if chance.random() < 0.8 else ("1", "2")
        self.names = contents.names(chance)
        self.judge = Judge(self.truth, self.queue, COLLECTIONS)
        self.vandal = Vandal.drawn(seed, self.truth, self.judge)
        self.followers = [Follower(self._collection(style)) for style in self.styles if chance.random() < 0.5]

    def run(self) -> None:
        chance = self.chance
        for _ in range(chance.choice((0, 1, 3, 6))):
            self._upload()  # older than the subscription: it has no event
        for _ in range(chance.choice((1, 1, 2))):
            self.scheduler.spawn(self._user)
        for _ in range(chance.choice((0, 0, 1, 2))):
            self.scheduler.spawn(self._sweeper)
        for _ in range(chance.choice((0, 0, 1, 2))):
            self.scheduler.spawn(self._collector)
        for follower in self.followers:
            self.scheduler.spawn(lambda follower=follower: self._reader(follower))
        if self.vandal:
            self.scheduler.spawn(self._vandal)
        self._until_at_rest()
        if not self.loses_events and not self.vandal:
            self._judge_at_rest()
        self.queue.send(encode_job(SweepAll()), is_job=True)
        self._until_at_rest()
        self.judge.forget_lost_events()
        self._judge_at_rest()
        drift = self.judge.drift
        self.queue.send(encode_job(SweepAll()), is_job=True)
        self._until_at_rest()
        if self.judge.drift != drift:
            raise Divergence("a sweep after a sweep found drift, and nothing had changed")

    def _until_at_rest(self) -> None:
        steps = 0
        while self._step():
            steps += 1
            if steps > STEP_LIMIT:
                raise Divergence("it never comes to rest")

    def _step(self) -> bool:
        if self.queue.visible and self.running < self.workers and self.chance.random() < 0.3:
            self.running += 1
            self.scheduler.spawn(self._worker)
        if self.days_to_come and self.chance.random() < 0.003:
            self.days_to_come -= 1
            self.day += 1
            self.time += DAY_AND_A_HALF
        if self.scheduler.step():
            return True
        while self.sent_late:  # events that arrive after all other work
            self.sent_late.pop()()
        return bool(self.queue.visible)

    def _judge_at_rest(self) -> None:
        for style in self.styles:
            self.judge.at_rest(self._collection(style))
        for follower in self.followers:
            while follower.follow(self.truth, _one_by_one, limit=2):
                pass
            self.judge.follower(follower)

    def _user(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            for _ in range(self.chance.choice((1, 1, 5, 20))):
                self.scheduler.wait()
            key = self._key()
            if self.chance.random() < 0.6:
                key = self._upload()
                name = "ObjectCreated:Put"
            else:
                self.truth.remove(key)
                name = "ObjectRemoved:Delete"
            for _ in range(self.chance.choice((1, 1, 1, 2))):
                self._notify(key, name)
        if self.chance.random() < 0.3:
            self._notify(self._key(), "ObjectRemoved:Delete")  # of an old version: the key may still exist

    def _sweeper(self) -> None:
        for _ in range(self.chance.choice((1, 5, 20))):
            self.scheduler.wait()
        style = self.chance.choice(self.styles)
        if self.breaks_heads and self._collection(style).head_key in self.truth.objects:
            self.truth.upload(self._collection(style).head_key, b'{"schema": 1}')
            # A sweep identifies a manifest by its creation time; none is rebuilt within a millisecond.
            self.time += 1
            self.queue.send(encode_job(Sweep(kind="style", id=style, rebuild=True)), is_job=True)
        self.queue.send(encode_job(self.chance.choice((SweepAll(), Sweep(kind="style", id=style)))), is_job=True)

    def _collector(self) -> None:
        for _ in range(self.chance.choice((1, 5, 20))):
            self.scheduler.wait()
            with suppress(Crashed, StoreError, UnreadableManifest):
                collect_garbage(self._environment(), self._collection(self.chance.choice(self.styles)))

    def _vandal(self) -> None:
        for _ in range(self.vandal.chance.choice((1, 2, 4))):
            for _ in range(self.vandal.chance.choice((5, 20, 40))):
                self.scheduler.wait()
            self.vandal.strike([self._collection(style) for style in self.styles])
            # A manifest is identified by its creation time; none is recreated within a millisecond.
            self.time += 1

    def _reader(self, follower: Follower) -> None:
        for _ in range(self.chance.choice((1, 3, 6))):
            self.scheduler.wait()
            try:
                if self.chance.random() < 0.5:
                    follower.follow(self._bucket(), self._each, limit=self.chance.choice((1, 2)))
                else:
                    self._read(follower)
            except (Crashed, StoreError):
                continue
            except UnreadableManifest:
                if not self.breaks_heads and not self.vandal:
                    raise
            except InconsistentRead as inconsistent:
                raise Divergence(str(inconsistent)) from inconsistent

    def _read(self, follower: Follower) -> None:
        revision = self.chance.choice((None, None, max(1, follower.revision - 1)))
        limit = self.chance.choice((1, 2, 10))
        if whole := read_whole(self._bucket(), self._each, follower.collection, limit, revision):
            self.judge.reading(follower.collection, *whole)

    def _notify(self, key: str, name: str) -> None:
        shape = bridge_event if self.chance.random() < 0.2 else notification
        body = shape(BUCKET, key, name)
        self.queue.promise([key])
        fate = self.chance.random()
        if fate < 0.1 and self.loses_events:
            self.judge.lost.append(key)
        elif fate < 0.2:
            self.sent_late.append(lambda: self.queue.send(body, [key]))
        elif fate < 0.5:
            self.scheduler.spawn(lambda: (self.scheduler.wait(), self.queue.send(body, [key])))
        else:
            self.queue.send(body, [key])

    def _worker(self) -> None:
        batch = self.queue.receive(self.chance, self.batch)
        try:
            self.queue.give_back(self._unfinished(batch))
        except Crashed:
            self.queue.give_back(batch)
        finally:
            self.running -= 1

    def _unfinished(self, batch: list[Delivery]) -> list[Delivery]:
        """Processes the messages and acknowledges those that succeed; returns the others."""
        own = list(batch)
        if batch and batch[0].is_job:
            failed = {batch[0].id} if self._fails(batch[0]) else set[str]()
        else:
            report = reconcile_and_drain(
                self._environment(), self._drained(batch), [_message(delivery) for delivery in batch]
            )
            if report.crashes:
                raise report.crashes[0]
            failed = set(report.failed)
        for delivery in own:
            if delivery.id not in failed:
                self.queue.acknowledge(delivery)
                batch.remove(delivery)
        return batch

    def _drained(self, batch: list[Delivery]) -> ChangeQueue:
        """Returns the queue that the function of this batch drains. Received messages join the batch until deleted.

        Like the batch itself, they are delivered again if the function dies.
        """
        received: dict[str, Delivery] = {}

        def receive() -> list[Message]:
            self._queue_request()
            messages = []
            for delivery in self.queue.receive(self.chance, self.chance.choice((1, 2, 10)), jobs=False):
                # As in SQS, each delivery has its own; two deliveries of a message may be in flight.
                receipt = str(len(received))
                received[receipt] = delivery
                batch.append(delivery)
                messages.append(_message(delivery)._replace(receipt=receipt))
            return messages

        def delete(messages: Sequence[Message]) -> None:
            self._queue_request()
            for delivery in [received.pop(message.receipt) for message in messages if message.receipt in received]:
                self.queue.acknowledge(delivery)
                batch.remove(delivery)
            self._maybe_crash()

        return ChangeQueue(receive, delete)

    def _queue_request(self) -> None:
        self.scheduler.pause()
        self._maybe_crash()
        if self.faults and self.faults[-1] == "refused":
            self.faults.pop()
            raise QueueFailed("503")

    def _fails(self, delivery: Delivery) -> bool:
        try:
            swept = run_job(self._environment(), decode_job(delivery.body), 50, repeated=delivery.repeated)
        except (StoreError, SweepFailed, AnnouncementFailed, JobsNotQueued):
            return True
        except UnreadableManifest:
            if not self.breaks_heads:
                raise
            return "rebuild" in delivery.body  # other jobs would end in the dead-letter queue
        self.judge.drift += swept.drift
        return False

    def _bucket(self) -> SimulatedBucket:
        retained_since = days_before(self._now(), self.history_days)
        return SimulatedBucket(
            self.truth,
            self.scheduler,
            self.chance,
            self.faults,
            self.page,
            self.judge.on_write,
            lambda key: self.judge.on_delete(key, retained_since),
            lambda: self.day,
        )

    def _environment(self) -> Environment:
        hasty = self.chance.random() < 0.1
        return Environment(
            stores={BUCKET: self._bucket()},
            subscribed_at=lambda _collection: None,
            collections=COLLECTIONS,
            location=Location("us-east-1"),
            md5_max_bytes=1000,
            history_days=self.history_days,
            enqueue=self._enqueue,
            announce=self._announce,
            parallel_map=self._each,
            now=self._now,
            seconds_left=lambda: self.chance.choice((5, 20, 100)) if hasty else 100,
            sleep=lambda _seconds: self.scheduler.pause(),
            random=self.chance.random,
            commit_id=lambda: f"{self.chance.getrandbits(64):016x}",
        )

    def _each(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        # Sequentially, in a random order: the scheduler makes it equivalent to concurrent calls.
        todo = list(items)
        order = list(range(len(todo)))
        self.chance.shuffle(order)
        done = {index: work(todo[index]) for index in order}
        return [done[index] for index in range(len(todo))]

    def _enqueue(self, jobs: Sequence[Job], delay_seconds: int = 0) -> None:
        for job in jobs:
            self._maybe_crash()
            self.queue.send(encode_job(job), is_job=True)

    def _announce(self, head: Head, file_changes: Sequence[FileChange], *, repeated: bool) -> None:
        self._maybe_crash()
        self.judge.on_announcement(head)

    def _maybe_crash(self) -> None:
        if self.faults and self.faults[-1] == "crash":
            self.faults.pop()
            raise Crashed

    def _collection(self, style: str):
        return COLLECTIONS.lookup("style", style)

    def _key(self) -> str:
        return f"styles/{self.chance.choice(self.styles)}/{self.chance.choice(self.names)}"

    def _upload(self) -> str:
        key = self._key()
        body, metadata = contents.random_object(key.rpartition("/")[2], self.chance)
        present = self.truth.upload(key, body, metadata=metadata)
        if self.chance.random() < 0.2:  # a multipart upload: its ETag is not its MD5
            self.truth.upload(key, body, metadata=metadata, etag=f"{present.etag}-2")
        return key

    def _now(self) -> str:
        self.time += self.ticks
        return timestamp(YEAR + timedelta(milliseconds=self.time))


def _message(delivery: Delivery) -> Message:
    return Message(delivery.id, delivery.body, 1 + delivery.repeated)


def _one_by_one(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [work(item) for item in items]


def simulate(seed: int) -> int:
    """Runs one seed; returns the number of commits. Raises ``Divergence``."""
    simulation = Simulation(seed)
    try:
        with simulation.bounds.in_force():
            simulation.run()
    except Exception as error:
        if isinstance(error, Divergence):
            raise
        raise Divergence(f"{type(error).__name__}: {error}") from error
    return simulation.judge.commits
