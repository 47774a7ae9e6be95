"""Arbitrary messages: valid ones are committed, invalid ones fail or are dropped, and none affects another."""

import json
from collections import defaultdict
from random import Random

import pytest
from handlers.hostile_messages import KINDS, Fate, hostile_messages
from handlers.lambda_answers import failed_ids
from handlers.lambda_events import Context, s3_event, sns_envelope, sqs_record

import reconcile_handler

SEED = 20261011
COLLECTIONS = [f"styles/{number}/" for number in range(5)]
# The most that one line of a function's log may hold.
LOG_LINE_LIMIT = 256 * 1024


@pytest.fixture(scope="module")
def shuffled_messages():
    """500 hostile messages and 500 good ones, shuffled: records by id, fates by id (good ones have none), good keys."""
    chance = Random(SEED)
    messages, fates, keys = {}, {}, []
    for number, hostile in enumerate(hostile_messages(chance, 500)):
        messages[f"bad-{number}"] = hostile.record(f"bad-{number}")
        fates[f"bad-{number}"] = hostile.fate
    for number in range(500):
        keys.append(f"{COLLECTIONS[number % 5]}größe {number}+.png")
        body = json.dumps(s3_event(keys[-1]))
        if number % 7 == 0:
            body = json.dumps(sns_envelope(body))
        messages[f"good-{number}"] = sqs_record(body, f"good-{number}")
    shuffled = list(messages.values())
    chance.shuffle(shuffled)
    return shuffled, fates, keys


@pytest.mark.parametrize("size", [10, 1000])
def test_hostile_messages_fail_or_are_dropped_and_the_valid_ones_are_committed(
    account, reconcile, log, shuffled_messages, size
):
    records, fates, keys = shuffled_messages
    # The manifests exist already, so the good objects are added by their messages, not by a first listing.
    for prefix in COLLECTIONS:
        account.put(f"{prefix}first.png")
        reconcile({"first": s3_event(f"{prefix}first.png")})
    for key in keys:
        account.put_at_once(key)
    before = len(log())

    failed: list[str] = []
    for start in range(0, len(records), size):
        batch = records[start : start + size]
        batch_failures = failed_ids(reconcile_handler.handler({"Records": batch}, Context(300.0)))
        assert set(batch_failures) <= {record["messageId"] for record in batch}
        failed += batch_failures

    lines = log()[before:]
    dropped = [line["message_id"] for line in lines if line["message"] == "dropped"]
    assert len(set(failed)) == len(failed)
    assert len(set(dropped)) == len(dropped)
    assert not set(failed) & set(dropped)
    by_fate = defaultdict(set)
    for message_id, fate in fates.items():
        by_fate[fate].add(message_id)
    assert by_fate[Fate.FAILED] - set(failed) == set()
    assert by_fate[Fate.DROPPED] - set(dropped) == set()
    assert set(failed) - by_fate[Fate.FAILED] <= by_fate[Fate.ANY]
    assert set(dropped) - by_fate[Fate.DROPPED] <= by_fate[Fate.ANY]

    assert sorted(line["message_id"] for line in lines if line["message"] == "failed") == sorted(failed)
    assert [line for line in lines if line["message"] == "crashed"] == []
    for prefix in COLLECTIONS:
        expected = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
        assert sorted(account.files(prefix)) == sorted([*expected, "first.png"])
        assert account.manifest(prefix)["complete"] is True


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_a_single_hostile_message_has_its_expected_fate(account, log, number):
    for seed in range(5):
        hostile = KINDS[number](Random(seed))
        before = len(log())
        failed = failed_ids(reconcile_handler.handler({"Records": [hostile.record("it")]}, Context()))
        dropped = [line["message_id"] for line in log()[before:] if line["message"] == "dropped"]
        assert (failed, dropped) in (([], []), (["it"], []), ([], ["it"]))
        found = (Fate.FAILED if failed else None) or (Fate.DROPPED if dropped else Fate.OBSERVED)
        assert hostile.fate in {found, Fate.ANY}, hostile.body[:500]


def test_no_log_line_exceeds_the_size_limit(account, log, shuffled_messages):
    records, fates, _ = shuffled_messages
    hostile = [record for record in records if record["messageId"] in fates]
    reconcile_handler.handler({"Records": hostile}, Context(300.0))
    assert max(len(json.dumps(line)) for line in log()) < LOG_LINE_LIMIT


@pytest.mark.parametrize("attributes", [..., None], ids=["left out", "null"])
def test_a_record_without_message_attributes_is_an_ordinary_message(account, attributes):
    account.put("styles/16/a.png")
    record = sqs_record(json.dumps(s3_event("styles/16/a.png")), "1") | {"messageAttributes": attributes}
    if attributes is ...:
        del record["messageAttributes"]
    other = sqs_record("garbage", "2")
    assert failed_ids(reconcile_handler.handler({"Records": [record, other]}, Context())) == ["2"]
    assert sorted(account.files("styles/16/")) == ["a.png"]


def test_a_message_with_many_records_succeeds_or_fails_as_a_whole(account, reconcile):
    account.put("styles/16/first.png")
    reconcile({"first": s3_event("styles/16/first.png")})
    names = account.fill("styles/16/", 700)
    keys = [f"styles/16/{name}" for name in names]
    assert reconcile({"many": s3_event(*keys), "same": s3_event(*keys[:3])}) == []
    assert sorted(account.files("styles/16/")) == sorted([*names, "first.png"])
    spoiled = s3_event(*keys[:3], "styles/16/x")
    spoiled["Records"][3]["s3"]["object"]["key"] = "%ff"
    account.delete(keys[0])
    assert reconcile({"spoiled": spoiled, "good": s3_event(keys[0])}) == ["spoiled"]
    assert names[0] not in account.files("styles/16/")
