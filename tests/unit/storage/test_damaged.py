"""Objects of a manifest that are lost or damaged: found by whoever reads them, and repaired from S3."""

import json

import pytest
from unit.environments import one_by_one
from unit.sweeping import forget, known, names, swept, told, truth
from unit.values import EVENING, PREFIX, STYLE

from s3_manifest.manifest.jobs import Sweep, decode_job, encode_job
from s3_manifest.manifest.model import BrokenObjects
from s3_manifest.query import reads
from s3_manifest.query.history import History, HistoryGone
from s3_manifest.query.reads import PageQuery
from s3_manifest.reconcile.reconcile import Message, reconcile
from s3_manifest.storage import heads, pages
from s3_manifest.sweep.jobs import run_job
from s3_manifest.sweep.recovery import back_up_unreadable

pytestmark = pytest.mark.usefixtures("small_pages")

PROMPTS = "prompt_metadata.json"


def lost(store, key):
    store.remove(key)


def cut_off(store, key):
    store.upload(key, store.objects[key][1][:-20])


def one_prompt_altered(store, key):
    body = store.objects[key][1]
    store.upload(key, body.replace(b'"prompt":null', b'"prompt":"x"', 1).replace(b'"cat"', b'"dog"', 1))


def a_size_altered(store, key):
    store.upload(key, store.objects[key][1].replace(b'"size_bytes":3', b'"size_bytes":4', 1))


def emptied(store, key):
    store.upload(key, b"")


HARMS = [lost, cut_off, one_prompt_altered, a_size_altered, emptied]


def harmed(harm, index=2, count=36):
    """A complete manifest with pages of six files, one of them harmed; the key of that page."""
    hand = known(count)
    key = hand.head().pages[index].key
    harm(hand.store, key)
    hand.now = EVENING
    return hand, key


def read(hand):
    loaded = heads.load(hand.store, STYLE)
    return pages.read(hand.store, one_by_one, STYLE, loaded, list(loaded.head.pages))


@pytest.mark.parametrize("harm", HARMS)
def test_a_reader_is_told_which_page_is_broken_and_what_to_do(harm):
    hand, key = harmed(harm)
    with pytest.raises(BrokenObjects, match="rescan of style/16") as error:
        read(hand)
    assert error.value.keys == (key,)
    assert key in str(error.value)


def test_a_page_with_the_content_of_another_is_broken():
    hand, key = harmed(lambda store, key: None)
    other = hand.head().pages[3].key
    hand.store.upload(key, hand.store.objects[other][1])
    with pytest.raises(BrokenObjects):
        read(hand)


def test_a_reference_of_an_earlier_version_is_compared_by_what_it_says():
    hand = known(36)
    loaded = heads.load(hand.store, STYLE)
    refs = [page.model_copy(update={"sha256": None}) for page in loaded.head.pages]
    assert [run.first for run in pages.read(hand.store, one_by_one, STYLE, loaded, refs)] == [r.first for r in refs]
    a_size_altered(hand.store, refs[1].key)
    with pytest.raises(BrokenObjects):
        pages.read(hand.store, one_by_one, STYLE, loaded, refs)


@pytest.mark.parametrize("index", [0, 2, 5], ids=["first", "middle", "last"])
@pytest.mark.parametrize("harm", HARMS)
def test_a_sweep_repairs_a_broken_page_and_the_history_goes_on(harm, index):
    hand, _ = harmed(harm, index)
    before = hand.head()
    swept(hand)
    after = hand.head()
    assert told(hand) == truth(hand)
    assert (after.complete, after.last_verified_at, after.revision) == (True, EVENING, before.revision)
    assert [page.sha256 for page in after.pages] == [page.sha256 for page in before.pages]
    assert after.generations == before.generations
    assert hand.announced == []
    read(hand)


@pytest.mark.parametrize("count", [2, 6], ids=["some", "all"])
def test_several_broken_pages_are_repaired_together(count):
    hand, _ = harmed(lost, 0)
    for page in hand.head().pages[1:count]:
        lost(hand.store, page.key)
    swept(hand)
    assert told(hand) == truth(hand)
    assert hand.head().complete


