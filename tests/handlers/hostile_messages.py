"""Invalid and unusual messages with the expected fate of each, generated reproducibly from a seed."""

import copy
import json
from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Any, NamedTuple

from handlers.lambda_events import SOMEBODYS_ATTRIBUTE, s3_event, s3_test_event, sns_envelope, sqs_record
from s3_manifest.manifest.jobs import Sweep, SweepAll, encode_job


class Fate(Enum):
    """The expected outcome of a message."""

    FAILED = "answered as failed, for the dead-letter queue in the end"
    DROPPED = "logged as dropped"
    OBSERVED = "well-formed, about a key without an object: observed, without any effect"
    ANY = "any one of these, as parsers differ"


class Hostile(NamedTuple):
    """A message's body and attributes, and its fate."""

    body: str
    fate: Fate
    attributes: dict[str, Any] | None = None

    def record(self, message_id: str) -> dict[str, Any]:
        return sqs_record(self.body, message_id, self.attributes)


RECORD = ("Records", 0)
NEEDED = [
    ("Records",),
    (*RECORD, "eventVersion"),
    (*RECORD, "eventSource"),
    (*RECORD, "eventName"),
    (*RECORD, "s3"),
    (*RECORD, "s3", "bucket"),
    (*RECORD, "s3", "bucket", "name"),
    (*RECORD, "s3", "object"),
    (*RECORD, "s3", "object", "key"),
]
IGNORED = [
    (*RECORD, "awsRegion"),
    (*RECORD, "userIdentity"),
    (*RECORD, "requestParameters"),
    (*RECORD, "responseElements"),
    (*RECORD, "s3", "configurationId"),
    (*RECORD, "s3", "object", "size"),
    (*RECORD, "s3", "object", "eTag"),
    (*RECORD, "s3", "object", "sequencer"),
    (*RECORD, "s3", "bucket", "arn"),
]
WRONG_TYPES = [None, 7, -1.5, True, [], {}, [[]], {"name": 1}, [None]]


def nothing(chance: Random) -> dict[str, Any]:
    """A valid notification about a key without an object."""
    return s3_event(f"styles/{chance.randrange(5)}/nothing-{chance.randrange(10**9)}.png")


def with_field(event: dict[str, Any], path: tuple[str | int, ...], value: Any) -> str:
    changed = copy.deepcopy(event)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(changed)


def with_key(chance: Random, encoded_key: str) -> str:
    return with_field(nothing(chance), (*RECORD, "s3", "object", "key"), encoded_key)


def nested(message: str, depth: int) -> str:
    for _ in range(depth):
        message = json.dumps(sns_envelope(message))
    return message


def backfill(**fields: Any) -> str:
    """A request of an older version, which is no longer valid."""
    request = {"kind": "style", "id": "without-a-head", "created_at": "2026-01-01T00:00:00.000Z"}
    return json.dumps(request | fields)


def fails(body: str) -> Hostile:
    return Hostile(body, Fate.FAILED)


def dropped(body: str) -> Hostile:
    return Hostile(body, Fate.DROPPED)


def observed(body: str) -> Hostile:
    return Hostile(body, Fate.OBSERVED)


def marked(body: str, fate: Fate = Fate.FAILED) -> Hostile:
    return Hostile(body, fate, SOMEBODYS_ATTRIBUTE)


def with_extra(chance: Random, more: str) -> str:
    """A valid notification with extra fields at its end."""
    return f"{json.dumps(nothing(chance))[:-1]},{more}}}"


NOT_RECORDS = [None, 7, {}, "x", [None], [[]], [7]]
NOT_NOTIFICATIONS = ["", " ", "null", "true", "[]", "7", '"x"', "1e999", "{}", "NaN", "\0", "<xml/>", "\ufeff{}"]
OF_NO_COLLECTION = ["styles/", "styles//a", "styles/0/", "/", "x", "..", "styles/0", "+", "%2Fstyles/0/a.png"]
NOT_UTF8 = ["%ff", "%C3", "%ED%A0%80", "a%80b", "%F8%88%80%80%80"]
BADLY_ENCODED = ["%", "%zz", "%2", "100%25", "%u0041", "a%"]
DEEP = "[" * 100_000 + "]" * 100_000

