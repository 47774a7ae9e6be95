import pytest
from unit.environments import Harness, RecordingStore, seconds
from unit.sweeping import PAUSE
from unit.values import BUCKET, COLLECTIONS, PUT

from s3_manifest.manifest.collections import parse_collections
from s3_manifest.manifest.jobs import Sweep, SweepAll
from s3_manifest.reconcile.commit import commit
from s3_manifest.sweep.jobs import run_job

NESTED = parse_collections(
    "style=styles/{style_id}/, variant=styles/{variant_id}/variants/, draft=styles/drafts/{draft_id}/",
    COLLECTIONS.root,
    BUCKET,
)


def harness_with(*keys, page=1000, collections=COLLECTIONS):
    harness = Harness(RecordingStore(page_size=page), collections=collections)
    for key in keys:
        harness.store.upload(key, b"xyz")
    return harness


def with_manifests(harness, *names):
    """Commits manifests of collections that have no objects."""
    for kind, collection_id in names:
        collection = harness.collections.lookup(kind, collection_id)
        commit(harness.environment, collection, {collection.prefix + "gone": PUT})
    return harness


def enumerated(harness, left=lambda: 900):
    """The collections for which sweeps are queued, in order, and the number of messages."""
    queue, swept, messages = [SweepAll()], [], 0
    harness.queued_jobs.clear()
    while queue:
        harness.seconds_left = left
        done = run_job(harness.environment, queue.pop(0), PAUSE)
        messages += 1
        sweeps = [job for job in harness.queued_jobs if isinstance(job, Sweep)]
        queue = [job for job in harness.queued_jobs if isinstance(job, SweepAll)]
        assert done.enqueued == len(sweeps)
        assert done.finished == (not queue)
        swept += [(job.kind, job.id) for job in sweeps]
        harness.queued_jobs.clear()
        assert messages < 1000, "the enumeration has no end"
    return swept, messages


def styles(*ids):
    return [("style", str(item)) for item in ids]


@pytest.mark.parametrize(
    ("keys", "manifests", "expected"),
    [
        ([], [], []),
        (["styles/16/a.jpg"], [], styles(16)),
        ([], styles(16), styles(16)),
        (["styles/16/a.jpg"], styles(16), styles(16)),
        (["styles/16/a.jpg", "styles/16/b/c.jpg", "styles/17/a.jpg"], styles(15, 17, 18), styles(15, 16, 17, 18)),
        (["styles/16/a.jpg"], [("actor", "7")], [("actor", "7"), ("style", "16")]),
        (["actors/7/a.jpg", "actors/16/a.jpg"], styles(7), [("actor", "16"), ("actor", "7"), ("style", "7")]),
        # A folder's name ends in its slash, so what sorts before "/" puts the longer id first.
        (["styles/a/x", "styles/a b/x", "styles/a-/x"], styles("a!", "a0"), styles("a b", "a!", "a-", "a", "a0")),
        (["styles/\ufffd/x", "styles/🎨/x"], styles("é", "🎨"), styles("é", "\ufffd", "🎨")),
        (["styles/loose.jpg", "styles//x", "other/16/x", "styles/16/"], [], styles(16)),
    ],
)
def test_each_collection_with_objects_or_a_manifest_is_swept_once(keys, manifests, expected):
    assert enumerated(with_manifests(harness_with(*keys), *manifests)) == (expected, 1)


@pytest.mark.parametrize("page", [7, 100, 1000])
@pytest.mark.parametrize("count", [1, 99, 100, 101, 102, 200, 201, 250])
def test_any_number_of_collections_is_swept_completely(count, page):
    harness = harness_with(*(f"styles/{n:03}/a.jpg" for n in range(count)), "actors/7/a.jpg", page=page)
    swept, _ = enumerated(with_manifests(harness, *styles("000", "zzz")))
    assert swept == [("actor", "7"), *styles(*(f"{n:03}" for n in range(count)), "zzz")]


@pytest.mark.parametrize("count", [1, 100, 101, 250])
def test_a_paused_enumeration_continues_where_it_stopped(count):
    keys = [f"{kind}s/{n:03}/a.jpg" for kind in ("actor", "style") for n in range(count)]
    swept, messages = enumerated(harness_with(*keys), left=seconds(PAUSE - 1))
    assert swept == [(kind, f"{n:03}") for kind in ("actor", "style") for n in range(count)]
    assert messages > 1


def test_continuing_after_a_deleted_collection_misses_no_other():
    harness = harness_with("styles/a/x", "styles/c/x", "actors/7/x")
    run_job(harness.environment, SweepAll(kind="style", after="b"), PAUSE)
    assert [job.id for job in harness.queued_jobs] == ["c"]


def test_a_nested_collection_is_swept_beside_the_outer_one():
    harness = harness_with("styles/16/a.jpg", "styles/16/variants/b.jpg", "styles/drafts/d/c.jpg", collections=NESTED)
    swept, _ = enumerated(harness)
    assert {("style", "16"), ("variant", "16"), ("draft", "d")} <= set(swept)
    assert len(set(swept)) == len(swept)


def test_the_objects_themselves_are_not_listed():
    harness = harness_with(*(f"styles/16/{n}.jpg" for n in range(50)))
    enumerated(harness)
    assert {request.split()[0] for request in harness.store.requests} == {"FOLDERS"}
