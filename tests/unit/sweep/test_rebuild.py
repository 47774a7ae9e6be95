import pytest
from unit.environments import Hand
from unit.sweeping import SWEEP_STYLE, forget, known, names, swept, told, truth
from unit.values import EVENING, PREFIX, STYLE

from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.storage.store import OutcomeUnknown
from s3_manifest.sweep.recovery import back_up_unreadable

pytestmark = pytest.mark.usefixtures("small_pages")

HEAD, ASIDE = STYLE.head_key, f"{STYLE.folder}set-aside/"
REBUILD = SWEEP_STYLE.model_copy(update={"rebuild": True})


def broken_head(hand):
    hand.store.upload(HEAD, b"{")


def newer_head(hand):
    hand.store.upload(HEAD, hand.store.objects[HEAD][1].replace(b'"schema":1', b'"schema":2'))


def missing_page(hand):
    hand.store.remove(hand.head().pages[2].key)


def truncated_page(hand):
    key = hand.head().pages[0].key
    hand.store.upload(key, hand.store.objects[key][1][:-20])


def page_broken_in_its_middle(hand):
    key = hand.head().pages[1].key
    hand.store.upload(key, hand.store.objects[key][1].replace(b'"size_bytes":3', b'"size_bytes":"x"'))


HARMS = [broken_head, newer_head, missing_page, truncated_page, page_broken_in_its_middle]


def harmed(harm):
    hand = known(36)
    for n in range(2):
        hand.commit(hand.upload(f"more{n}.jpg"))
    harm(hand)
    hand.now = EVENING
    forget(hand)
    return hand


@pytest.mark.parametrize("harm", HARMS)
def test_an_unreadable_manifest_is_set_aside_and_made_anew_from_s3_and_its_revision_goes_on(harm):
    hand = harmed(harm)
    etag, body = hand.store.objects[HEAD][0].etag, hand.store.objects[HEAD][1]
    swept(hand, REBUILD)
    assert hand.store.objects[f"{ASIDE}{etag}.json"][1] == body
    assert told(hand) == truth(hand)
    head = hand.head()
    assert (head.complete, head.created_at, head.revision) == (True, EVENING, 4)
    assert hand.announced == [(4, False)]


@pytest.mark.parametrize("harm", HARMS)
def test_what_was_made_anew_is_swept_without_drift(harm):
    hand = harmed(harm)
    swept(hand, REBUILD)
    assert [done.drift for done in swept(hand)] == [0]
    assert hand.head().last_verified_at == EVENING


@pytest.mark.parametrize("job", [SWEEP_STYLE, None], ids=["a sweep", "a commit"])
@pytest.mark.parametrize("harm", [broken_head, newer_head])
def test_without_being_asked_to_nobody_replaces_an_unreadable_head(harm, job):
    hand = harmed(harm)
    before = dict(hand.store.objects)
    with pytest.raises(UnreadableManifest):
        swept(hand, job) if job else hand.commit([PREFIX + "0000.jpg"])
    assert hand.store.objects == before


@pytest.mark.parametrize("count", [0, 5, 36])
def test_a_readable_manifest_is_not_set_aside_but_swept(count):
    hand = known(count)
    hand.upload("new.jpg")
    swept(hand, REBUILD)
    assert hand.store.asked_for("ADD", ASIDE) == []
    assert (hand.filenames(), hand.head().revision) == ([*names(*range(count)), "new.jpg"], 2)
    assert back_up_unreadable(hand.store, STYLE) is None


def test_where_there_is_no_head_nothing_is_set_aside_and_one_is_made():
    hand = Hand()
    hand.upload("a.jpg")
    assert back_up_unreadable(hand.store, STYLE) is None
    swept(hand, REBUILD)
    assert (hand.filenames(), hand.head().revision) == (["a.jpg"], 1)


def test_a_head_that_was_deleted_by_hand_goes_on_above_its_old_records():
    hand = known(5)
    hand.commit(hand.upload("new.jpg"))
    hand.store.remove(HEAD)
    hand.commit([PREFIX + "new.jpg"])
    assert (hand.head().revision, hand.head().total_files) == (3, 6)


@pytest.mark.parametrize("harm", HARMS)
def test_a_rebuild_that_is_delivered_again_replaces_nothing_twice(harm):
    hand = harmed(harm)
    swept(hand, REBUILD)
    before = hand.head()
    swept(hand, REBUILD, repeated=True)
    after = hand.head()
    assert (after.revision, after.created_at, after.files, after.pages) == (4, EVENING, before.files, before.pages)
    assert len(hand.store.asked_for("ADD", ASIDE)) == 1


@pytest.mark.parametrize("stored", [False, True], ids=["not stored", "stored"])
@pytest.mark.parametrize("harm", HARMS)
def test_a_rebuild_whose_answer_is_lost_is_made_once(harm, stored):
    hand = harmed(harm)
    put = hand.store.put

    def lost(key, body, **more):
        if key == HEAD:
            hand.store.put = put
            if stored:
                put(key, body, **more)
            raise OutcomeUnknown(key, "lost")
        return put(key, body, **more)

    hand.store.put = lost
    swept(hand, REBUILD)
    assert told(hand) == truth(hand)
    assert hand.announced == ([(4, True)] if stored else [(5, False)])


def test_a_copy_once_made_is_made_alike_by_a_repeat():
    hand = harmed(broken_head)
    first = back_up_unreadable(hand.store, STYLE)
    assert back_up_unreadable(hand.store, STYLE) == first
    assert [key for key in hand.store.objects if key.startswith(ASIDE)] == [f"{ASIDE}{first}.json"]


def test_a_head_that_is_replaced_while_it_is_set_aside_stays():
    hand = harmed(broken_head)
    etag = back_up_unreadable(hand.store, STYLE)
    hand.store.upload(HEAD, b"something newer")
    with pytest.raises(UnreadableManifest):
        hand.commit([], unreadable_etag=etag)
    assert hand.store.objects[HEAD][1] == b"something newer"