@pytest.mark.parametrize("index", [0, 2, 5])
def test_what_changed_in_the_range_of_a_broken_page_meanwhile_is_in_the_repaired_one(index):
    hand, _ = harmed(lost, index)
    first, second = names(index * 6, index * 6 + 1)
    hand.store.remove(PREFIX + first)
    hand.upload(second, body=b"other")
    hand.upload(f"{second}.new.jpg")
    before = hand.head()
    swept(hand)
    after = hand.head()
    assert told(hand) == truth(hand)
    assert (after.complete, after.revision, after.first_revision) == (True, before.revision + 1, before.revision + 1)
    assert after.created_at == before.created_at
    assert sum(one.image_count for one in after.generations) == after.total_files == 36


def test_whoever_follows_a_manifest_that_was_repaired_is_sent_to_read_it_and_goes_on_from_there():
    hand, _ = harmed(lost)
    hand.store.remove(PREFIX + names(12)[0])
    swept(hand)
    hand.commit(hand.upload("later.jpg"))
    head = hand.head()
    for since in range(head.first_revision):
        with pytest.raises(HistoryGone) as gone:
            History(hand.snapshot()).changes_since(since, 100)
        following = History(hand.snapshot()).changes_since(gone.value.oldest - 1, 100)
        assert [record.revision for record in following] == [head.revision]


def test_an_object_that_cannot_be_observed_leaves_the_repaired_manifest_incomplete_until_it_can():
    hand, _ = harmed(lost)
    odd = PREFIX + names(13)[0]
    hand.store.unreadable.add(odd)
    with pytest.raises(Exception, match="cannot be read"):
        swept(hand)
    assert not hand.head().complete
    hand.store.unreadable.clear()
    hand.asked.clear()
    swept(hand)
    assert told(hand) == truth(hand)
    assert hand.head().complete


def test_a_repair_that_loses_against_other_commits_observes_everything_again():
    hand, _ = harmed(lost)
    gone = [PREFIX + name for name in names(14, 15)]

    def other_commit():
        if gone:
            key = gone.pop()
            hand.store.before_put = lambda: None
            hand.commit([PREFIX + names(35)[0]])
            hand.store.remove(key)  # after it was observed
            hand.store.before_put = other_commit

    hand.store.before_put = other_commit
    swept(hand)
    assert told(hand) == truth(hand)


def message(*filenames):
    records = [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": EVENING,
            "s3": {"bucket": {"name": "storyboard-user-files"}, "object": {"key": PREFIX + filename}},
        }
        for filename in filenames
    ]
    return json.dumps({"Records": records})


@pytest.mark.parametrize("harm", HARMS)
def test_a_batch_fails_only_for_the_keys_of_the_broken_page_and_asks_for_its_repair(harm):
    hand, key = harmed(harm)
    healthy, broken = names(3)[0], names(13)[0]
    hand.upload(healthy, broken, body=b"other")
    report = reconcile(hand.environment, [Message("healthy", message(healthy)), Message("broken", message(broken))])
    assert list(report.failed) == ["broken"], report.failed
    assert key in report.failed["broken"]
    assert {entry.size_bytes for entry in pages_but(hand, key) if entry.filename == healthy} == {5}
    (job,) = hand.asked
    assert job == Sweep(kind="style", id="16", broken=(key,))
    hand.asked.clear()
    run_job(hand.environment, decode_job(encode_job(job)), 30)
    assert reconcile(hand.environment, [Message("broken", message(broken), 2)]).failed == {}
    assert told(hand) == truth(hand)


def pages_but(hand, broken):
    loaded = heads.load(hand.store, STYLE)
    refs = [page for page in loaded.head.pages if page.key != broken]
    return [entry for run in pages.read(hand.store, one_by_one, STYLE, loaded, refs) for entry in run.entries()]


def test_a_thin_page_beside_a_broken_one_stays_thin_until_that_is_repaired():
    hand, key = harmed(lost, 1)
    gone = [PREFIX + name for name in names(*range(1, 6))]
    for each in gone:
        hand.store.remove(each)
    outcome = hand.commit(gone)
    assert (outcome.unreadable, outcome.commits) == ({}, 1)
    assert hand.head().pages[1].key == key
    hand.asked.clear()
    swept(hand)
    assert told(hand) == truth(hand)


def test_a_repair_that_was_made_in_between_is_not_made_again():
    hand, key = harmed(lost)
    swept(hand)
    forget(hand)
    (done,) = swept(hand, Sweep(kind="style", id="16", broken=(key,)))
    assert done.finished
    assert hand.store.written == []


def test_a_page_that_is_whole_is_not_replaced_because_a_message_says_that_it_is_broken():
    hand = known(36)
    before = hand.head()
    swept(hand, Sweep(kind="style", id="16", broken=(before.pages[0].key,)))
    assert hand.head().pages == before.pages


