import random

import pytest
from unit.environments import Harness
from unit.values import NOON, PREFIX, SMALL_PAGES, STYLE, entry, file_observation, head_of

from s3_manifest.manifest import layout
from s3_manifest.query.stats import (
    Growth,
    GrowthPoint,
    Size,
    daily_growth,
    last_days,
    sizes_at,
    summarize,
    totals_of_facts,
)

NO_GROWTH = Growth([], partial=False)


def totals(kind, id_, files, size, created_at=NOON):
    facts = {"kind": kind, "id": id_, "total_files": files, "total_size_bytes": size, "created_at": created_at}
    return totals_of_facts(head_of(file_observation("a.jpg"))).model_copy(update=facts)


SOME = [
    totals("actor", "1", 1, 100, "2026-01-03T00:00:00.000Z"),
    totals("style", "a", 2, 300, "2026-01-01T00:00:00.000Z"),
    totals("style", "b", 3, 200, "2026-01-02T00:00:00.000Z"),
]


def test_totals_are_summed_overall_and_by_kind():
    result = summarize(SOME, NO_GROWTH, 2)
    assert (result.total_collections, result.total_files, result.total_size_bytes) == (3, 6, 600)
    assert [(kind.kind, kind.total_collections, kind.total_files, kind.total_size_bytes) for kind in result.kinds] == [
        ("actor", 1, 1, 100),
        ("style", 2, 5, 500),
    ]


def test_the_largest_and_the_newest_come_first():
    result = summarize(SOME, NO_GROWTH, 2)
    assert [collection.id for collection in result.largest] == ["a", "b"]
    assert [collection.id for collection in result.newest] == ["1", "b"]
    assert [collection.id for collection in result.collections] == ["1", "a", "b"]
    assert (result.largest_files, result.newest_files) == (None, None)


def test_the_largest_and_newest_files_of_one_collection_are_listed():
    entries = [
        entry("old.jpg", size=9, last_modified="2026-01-01T00:00:00.000Z"),
        entry("new.jpg", size=2, last_modified="2026-01-03T00:00:00.000Z"),
        entry("between.jpg", size=3, last_modified="2026-01-02T00:00:00.000Z"),
        entry("hidden.jpg", size=99).model_copy(update={"hidden": True}),
    ]
    result = summarize(SOME[:1], NO_GROWTH, 2, entries=entries)
    assert [file.filename for file in result.largest_files] == ["old.jpg", "between.jpg"]
    assert [file.filename for file in result.newest_files] == ["new.jpg", "between.jpg"]


@pytest.mark.parametrize(
    ("days", "ends"),
    [
        (0, []),
        (1, [("2026-03-01", NOON)]),
        (
            3,
            [
                ("2026-02-27", "2026-02-27T23:59:59.999Z"),
                ("2026-02-28", "2026-02-28T23:59:59.999Z"),
                ("2026-03-01", NOON),
            ],
        ),
    ],
)
def test_days_end_at_midnight_utc_and_today_with_now(days, ends):
    assert last_days(NOON, days) == ends


def test_growth_counts_known_sizes_and_their_collections():
    sizes = [[None, Size(2, 20)], [Size(0, 0), Size(1, 5)]]
    assert daily_growth(["2026-02-28", "2026-03-01"], sizes) == [
        GrowthPoint(day="2026-02-28", total_collections=1, total_files=0, total_size_bytes=0),
        GrowthPoint(day="2026-03-01", total_collections=2, total_files=3, total_size_bytes=25),
    ]


def at(minute):
    return f"2026-03-{1 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}:00.000Z"


def history(seed):
    """A harness after random commits, the true size after each minute, and the last minute."""
    harness, chance, truth, minute = Harness(), random.Random(seed), [], 0
    for _ in range(chance.choice([1, 3, 30, 150])):
        gap = chance.choice([1, 1, 2, 50])
        truth += [truth[-1] if truth else Size(0, 0)] * gap
        minute += gap
        harness.now = at(minute)
        name = f"{chance.randrange(12):02}.jpg"
        if chance.random() < 0.3:
            harness.store.remove(PREFIX + name)
        else:
            harness.upload(name, body=b"x" * chance.randrange(100))
        harness.commit([PREFIX + name])
        sizes = [p.size for key, (p, _) in harness.store.objects.items() if key.startswith(PREFIX)]
        truth.append(Size(len(sizes), sum(sizes)))
        minute += 1
    return harness, truth, minute


@pytest.mark.parametrize("seed", range(12))
def test_sizes_at_any_moment_come_from_change_records(seed, monkeypatch):
    for name, bound in SMALL_PAGES.items():
        monkeypatch.setattr(layout, name, bound)
    harness, truth, end = history(seed)
    chance = random.Random(seed)
    minutes = sorted(chance.randrange(end) for _ in range(chance.choice([1, 2, 9])))
    sizes = sizes_at(harness.snapshot(), [at(minute) for minute in minutes])
    assert sizes == [truth[minute] for minute in minutes]


def test_sizes_of_an_unchanged_collection_take_the_head_and_one_record():
    harness, _, end = history(1)
    harness.store.requests.clear()
    sizes_at(harness.snapshot(), [at(end + n) for n in range(30)])
    assert len(harness.store.requests_for("GET")) == 2
    assert len(harness.store.requests_for("LIST")) == 1


def test_many_revisions_take_few_requests():
    harness = Harness()
    for revision in range(600):
        harness.now = at(revision)
        harness.commit(harness.upload("a.jpg", body=b"x" * revision))
    harness.store.requests.clear()
    result = sizes_at(harness.snapshot(), [at(minute) for minute in (100, 200, 300, 599)])
    assert [size.total_size_bytes for size in result] == [100, 200, 300, 599]
    assert len(harness.store.requests_for("GET")) < 60


def test_sizes_before_the_retained_history_are_unknown():
    harness, truth, end = history(5)
    records = harness.store.list(STYLE.changes_folder).keys
    removed = len(records) // 2
    harness.store.delete(records[:removed])
    moments = [at(minute) for minute in range(0, end, 7)]
    sizes = sizes_at(harness.snapshot(), moments)
    assert sizes[0] is None
    assert [size for size in sizes if size] == [
        truth[minute] for minute, size in zip(range(0, end, 7), sizes, strict=True) if size
    ]


def test_without_records_only_the_present_size_is_known():
    harness, truth, end = history(2)
    harness.store.delete(harness.store.list(STYLE.changes_folder).keys)
    assert sizes_at(harness.snapshot(), [at(0), at(end)]) == [None, truth[-1]]


def test_without_a_manifest_no_size_is_known():
    assert sizes_at(Harness().snapshot(), [NOON]) == [None]
