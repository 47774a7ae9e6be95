"""Runs one seed: users change two buckets, events are lost or late, workers reconcile, and the manifests are checked.

Some seeds run twice, with the same changes and everything else drawn anew: the manifests at rest must be the same. Only
S3, the queues, time and randomness are simulated. The seed determines the run.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

from s3_manifest.manifest.changes import FileChange
from s3_manifest.manifest.collections import Location
from s3_manifest.manifest.jobs import Job, JobsNotQueued, Sweep, SweepAll, decode_job, encode_job
from s3_manifest.manifest.model import Head, UnreadableManifest, days_before, timestamp
from s3_manifest.reconcile.drain import ChangeQueue, QueueFailed, reconcile_and_drain
from s3_manifest.reconcile.environment import AnnouncementFailed, Environment
from s3_manifest.reconcile.reconcile import Message
from s3_manifest.storage import subscription_record
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.snapshot import BrokenObjects
from s3_manifest.storage.store import StoreError
from s3_manifest.storage.subscription_record import SubscriptionRecord
from s3_manifest.sweep.garbage import collect_garbage
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.result import SweepFailed
from simulation import contents
from simulation.bounds import Bounds
from simulation.bucket import FAULTS, Crashed, SimulatedBucket
from simulation.determinism import content, difference, serial_map
from simulation.history import BUCKETS, COLLECTIONS, ROOT, History
from simulation.judge import Divergence, Judge
from simulation.queues import Delivery, Queue
from simulation.readers import Follower, InconsistentRead, read_whole
from simulation.scheduler import Scheduler
from simulation.users import Users
from simulation.vandal import Vandal

STEP_LIMIT = 40_000
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
DAY_AND_A_HALF = 36 * 3600 * 1000

_TWO_STYLES = (("style", "1"), ("style", "2"))
_TWO_BUCKETS = (("style", "1"), ("actor", "1"))

REPEATED_OF = 16
"""One of so many seeds is run again, with the same changes and another schedule."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Simulation:
    """The state of one run."""

    def __init__(self, seed: int | str, history: History | None = None) -> None:
        self.chance = chance = Random(seed)
        self.scheduler = Scheduler(chance)
        self.repeats = history is not None
        self.history = history or _new_history(chance)
        self.collections = self.history.collections
        self.truths = {bucket: MemoryStore(now=self._last_modified) for bucket in BUCKETS}
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
        self.bounds = Bounds.drawn(chance, self.history.inline)
        self.breaks_heads = chance.random() < 0.05
        self.processes: list[dict[str, SubscriptionRecord]] = [{} for _ in range(chance.choice((1, 2)))]
        self.judge = Judge(self.truths, self.queue, COLLECTIONS)
        self.users = Users(
            chance,
            self.scheduler,
            self.truths,
            self.queue,
            self.judge,
            self.history,
            self.repeats,
            loses_events=chance.random() < 0.2,
        )
        self.vandal = Vandal.drawn(seed, self.truths, self.judge)
        self.followers = [Follower(collection) for collection in self.collections if chance.random() < 0.5]

    def complete(self) -> int:
        """Runs until everything is at rest; returns the number of commits. Raises ``Divergence``."""
        with self.bounds.in_force():
            self.run()
        return self.judge.commits

    def run(self) -> None:
        chance = self.chance
        self.users.upload_before_subscription()
        if chance.random() < 0.15:
            self.queue.send(encode_job(SweepAll()), is_job=True)
        self.scheduler.spawn(self._subscriber)
        for _ in range(chance.choice((0, 0, 1, 2))):
            self.scheduler.spawn(self._sweeper)
        for _ in range(chance.choice((0, 0, 1, 2))):
            self.scheduler.spawn(self._collector)
        for follower in self.followers:
            self.scheduler.spawn(lambda follower=follower: self._reader(follower))
        if self.vandal:
            self.scheduler.spawn(self._vandal)
        self._until_at_rest()
        if not self.users.loses_events and not self.vandal:
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
        for collection in self.collections:
            self.judge.depends_on_objects_alone(collection)

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
        while self.users.sent_late:  # events that arrive after all other work
            self.users.sent_late.pop()()
        return bool(self.queue.visible)

    def _judge_at_rest(self) -> None:
        for collection in self.collections:
            self.judge.at_rest(collection)
        for follower in self.followers:
            while follower.follow(self.truths[follower.collection.bucket], serial_map, limit=2):
                pass
            self.judge.follower(follower)

    def _subscriber(self) -> None:
        """Subscribes to the buckets, as CloudFormation has it done; then the users begin."""
        for bucket in self.history.buckets:
            self.scheduler.wait()
            if self.repeats:
                self.truths[bucket].upload(subscription_record.record_key(ROOT), self.history.subscriptions[bucket])
            else:
                self._subscribe(bucket)
        self.users.start()

    def _subscribe(self, bucket: str) -> None:
        prefixes = COLLECTIONS.notification_prefixes(bucket)
        while True:
            try:
                record = subscription_record.write(self._bucket(bucket), ROOT, "this", prefixes, self._now)
            except (Crashed, StoreError):
                continue
            break
        self.history.subscriptions[bucket] = self.truths[bucket].objects[subscription_record.record_key(ROOT)][1]
        # What follows comes at the very moment from which it counts as announced, or later.
        for subscription in record.prefixes.values():
            since = (datetime.fromisoformat(subscription.since) - YEAR) // timedelta(milliseconds=1)
            self.time = max(self.time, since)

    def _sweeper(self) -> None:
        for _ in range(self.chance.choice((1, 5, 20))):
            self.scheduler.wait()
        collection = self.chance.choice(self.collections)
        truth, kind, id_ = self.truths[collection.bucket], collection.kind, collection.id
        if self.breaks_heads and collection.head_key in truth.objects:
            truth.upload(collection.head_key, b'{"schema": 1}')
            # A sweep identifies a manifest by its creation time; none is rebuilt within a millisecond.
            self.time += 1
            self.queue.send(encode_job(Sweep(kind=kind, id=id_, rebuild=True)), is_job=True)
        self.queue.send(encode_job(self.chance.choice((SweepAll(), Sweep(kind=kind, id=id_)))), is_job=True)

    def _collector(self) -> None:
        for _ in range(self.chance.choice((1, 5, 20))):
            self.scheduler.wait()
            with suppress(Crashed, StoreError, UnreadableManifest):
                collect_garbage(self._environment(), self.chance.choice(self.collections))

    def _vandal(self) -> None:
        for _ in range(self.vandal.chance.choice((1, 2, 4))):
            for _ in range(self.vandal.chance.choice((5, 20, 40))):
                self.scheduler.wait()
            self.vandal.strike(self.collections)
            # A manifest is identified by its creation time; none is recreated within a millisecond.
            self.time += 1

    def _reader(self, follower: Follower) -> None:
        for _ in range(self.chance.choice((1, 3, 6))):
            self.scheduler.wait()
            try:
                if self.chance.random() < 0.5:
                    follower.follow(
                        self._bucket(follower.collection.bucket), self._each, limit=self.chance.choice((1, 2))
                    )
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
        collection = follower.collection
        if whole := read_whole(self._bucket(collection.bucket), self._each, collection, limit, revision):
            self.judge.reading(collection, *whole)

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
        except BrokenObjects:
            return True  # damaged while the sweep created the manifest; the next delivery repairs it
        except UnreadableManifest:
            if not self.breaks_heads:
                raise
            return "rebuild" in delivery.body  # other jobs would end in the dead-letter queue
        self.judge.drift += swept.drift
        return False

    def _bucket(self, bucket: str) -> SimulatedBucket:
        retained_since = days_before(self._now(), self.history_days)
        return SimulatedBucket(
            self.truths[bucket],
            self.scheduler,
            self.chance,
            self.faults,
            self.page,
            lambda key: self.judge.on_write(bucket, key),
            lambda key: self.judge.on_delete(bucket, key, retained_since),
            lambda: self.day,
        )

    def _environment(self) -> Environment:
        hasty = self.chance.random() < 0.1
        stores = {bucket: self._bucket(bucket) for bucket in BUCKETS}
        records = self.chance.choice(self.processes)
        return Environment(
            stores=stores,
            subscribed_at=lambda collection: subscription_record.subscribed_at(
                stores[collection.bucket], collection, records
            ),
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

    def _last_modified(self) -> str:
        return f"{self._now()[:19]}.000Z"  # whole seconds, as in S3

    def _now(self) -> str:
        self.time += self.ticks
        return timestamp(YEAR + timedelta(milliseconds=self.time))


def _message(delivery: Delivery) -> Message:
    return Message(delivery.id, delivery.body, 1 + delivery.repeated)


def _new_history(chance: Random) -> History:
    ids = chance.choice(((("style", "1"),),) * 7 + (_TWO_STYLES, *(_TWO_BUCKETS,) * 2))
    collections = tuple(collection for kind, id_ in ids if (collection := COLLECTIONS.lookup(kind, id_)))
    return History(collections, tuple(contents.names(chance)), Bounds.inline(chance))


def simulate(seed: int) -> int:
    """Runs one seed; returns the number of commits. Raises ``Divergence``."""
    try:
        first = Simulation(seed)
        commits = first.complete()
        if seed % REPEATED_OF == 0:
            second = Simulation(f"again {seed}", first.history)
            commits += second.complete()
            _compare(first, second)
    except Exception as error:
        if isinstance(error, Divergence):
            raise
        raise Divergence(f"{type(error).__name__}: {error}") from error
    return commits


def _compare(first: Simulation, second: Simulation) -> None:
    for collection in first.collections:
        contents_ = (content(run.truths[collection.bucket], collection) for run in (first, second))
        if different := difference(*contents_):
            raise Divergence(f"two schedules of the same changes leave {collection.kind}/{collection.id}: {different}")