KINDS: list[Callable[[Random], Hostile]] = [
    lambda c: fails(with_field(nothing(c), c.choice(NEEDED), ...)),
    lambda c: fails(with_field(nothing(c), c.choice(NEEDED[1:]), c.choice(WRONG_TYPES))),
    lambda c: fails(with_field(nothing(c), NEEDED[0], c.choice(NOT_RECORDS))),
    lambda c: fails(with_field(nothing(c), (*RECORD, "eventVersion"), c.choice(["3.0", "", "1.0", "22"]))),
    lambda c: fails(with_field(nothing(c), (*RECORD, "eventSource"), c.choice(["aws:sqs", ""]))),
    lambda c: dropped(with_field(nothing(c), NEEDED[0], [])),
    lambda c: observed(with_field(nothing(c), c.choice(IGNORED), ...)),
    lambda c: observed(with_field(nothing(c), c.choice(IGNORED), c.choice(WRONG_TYPES))),
    lambda c: observed(with_field(nothing(c), (*RECORD, f"new{c.random()}"), {"deep": [1]})),
    lambda c: observed(with_field(nothing(c), ("Event",), "s3:TestEvent")),
    lambda c: dropped(json.dumps(s3_test_event())),
    lambda c: dropped(json.dumps(s3_event("styles/0/a.png", bucket=f"foreign-{c.randrange(99)}"))),
    lambda c: Hostile(json.dumps(s3_event("styles/0/a.png", bucket="b" * 1_000_000)), Fate.ANY),
    lambda c: dropped(json.dumps(s3_event(f"_manifests/styles/{c.randrange(5)}/manifest.json"))),
    # Bodies that are no notification at all.
    lambda c: fails(json.dumps(nothing(c))[: c.randrange(400)]),
    lambda c: fails("".join(c.choices('{}[]":,\\ntrue0 1.e\u00e9', k=c.randrange(1, 80))) + "{"),
    lambda c: fails(c.choice(NOT_NOTIFICATIONS)),
    lambda c: fails(json.dumps({"x": "y" * 1_000_000})),
    lambda c: fails("z" * 1_000_000),
    lambda c: fails(c.choice(["[" * 100_000, '{"a":' * 100_000, DEEP])),
    lambda c: fails(with_extra(c, f'"deep":{DEEP}')),
    lambda c: Hostile(with_extra(c, f'"huge":{"9" * c.choice([30, 5000])}'), Fate.ANY),
    lambda c: Hostile(with_extra(c, '"huge":1e999,"tiny":-1e-999'), Fate.ANY),
    lambda c: fails(json.dumps(nothing(c)).replace("nothing", "\ud800")),
    # Keys.
    lambda c: dropped(with_key(c, c.choice(OF_NO_COLLECTION))),
    lambda c: fails(with_key(c, "styles/0/" + c.choice(NOT_UTF8))),
    lambda c: observed(with_key(c, "styles/0/" + c.choice(BADLY_ENCODED))),
    lambda c: fails(with_key(c, "styles/0/\ud800")),
    lambda c: observed(with_key(c, "styles/0/a%00b" + "%00" * c.randrange(3))),
    lambda c: observed(with_key(c, f"styles/{c.choice(['%00', '..', '.', '%0A', '%2E'])}/a.png")),
    lambda c: fails(with_key(c, "")),
    lambda c: fails(with_key(c, "styles/0/" + c.choice(["k" * 2000, "%C3%BC" * 1000, "k" * 1016]))),
    lambda c: observed(with_key(c, "styles/0/" + "k" * 1015)),
    # Envelopes of SNS.
    lambda c: fails(nested("garbage", c.randrange(1, 6))),
    lambda c: observed(nested(json.dumps(nothing(c)), c.randrange(2, 6))),
    lambda c: dropped(nested(json.dumps(s3_test_event()), c.randrange(1, 4))),
    lambda c: fails(json.dumps(sns_envelope("") | {"Message": c.choice([None, 7, {}, [], nothing(c)])})),
    lambda c: fails(
        with_field(sns_envelope(json.dumps(nothing(c))), (c.choice(["Type", "TopicArn", "Message"]),), ...)
    ),
    # Messages that claim, or once claimed, to be requests of our own: attributes prove nothing.
    lambda c: marked(c.choice(["", "garbage", "null", "[]", "{}", DEEP, "\ud800"])),
    lambda c: marked(json.dumps(nothing(c)), Fate.OBSERVED),
    lambda c: marked(json.dumps(s3_test_event()), Fate.DROPPED),
    lambda c: marked(backfill()),
    lambda c: marked(backfill(created_at=c.choice(["now", 7, None, ""]))),
    lambda c: marked(backfill(surplus=1)),
    lambda c: marked(backfill(kind="voice")),
    lambda c: fails(encode_job(SweepAll())),
    lambda c: fails(encode_job(Sweep(kind="style", id=c.choice(["0", "", "a/b"]), rebuild=True))),
]


def hostile_messages(chance: Random, count: int) -> list[Hostile]:
    """Returns ``count`` messages, at least one of every kind."""
    kinds = [*KINDS, *chance.choices(KINDS, k=count - len(KINDS))]
    return [kind(chance) for kind in kinds]
