import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_manifest_cli.client.transfer.ranges import (
    Range,
    Record,
    merge,
    missing,
    read_record,
    record_header,
    record_line,
)


@pytest.mark.parametrize(
    ("ranges", "merged"),
    [
        ([], ()),
        ([(0, 4)], ((0, 4),)),
        ([(4, 8), (0, 4)], ((0, 8),)),
        ([(0, 4), (5, 8)], ((0, 4), (5, 8))),
        ([(0, 6), (4, 8), (1, 2)], ((0, 8),)),
        ([(0, 9), (1, 2), (9, 10)], ((0, 10),)),
    ],
)
def test_adjacent_ranges_are_merged(ranges, merged):
    assert merge(Range(*part) for part in ranges) == merged


@pytest.mark.parametrize(
    ("size", "present", "max_size", "todo"),
    [
        (0, [], 4, []),
        (1, [], 4, [(0, 1)]),
        (4, [], 4, [(0, 4)]),
        (9, [], 4, [(0, 4), (4, 8), (8, 9)]),
        (9, [(0, 9)], 4, []),
        (9, [(4, 8)], 4, [(0, 4), (8, 9)]),
        (20, [(2, 3), (9, 12)], 4, [(0, 2), (3, 7), (7, 9), (12, 16), (16, 20)]),
    ],
)
def test_missing_ranges_are_in_order_and_of_limited_size(size, present, max_size, todo):
    assert list(missing(size, [Range(*part) for part in present], max_size)) == todo


def some_ranges(size: int):
    ends = st.tuples(st.integers(0, size), st.integers(0, size))
    return st.lists(ends.map(sorted).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: Range(*pair)))


@given(some_ranges(50), st.integers(1, 60))
def test_present_and_missing_ranges_cover_every_byte_once(present, max_size):
    todo = list(missing(50, present, max_size))
    had = {at for part in present for at in range(*part)}
    got = [at for part in todo for at in range(*part)]
    assert sorted([*had, *got]) == list(range(50))
    assert all(0 < part.size <= max_size for part in todo)


FIRST = record_header("etag-2", 100)


@pytest.mark.parametrize(
    ("record", "present"),
    [
        (b"", None),
        (record_header("other", 100), None),
        (record_header("etag-2", 101), None),
        (FIRST[:-1], None),
        (FIRST, Record((), len(FIRST))),
        (FIRST + b"0 10\n30 40\n10 30\n", Record((Range(0, 40),), len(FIRST) + 17)),
        (FIRST + b"0 10\n30 4", Record((Range(0, 10),), len(FIRST) + 5)),
        (FIRST + b"0 10\n\0\0\0\n10 20\n", Record((Range(0, 10),), len(FIRST) + 5)),
        (FIRST + b"0 10\n10 101\n", Record((Range(0, 10),), len(FIRST) + 5)),
        (FIRST + b"10 10\n", Record((), len(FIRST))),
        (FIRST + b"-5 10\n", Record((), len(FIRST))),
        (FIRST + b"5  10\n", Record((), len(FIRST))),
    ],
)
def test_only_complete_lines_about_the_same_object_count(record, present):
    assert read_record(record, "etag-2", 100) == present


@given(some_ranges(100), st.integers(0, 4))  # at most the length of the shortest line
def test_the_record_of_a_killed_run_lists_the_finished_ranges(ranges, cut):
    record = FIRST + b"".join(map(record_line, ranges))
    read = read_record(record, "etag-2", 100)
    assert read == (merge(ranges), len(record))
    if ranges and cut:
        torn = read_record(record[:-cut], "etag-2", 100)
        assert torn is not None
        whole = record[: torn.size]
        assert whole.endswith(b"\n")
        assert read_record(whole, "etag-2", 100) == torn
