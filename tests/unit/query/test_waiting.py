import pytest
from unit.environments import RecordingStore, serial_map
from unit.values import EVENING, NOON, STYLE, file_observation, head_after, head_of

from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.query.waiting import Clock, poll_until, wait_for_head
from s3_manifest.storage import heads
from s3_manifest.storage.snapshot import Snapshot
from s3_manifest.storage.store import Conflict


class Time:
    """A clock that advances only while it sleeps, with events at given seconds."""

    def __init__(self, **happens):
        self.seconds = 0.0
        self.slept = []
        self.happens = []

    def at(self, second, what):
        self.happens.append((second, what))

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.seconds += seconds
        for second, what in [event for event in self.happens if event[0] <= self.seconds]:
            self.happens.remove((second, what))
            what()

    @property
    def clock(self):
        return Clock(lambda: self.seconds, self.sleep)


@pytest.fixture
def time():
    return Time()


@pytest.mark.parametrize(
    ("true_at", "seconds", "answer", "waited"),
    [
        (0, 0, True, 0),
        (0, 20, True, 0),
        (5, 0, False, 0),
        (0.1, 20, True, 0.1),
        (5, 20, True, 5.1),
        (5, 5, True, 5),
        (20, 20, True, 20),
        (99, 20, False, 20),
        (99, 0.05, False, 0.05),
    ],
)
def test_a_condition_is_polled_until_it_holds_or_the_time_is_over(time, true_at, seconds, answer, waited):
    assert poll_until(lambda: time.seconds >= true_at, bool, seconds, time.clock) is answer
    assert time.seconds == pytest.approx(waited, abs=0.2)


def test_pauses_are_short_at_first_and_a_second_at_most(time):
    poll_until(lambda: False, bool, 20, time.clock)
    assert time.slept[0] == pytest.approx(0.1)
    assert max(time.slept) == 1.0
    assert time.slept[:-1] == sorted(time.slept[:-1])
    assert len(time.slept) < 30


def has_files(count):
    return lambda snapshot: snapshot.head is not None and snapshot.head.total_files == count


@pytest.fixture
def store():
    return RecordingStore()


def save(store, head):
    stored = store.get(STYLE.head_key)
    heads.save(store, STYLE, head, stored.etag if stored else None)


ONE = head_of(file_observation("a.jpg"))
TWO = head_after(ONE, file_observation("b.jpg"), commit="c2", now=EVENING)


def test_a_head_that_meets_the_condition_takes_one_request(store, time):
    save(store, ONE)
    store.requests.clear()
    wait = wait_for_head(Snapshot(store, serial_map, STYLE), has_files(1), 20, time.clock)
    assert (wait.snapshot.head, wait.is_met, time.slept) == (ONE, True, [])
    assert store.requests == [f"GET {STYLE.head_key}"]


def test_a_head_is_polled_until_it_meets_the_condition(store, time):
    save(store, ONE)
    time.at(3, lambda: save(store, TWO))
    wait = wait_for_head(Snapshot(store, serial_map, STYLE), has_files(2), 20, time.clock)
    assert (wait.snapshot.head, wait.is_met) == (TWO, True)
    assert 3 <= time.seconds < 4.1


def test_a_wait_covers_the_creation_and_the_removal_of_a_manifest(store, time):
    time.at(2, lambda: save(store, ONE))
    assert wait_for_head(Snapshot(store, serial_map, STYLE), has_files(1), 20, time.clock).snapshot.head == ONE
    time.at(time.seconds + 2, lambda: store.remove(STYLE.head_key))
    assert wait_for_head(
        Snapshot(store, serial_map, STYLE), lambda snapshot: snapshot.head is None, 20, time.clock
    ).is_met


def test_the_last_head_is_returned_when_the_time_is_over(store, time):
    save(store, ONE)
    wait = wait_for_head(Snapshot(store, serial_map, STYLE), has_files(2), 5, time.clock)
    assert (wait.snapshot.head, wait.is_met, time.seconds) == (ONE, False, pytest.approx(5))


def test_an_unchanged_head_is_not_evaluated_again(store, time):
    save(store, ONE)
    evaluated = []
    wait_for_head(Snapshot(store, serial_map, STYLE), lambda snapshot: bool(evaluated.append(snapshot)), 5, time.clock)
    assert len(evaluated) == 1


def test_a_head_replaced_during_its_evaluation_is_read_again(store, time):
    save(store, ONE)

    def condition(snapshot):
        if snapshot.head == ONE:
            save(store, TWO)
            raise Conflict(STYLE.head_key, "a page is gone")
        return True

    assert wait_for_head(Snapshot(store, serial_map, STYLE), condition, 5, time.clock).snapshot.head == TWO


def test_waiting_for_an_unreadable_head_raises_an_error(store, time):
    store.upload(STYLE.head_key, b"broken", last_modified=NOON)
    with pytest.raises(UnreadableManifest):
        wait_for_head(Snapshot(store, serial_map, STYLE), has_files(1), 20, time.clock)
