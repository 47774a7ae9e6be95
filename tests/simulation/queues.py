"""The two queues: they deliver at least once, in random order."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from urllib.parse import quote_plus

from simulation.history import Place


@dataclass(frozen=True)
class Delivery:
    """A message, and the keys that it names; ``is_job``: it is in the sweep queue."""

    id: str
    body: str
    keys: tuple[Place, ...] = ()
    is_job: bool = False
    repeated: bool = False


@dataclass
class Queue:
    """Both queues. ``pending`` counts the outstanding messages of each key."""

    visible: list[Delivery] = field(default_factory=list)
    pending: Counter[Place] = field(default_factory=Counter)
    sent: int = 0

    def promise(self, keys: Sequence[Place]) -> None:
        """Announces a message about these keys."""
        self.pending.update(keys)

    def send(self, body: str, keys: Sequence[Place] = (), *, is_job: bool = False) -> None:
        """Makes a message visible; its keys were promised before."""
        self.sent += 1
        self.visible.append(Delivery(str(self.sent), body, tuple(keys), is_job))

    def receive(self, chance: Random, at_most: int, *, jobs: bool | None = None) -> list[Delivery]:
        """Returns some messages of one queue, by ``jobs``; sometimes it also keeps a duplicate of one."""
        chance.shuffle(self.visible)
        is_job = jobs if jobs is not None else bool(self.visible) and self.visible[-1].is_job
        batch = [delivery for delivery in self.visible if delivery.is_job == is_job][: 1 if is_job else at_most]
        for delivery in batch:
            self.visible.remove(delivery)
        if batch and chance.random() < 0.05:
            twice = chance.choice(batch)
            self.promise(twice.keys)
            self.visible.append(Delivery(f"{twice.id}+", twice.body, twice.keys, is_job))
        return batch

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Returns unacknowledged messages to the queue, for redelivery."""
        self.visible += [
            Delivery(delivery.id, delivery.body, delivery.keys, delivery.is_job, repeated=True)
            for delivery in deliveries
        ]

    def acknowledge(self, delivery: Delivery) -> None:
        """Deletes the message."""
        self.pending.subtract(delivery.keys)


def bridge_event(bucket: str, key: str, name: str) -> str:
    """EventBridge's message, whose key is not percent-encoded."""
    kind = "Object Deleted" if name.startswith("ObjectRemoved") else "Object Created"
    detail = {"version": "0", "bucket": {"name": bucket}, "object": {"key": key}}
    event = {"source": "aws.s3", "detail-type": kind, "time": "2026-01-01T00:00:00Z", "detail": detail}
    return json.dumps(event)


def notification(bucket: str, key: str, name: str) -> str:
    """S3's message."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key)}},
    }
    return json.dumps({"Records": [record]})
