import threading

import pytest
from client.transfers import download_request, md5, random_bytes

from s3_manifest.storage.store import Conflict
from s3_manifest_cli.client.transfer.cancellation import Cancellation, Cancelled
from s3_manifest_cli.client.transfer.download import prefetch

BODY = random_bytes(1000)


def stored(bucket, count):
    """Stores ``count`` objects; returns their numbers and requests, as ``prefetch`` takes them."""
    etag = bucket.put("styles/16/a.png", BODY)
    return [(number, download_request("styles/16/a.png", len(BODY), etag, etag)) for number in range(count)]


def test_prefetch_returns_each_object_with_its_bytes_or_its_error(bucket, objects):
    changed = download_request("styles/16/a.png", len(BODY), md5(b"another"), None)
    fetched = {it.item: it for it in prefetch(objects, [*stored(bucket, 1), (1, changed)])}
    assert fetched[0].body == [BODY]
    assert fetched[0].error is None
    assert isinstance(fetched[1].error, Conflict)


def test_prefetch_sends_requests_concurrently(bucket, objects, proxy):
    meeting = threading.Barrier(4)
    proxy.before = lambda _: meeting.wait(10) and None
    assert sorted(it.item for it in prefetch(objects, stored(bucket, 4))) == list(range(4))


def test_objects_are_prefetched_only_as_far_as_the_budget_allows(bucket, proxy):
    with bucket.objects(proxy.endpoint, memory=2 * len(BODY)) as objects:
        coming = prefetch(objects, stored(bucket, 5))
        first, second = next(coming), next(coming)
        assert len(proxy.seen) == 2
        for fetched in (first, second):
            objects.budget.release(fetched.reserved)
        rest = []
        for fetched in coming:
            objects.budget.release(fetched.reserved)
            rest.append(fetched.item)
    assert len(rest) == 3


def test_closing_a_prefetch_releases_the_memory_of_what_is_in_progress(bucket, proxy):
    with bucket.objects(proxy.endpoint, memory=3 * len(BODY)) as objects:
        coming = prefetch(objects, stored(bucket, 5))
        objects.budget.release(next(coming).reserved)
        coming.close()
        assert objects.budget.try_reserve(3 * len(BODY)) == 3 * len(BODY)


def test_prefetch_sends_no_request_after_a_cancellation(bucket, proxy):
    cancellation = Cancellation()
    with bucket.objects(proxy.endpoint, cancellation) as objects:
        cancellation.cancel()
        with pytest.raises(Cancelled):
            next(prefetch(objects, stored(bucket, 2)))
    assert proxy.seen == []
