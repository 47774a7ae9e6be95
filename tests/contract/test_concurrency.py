"""Compare-and-swap by parallel writers, on a server where it is atomic.

moto is left out: its compare-and-swap is a check and then a write, with nothing that keeps others
from writing meanwhile, so under threads it loses writes whatever the client does.
"""

from contract import counters
from contract.buckets import careless


def test_16_threads_that_raise_a_counter_lose_no_increment(ministack_bucket):
    counters.start(ministack_bucket.store)
    conflicts = counters.in_threads(ministack_bucket.store, threads=16, times=20)
    assert counters.count(ministack_bucket.store) == 16 * 20
    assert conflicts > 0


def test_4_processes_that_raise_a_counter_lose_no_increment(ministack_bucket, platform):
    counters.start(ministack_bucket.store)
    conflicts = counters.in_processes(ministack_bucket.store.bucket, platform.endpoint, processes=4, times=20)
    assert counters.count(ministack_bucket.store) == 4 * 20
    assert conflicts > 0


def test_one_of_many_concurrent_creations_succeeds(ministack_bucket):
    assert counters.create_in_threads(ministack_bucket.store, threads=16) == 1


def test_a_server_that_ignores_conditions_silently_loses_increments_and_is_detected(ministack_bucket):
    store = careless(ministack_bucket).store
    counters.start(store)
    counters.in_threads(store, threads=8, times=10)
    assert counters.count(store) < 8 * 10