def with_prompts(count=36):
    hand = known(count)
    hand.commit(hand.upload(PROMPTS, body=b'{"0003.jpg": "cat", "0020.jpg": "cat"}'))
    (copy,) = hand.head().sidecars[0].copies
    forget(hand)
    hand.now = EVENING
    return hand, copy.key


@pytest.mark.parametrize("harm", [lost, cut_off, one_prompt_altered, emptied])
def test_a_broken_copy_of_a_sidecar_is_written_again_from_the_sidecar_when_it_is_needed(harm):
    hand, key = with_prompts()
    whole = hand.store.objects[key][1]
    harm(hand.store, key)
    hand.commit(hand.upload("0003.jpg", body=b"other"))
    assert hand.store.objects[key][1] == whole
    assert {entry.filename: entry.prompt for entry in hand.entries() if entry.prompt} == dict.fromkeys(
        names(3, 20), "cat"
    )


@pytest.mark.parametrize("harm", [lost, one_prompt_altered])
def test_a_sweep_writes_a_broken_copy_again(harm):
    hand, key = with_prompts()
    whole = hand.store.objects[key][1]
    harm(hand.store, key)
    swept(hand)
    assert hand.store.objects[key][1] == whole
    assert hand.head().last_verified_at == EVENING


@pytest.mark.parametrize("harm", [lost, one_prompt_altered])
def test_where_the_sidecar_is_another_one_by_now_the_manifest_is_rebuilt(harm):
    hand, key = with_prompts()
    harm(hand.store, key)
    hand.upload(PROMPTS, body=b'{"0007.jpg": "owl"}')
    with pytest.raises(BrokenObjects):
        hand.commit(hand.upload("0003.jpg", body=b"other"))
    (job,) = hand.asked
    hand.asked.clear()
    swept(hand, job)
    assert told(hand) == truth(hand)
    assert {entry.filename: entry.prompt for entry in hand.entries() if entry.prompt} == {"0007.jpg": "owl"}
    assert hand.head().complete


@pytest.mark.parametrize("harm", HARMS)
def test_a_page_that_is_not_what_the_head_says_is_reason_enough_for_a_rebuild_that_is_asked_for(harm):
    hand, _ = harmed(harm)
    assert back_up_unreadable(hand.store, STYLE)


@pytest.mark.parametrize("harm", [lost, cut_off, one_prompt_altered])
@pytest.mark.parametrize("of", ["checkpoint", "page"])
def test_what_only_the_past_refers_to_is_gone_if_it_is_broken(harm, of, monkeypatch):
    monkeypatch.setattr(heads, "CHECKPOINT_EVERY", 2)
    hand = known(36)
    for number in range(4):
        hand.commit(hand.upload("0003.jpg", body=bytes([number])))
    (checkpoint,) = [key for key in hand.store.objects if key.startswith(f"{STYLE.folder}checkpoints/000000000002")]
    kept = heads.decode(STYLE, hand.store.objects[checkpoint][1])
    key = checkpoint if of == "checkpoint" else kept.pages[0].key
    if of == "checkpoint" and harm is one_prompt_altered:
        hand.store.upload(key, hand.store.objects[key][1].replace(b'"complete":true', b'"complete":false'))
    else:
        harm(hand.store, key)
    with pytest.raises(HistoryGone):
        reads.page(hand.snapshot(), PageQuery(revision=1))
    assert reads.page(hand.snapshot(), PageQuery(revision=4))


def test_a_record_that_is_damaged_is_as_good_as_lost():
    hand = known(3)
    for number in range(3):
        hand.commit(hand.upload("0001.jpg", body=bytes([number])))
    record = next(key for key in hand.store.objects if key.startswith(f"{STYLE.folder}changes/000000000003"))
    hand.store.upload(record, hand.store.objects[record][1].replace(b'"cause":"Obj', b'"cause":"0bj'))
    with pytest.raises(HistoryGone) as gone:
        History(hand.snapshot()).changes_since(1, 10)
    assert gone.value.oldest == 4


def test_a_head_that_is_lost_is_made_anew_with_all_that_is_in_s3():
    hand = known(36)
    hand.store.remove(STYLE.head_key)
    hand.now = EVENING
    swept(hand)
    assert told(hand) == truth(hand)
    assert (hand.head().complete, hand.head().revision, hand.head().first_revision) == (True, 2, 2)
