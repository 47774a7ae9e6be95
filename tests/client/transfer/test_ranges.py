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
    ("ranges", "made"),
    [
        ([], ()),
        ([(0, 4)], ((0, 4),)),
        ([(4, 8), (0, 4)], ((0, 8),)),
        ([(0, 4), (5, 8)], ((0, 4), (5, 8))),
        ([(0, 6), (4, 8), (1, 2)], ((0, 8),)),
        ([(0, 9), (1, 2), (9, 10)], ((0, 10),)),
    ],
)
def test_ranges_that_touch_are_merge(ranges, made):
    assert merge(Range(*one) for one in ranges) == made


@pytest.mark.parametrize(
    ("size", "there", "most", "todo"),
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
def test_what_is_missing_is_told_in_order_and_in_pieces(size, there, most, todo):
    assert list(missing(size, [Range(*one) for one in there], most)) == todo


def some_ranges(size: int):
    ends = st.tuples(st.integers(0, size), st.integers(0, size))
    return st.lists(ends.map(sorted).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: Range(*pair)))


@given(some_ranges(50), st.integers(1, 60))
def test_with_what_is_missing_all_bytes_are_there_and_none_twice(there, most):
    todo = list(missing(50, there, most))
    had = {at for one in there for at in range(*one)}
    got = [at for one in todo for at in range(*one)]
    assert sorted([*had, *got]) == list(range(50))
    assert all(0 < one.size <= most for one in todo)


FIRST = record_header("etag-2", 100)


@pytest.mark.parametrize(
    ("record", "there"),
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
def test_of_a_record_only_what_was_written_whole_of_this_object_counts(record, there):
    assert read_record(record, "etag-2", 100) == there


@given(some_ranges(100), st.integers(0, 4))  # no more than the shortest line has
def test_a_record_that_a_run_was_killed_in_says_what_was_finished(ranges, cut):
    record = FIRST + b"".join(map(record_line, ranges))
    found = read_record(record, "etag-2", 100)
    assert found == (merge(ranges), len(record))
    if ranges and cut:
        torn = read_record(record[:-cut], "etag-2", 100)
        assert torn is not None
        whole = record[: torn.size]
        assert whole.endswith(b"\n")
        assert read_record(whole, "etag-2", 100) == torn
