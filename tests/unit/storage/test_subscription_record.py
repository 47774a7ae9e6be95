import json
from datetime import datetime, timedelta
from itertools import count

import pytest
from unit.values import ACTOR, STYLE

from s3_manifest.manifest.model import timestamp
from s3_manifest.storage import subscription_record
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import Conflict, OutcomeUnknown
from s3_manifest.storage.subscription_record import SubscriptionRecord, UnreadableRecord

ROOT, KEY = "_manifests/", "_manifests/subscription.json"
NOON = "2026-11-30T12:00:00.250Z"
AFTER_NOON = "2026-11-30T12:00:02.000Z"
LATER = "2026-12-24T18:00:00.000Z"


def write(store, *prefixes, deployment="stack-1", at=NOON):
    return subscription_record.write(store, ROOT, deployment, prefixes, lambda: at)


def times(record):
    return {prefix: (item.since, item.deployment) for prefix, item in record.prefixes.items()}


def test_a_bucket_without_a_record_has_none():
    assert subscription_record.read(MemoryStore(), ROOT) is None


def test_a_new_prefix_is_subscribed_from_a_whole_second_that_has_not_come_yet():
    store = MemoryStore()
    record = write(store, "styles/")
    assert times(record) == {"styles/": (AFTER_NOON, "stack-1")}
    assert subscription_record.read(store, ROOT) == record


def test_the_record_is_json_that_names_each_prefix_with_its_time():
    store = MemoryStore()
    write(store, "styles/")
    subscription = {"since": AFTER_NOON, "deployment": "stack-1"}
    assert json.loads(store.get(KEY).body) == {"schema": 1, "prefixes": {"styles/": subscription}}


def test_a_prefix_keeps_its_time_and_one_that_is_no_longer_subscribed_is_dropped():
    store = MemoryStore()
    write(store, "styles/", "drafts/")
    record = write(store, "styles/", "actors/", at=LATER)
    assert times(record) == {"styles/": (AFTER_NOON, "stack-1"), "actors/": ("2026-12-24T18:00:02.000Z", "stack-1")}


def test_a_deployment_that_left_starts_anew_when_it_comes_back():
    store = MemoryStore()
    write(store, "styles/")
    assert not write(store).prefixes
    assert write(store, "styles/", at=LATER).subscribed_at("styles/1/a.png") == "2026-12-24T18:00:02.000Z"


def test_another_deployment_keeps_its_prefixes_unless_they_overlap():
    store = MemoryStore()
    write(store, "styles/", "drafts/one/", deployment="stack-1")
    record = write(store, "drafts/", "actors/", deployment="stack-2", at=LATER)
    assert {prefix: item.deployment for prefix, item in record.prefixes.items()} == {
        "styles/": "stack-1",
        "drafts/": "stack-2",
        "actors/": "stack-2",
    }


def test_a_prefix_of_another_deployment_gets_a_new_time():
    store = MemoryStore()
    write(store, "styles/", deployment="stack-1")
    assert times(write(store, "styles/", deployment="stack-2", at=LATER)) == {
        "styles/": ("2026-12-24T18:00:02.000Z", "stack-2")
    }


@pytest.mark.parametrize(
    ("key", "since"),
    [
        ("styles/1/a.png", AFTER_NOON),
        ("styles/1/", AFTER_NOON),
        ("styles", None),
        ("system_actors/1/a.png", None),
    ],
)
def test_a_key_is_subscribed_with_its_prefix(key, since):
    assert write(MemoryStore(), "styles/").subscribed_at(key) == since


def test_an_unchanged_record_is_not_written_again():
    store = MemoryStore()
    write(store, "styles/")
    etag = store.get(KEY).etag
    store.now = lambda: LATER
    write(store, "styles/", at=LATER)
    assert store.head(KEY).etag == etag
    assert store.head(KEY).last_modified != LATER


class SlowStore(MemoryStore):
    """Each write takes three seconds of the clock, for the first ``slow`` of them."""

    def __init__(self, slow):
        super().__init__()
        self.time, self.slow = datetime.fromisoformat(NOON), slow

    def clock(self):
        return timestamp(self.time)

    def put(self, *arguments, **options):
        etag = super().put(*arguments, **options)
        self.time += timedelta(seconds=3 if self.slow > 0 else 0)
        self.slow -= 1
        return etag


