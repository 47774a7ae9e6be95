"""The users: they change the buckets, at random or as in a recorded history, and S3 sends events about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from s3_manifest.storage.memory import MemoryStore
from simulation import contents
from simulation.history import Change, History, Place
from simulation.judge import Judge
from simulation.queues import Queue, bridge_event, notification
from simulation.scheduler import Scheduler


@dataclass
class Users:
    """Changes the buckets and records it in ``history``, or repeats the changes in it.

    Each event is sent once or twice, now or later. ``sent_late`` are those that arrive after all other work.
    """

    chance: Random
    scheduler: Scheduler
    truths: Mapping[str, MemoryStore]
    queue: Queue
    judge: Judge
    history: History
    repeats: bool
    loses_events: bool
    sent_late: list[Callable[[], None]] = field(default_factory=list)

    def upload_before_subscription(self) -> None:
        """Uploads objects that no event announces."""
        if self.repeats:
            for change in self.history.before_subscription:
                change.apply(self.truths)
        else:
            for _ in range(self.chance.choice((0, 1, 3, 6))):
                self.history.before_subscription.append(self._upload(self._place()))

    def start(self) -> None:
        """Starts the users; the buckets are subscribed."""
        for _ in range(1 if self.repeats else self.chance.choice((1, 1, 2))):
            self.scheduler.spawn(self._repeat if self.repeats else self._change_at_random)

    def _repeat(self) -> None:
        for change in self.history.changes:
            self._wait()
            change.apply(self.truths)
            self._announce(change)
        self._announce_old_version()

    def _change_at_random(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            self._wait()
            place = self._place()
            if self.chance.random() < 0.6:
                change = self._upload(place)
            else:
                change = Change(place)
                change.apply(self.truths)
            self.history.changes.append(change)
            self._announce(change)
        self._announce_old_version()

    def _wait(self) -> None:
        for _ in range(self.chance.choice((1, 1, 5, 20))):
            self.scheduler.wait()

    def _place(self) -> Place:
        collection = self.chance.choice(self.history.collections)
        return Place(collection.bucket, collection.prefix + self.chance.choice(self.history.names))

    def _upload(self, place: Place) -> Change:
        truth = self.truths[place.bucket]
        body, metadata = contents.random_object(place.key.rpartition("/")[2], self.chance)
        present = truth.upload(place.key, body, metadata=metadata)
        if self.chance.random() < 0.2:  # a multipart upload: its ETag is not its MD5
            present = truth.upload(place.key, body, metadata=metadata, etag=f"{present.etag}-2")
        facts = {"metadata": metadata, "etag": present.etag, "last_modified": present.last_modified}
        return Change(place, body, facts)

    def _announce(self, change: Change) -> None:
        name = "ObjectRemoved:Delete" if change.body is None else "ObjectCreated:Put"
        for _ in range(self.chance.choice((1, 1, 1, 2))):
            self._notify(change.place, name)

    def _announce_old_version(self) -> None:
        if self.chance.random() < 0.3:
            self._notify(self._place(), "ObjectRemoved:Delete")  # of an old version: the key may still exist

    def _notify(self, place: Place, name: str) -> None:
        shape = bridge_event if self.chance.random() < 0.2 else notification
        body = shape(place.bucket, place.key, name)
        self.queue.promise([place])
        fate = self.chance.random()
        if fate < 0.1 and self.loses_events:
            self.judge.lost.append(place)
        elif fate < 0.2:
            self.sent_late.append(lambda: self.queue.send(body, [place]))
        elif fate < 0.5:
            self.scheduler.spawn(lambda: (self.scheduler.wait(), self.queue.send(body, [place])))
        else:
            self.queue.send(body, [place])