def test_a_time_before_the_record_could_be_read_is_replaced_by_a_later_one():
    store = SlowStore(slow=1)
    record = subscription_record.write(store, ROOT, "stack-1", ["styles/"], store.clock)
    assert record.subscribed_at("styles/") == "2026-11-30T12:00:05.000Z"
    assert subscription_record.read(store, ROOT) == record


def test_a_record_that_never_becomes_readable_in_time_is_an_error():
    store = SlowStore(slow=100)
    with pytest.raises(Conflict, match=KEY):
        subscription_record.write(store, ROOT, "stack-1", ["styles/"], store.clock)


def test_the_prefixes_of_a_deployment_that_writes_at_the_same_time_are_kept():
    class Busy(MemoryStore):
        rivals = count()

        def put(self, *arguments, **options):
            if next(self.rivals) == 0:
                write(self, "actors/", deployment="stack-2")
            return super().put(*arguments, **options)

    assert set(write(Busy(), "styles/").prefixes) == {"styles/", "actors/"}


def test_a_write_whose_response_was_lost_is_not_repeated_if_it_was_stored():
    class Losing(MemoryStore):
        writes = 0

        def put(self, *arguments, **options):
            self.writes += 1
            super().put(*arguments, **options)
            raise OutcomeUnknown(KEY, "reset by peer")

    store = Losing()
    assert times(write(store, "styles/")) == {"styles/": (AFTER_NOON, "stack-1")}
    assert store.writes == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "it is not JSON.*restore an earlier version, or delete it"),
        (b"[]", "it is not a JSON object.*delete it"),
        (b'{"prefixes":{}}', "its schema is None.*delete it"),
        (b'{"schema":true,"prefixes":{}}', "its schema is True.*delete it"),
        (b'{"schema":2,"prefixes":{}}', "written by a newer version.*Update the stack"),
        (b'{"schema":1,"prefixes":{},"more":1}', "more: Extra inputs are not permitted.*delete it"),
        (b'{"schema":1,"prefixes":{"styles/":"2026-11-30T12:00:02.000Z"}}', "prefixes.styles/: .*delete it"),
        (b'{"schema":1,"prefixes":{"styles/":{"since":"noon","deployment":"x"}}}', "prefixes.styles/.since: .*delete"),
    ],
)
def test_the_error_names_a_damaged_record_and_the_remedy_and_it_is_left_untouched(body, message):
    store = MemoryStore()
    store.upload(KEY, body)
    for use in (lambda: subscription_record.read(store, ROOT), lambda: write(store, "styles/")):
        with pytest.raises(UnreadableRecord, match=rf"(?s)_manifests/subscription\.json: {message}"):
            use()
    assert store.get(KEY).body == body


def test_an_empty_record_is_read():
    store = MemoryStore()
    store.upload(KEY, b'{"schema":1}')
    assert subscription_record.read(store, ROOT) == SubscriptionRecord()


def test_the_record_is_read_until_it_has_the_prefix_and_then_not_again():
    store, records, since = MemoryStore(), {}, []
    for subscribe in (
        lambda: None,
        lambda: write(store, "others/"),
        lambda: write(store, "styles/"),
        lambda: store.remove(KEY),
    ):
        subscribe()
        since.append(subscription_record.subscribed_at(store, STYLE, records))
    assert since == [None, None, AFTER_NOON, AFTER_NOON]
    assert subscription_record.subscribed_at(store, ACTOR, records) is None


def test_each_bucket_has_its_own_record():
    stores = {bucket: MemoryStore() for bucket in ("one", "two")}
    write(stores["one"], "styles/")
    write(stores["two"], "styles/", at=LATER)
    records, collections = {}, [STYLE._replace(bucket=bucket) for bucket in stores]
    assert [subscription_record.subscribed_at(stores[item.bucket], item, records) for item in collections] == [
        AFTER_NOON,
        "2026-12-24T18:00:02.000Z",
    ]
