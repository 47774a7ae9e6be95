"""Reading JSON from other programs: usable values and reported problems."""

import gzip
import json
import math

import pytest
from pydantic_core import from_json, to_json

from s3_manifest.manifest.lenient_json import (
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_PROBLEMS,
    MIN_INTEGER,
    UnreadableDocument,
    decode_text,
    read_json,
    read_json_lines,
    to_utf8,
)

TEXT = '{"a.png": "an owl \N{OWL}, Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich"}'
OWL = "\N{OWL}"


def nested(depth: int, kernel: str = "1") -> str:
    return "[" * depth + kernel + "]" * depth


@pytest.mark.parametrize(
    "body",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        b"\xef\xbb\xbf" + TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        gzip.compress(TEXT.encode(), mtime=0),
        gzip.compress(TEXT.encode("utf-8-sig"), mtime=0),
        gzip.compress(TEXT.encode("utf-16"), mtime=0),
        gzip.compress(TEXT.encode()[:9], mtime=0) + gzip.compress(TEXT.encode()[9:], mtime=0),
    ],
)
def test_the_same_text_is_read_from_every_encoding(body: bytes) -> None:
    assert read_json(body) == (json.loads(TEXT), ())
    assert decode_text(body) == TEXT


@pytest.mark.parametrize(
    ("text", "value", "problem"),
    [
        ('{"a": "an owl \\ud83e", "b": "a fox"}', {"b": "a fox"}, "a: it contains a lone surrogate"),
        ('{"a": "\\udd89 owl", "b": 1}', {"b": 1}, "a: it contains a lone"),
        ('{"a\\ud83e": "an owl", "b": 1}', {"b": 1}, "a\\ud83e: it contains a lone"),
        ('{"a": {"x": [1, 1e999, 2]}, "b": 1}', {"a": {"x": [1, 2]}, "b": 1}, "a.x.1: it is not a finite number"),
        ('{"a": NaN, "b": 1}', {"b": 1}, "a: it is not a finite"),
        ('{"a": [Infinity, -Infinity], "b": -1E+0400}', {"a": []}, "a.0: it is not a finite"),
        ('{"a": 1' + "0" * 400 + '.0, "b": 1}', {"b": 1}, "a: it is not a finite"),
        (f'{{"a": {MAX_INTEGER + 1}, "b": {MAX_INTEGER}}}', {"b": MAX_INTEGER}, "a: it is an integer of more than"),
        (f'{{"a": {MIN_INTEGER - 1}, "b": {MIN_INTEGER}}}', {"b": MIN_INTEGER}, "a: it is an integer of more than"),
        ('{"a": ' + "9" * 5000 + ', "b": 1}', {"b": 1}, "a: it is an integer of more than"),
        ('{"a": ' + nested(MAX_DEPTH) + ', "b": 1}', None, "a" + ".0" * (MAX_DEPTH - 1) + ": it is nested more than"),
        ('{"a": ' + nested(199) + ', "b": 1}', None, "it is nested more than"),
        ('{"a": ' + nested(100_000) + ', "b": 1}', None, "it is nested more than"),
        ('{"a": ' + nested(100_000, '"]]\\"]"') + ', "b": 1}', None, "it is nested more than"),
    ],
)
def test_an_unusable_value_is_dropped_and_reported(text: str, value: object, problem: str) -> None:
    read = read_json(text.encode())
    assert problem in read.problems[0]
    if value is None:
        assert isinstance(read.value, dict)
        assert read.value["b"] == 1
    else:
        assert read.value == value


def test_bytes_that_are_not_utf8_invalidate_only_their_value() -> None:
    read = read_json('{"a": "Z\xfcrich", "b": "a fox"}'.encode("latin-1"))
    assert read.value == {"b": "a fox"}
    assert read.problems == ("a: it contains a lone surrogate or bytes that are not UTF-8; save it as UTF-8",)
    surrogate = '{"a": "\ud83e", "b": "a fox"}'
    for encoded in (surrogate.encode("utf-8", "surrogatepass"), surrogate.encode("utf-16", "surrogatepass")):
        assert read_json(encoded).value == {"b": "a fox"}


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert read_json(b'{"a": "\\ud83e\\udd89"}') == ({"a": OWL}, ())
    assert read_json(b'{"a": "\\ud83e\\udd89", "b": "\\ud83e"}').value == {"a": OWL}


def test_line_breaks_in_strings_are_preserved() -> None:
    assert read_json(b'{"a": "an owl,\nat night\t"}') == ({"a": "an owl,\nat night\t"}, ())


def test_the_last_of_members_with_the_same_key_counts_on_both_paths() -> None:
    assert read_json(b'{"a": 1, "a": 2}').value == {"a": 2}
    assert read_json(b'{"a": 1, "a": 2, "b": NaN}').value == {"a": 2}


@pytest.mark.parametrize("value", [None, True, False, 0, -1, 1.5, 1e300, "", "x", [], {}, [[]], {"a": [None, True]}])
def test_usable_values_are_unchanged_on_both_paths(value: object) -> None:
    assert read_json(json.dumps(value).encode()) == (value, ())
    assert read_json(json.dumps([value, math.nan]).encode()).value == [value]
    assert read_json(json.dumps([value, 10**30]).encode()).value == [value]


def test_a_value_at_the_maximum_depth_is_preserved() -> None:
    assert read_json(nested(MAX_DEPTH).encode()) == (json.loads(nested(MAX_DEPTH)), ())
    assert len(read_json(nested(MAX_DEPTH + 1).encode()).problems) == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1e999, NaN], "b\\ud83e": "\\ud83e", "c": "\\ud83e\\udd89"}',
        '{"a": ' + nested(150) + "}",
        '{"a": ' + nested(5000) + "}",
        "[" + "9" * 5000 + "]",
    ],
)
def test_a_returned_value_can_be_written_and_read_strictly(text: str) -> None:
    read = read_json(text.encode())
    assert from_json(to_json(read.value), allow_inf_nan=False) == read.value
    assert json.loads(json.dumps(read.value, allow_nan=False)) == read.value
    "".join(read.problems).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b'{"a": 1} {"b": 2}', "it is not JSON"),
        (b"nan", "it is not JSON"),
        (b"NaN", "it is not a finite number"),
        (b'"\\ud83e"', "it contains a lone surrogate"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[" * 100_000 + b'"' + b'\\"' * 100_000, "it is not JSON"),
        (b"\xff\xfe{\x00}", "it is not valid UTF-16"),
        (gzip.compress(b'{"a": 1}', mtime=0)[:-9], "is truncated"),
        (b"\x1f\x8b\x08 nonsense", "it is not valid gzip"),
        (b"\x89PNG\r\n\x1a\n", "it is not JSON"),
    ],
)
def test_a_body_that_is_not_json_is_an_error_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDocument, match=reason):
        read_json(body)


def test_no_more_is_decompressed_than_allowed() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    with pytest.raises(UnreadableDocument, match="decompresses to more than 1000000 bytes"):
        to_utf8(bomb, most=1_000_000)
    many = gzip.compress(b" " * 999_999) * 2
    with pytest.raises(UnreadableDocument, match="decompresses to more than"):
        to_utf8(many, most=1_000_000)
    assert len(to_utf8(gzip.compress(b" " * 1_000_000), most=1_000_000)) == 1_000_000


def test_a_body_larger_than_the_limit_is_an_error() -> None:
    with pytest.raises(UnreadableDocument, match="it has 11 bytes; the limit is 10"):
        to_utf8(b" " * 11, most=10)


def test_many_problems_are_counted_after_the_first() -> None:
    read = read_json(json.dumps([math.nan] * (MAX_PROBLEMS + 5)).encode())
    assert len(read.problems) == MAX_PROBLEMS + 1
    assert read.problems[-1] == "and 5 more"


def test_a_problem_does_not_repeat_a_very_long_key() -> None:
    assert len(read_json(json.dumps({"k" * 100_000: math.inf}).encode()).problems[0]) < 300


def test_text_that_is_not_utf8_is_an_error() -> None:
    with pytest.raises(UnreadableDocument, match="not UTF-8"):
        decode_text("Z\xfcrich".encode("latin-1"))


ONE, TWO = {"n": 1, "t": "a [ b"}, {"n": 2, "t": ["x"]}


def values_of(body: bytes) -> list[object]:
    return [read.value for _, read in read_json_lines(body) if not isinstance(read, UnreadableDocument)]


@pytest.mark.parametrize(
    "text",
    [
        f"{json.dumps(ONE)}\n{json.dumps(TWO)}\n",
        f"\n\n{json.dumps(ONE)}\n  \n{json.dumps(TWO)}",
        f"{json.dumps(ONE)}\r\n{json.dumps(TWO)}\r\n",
        f"{json.dumps(ONE)}\r{json.dumps(TWO)}\r",
        f"{json.dumps(ONE)}\n\ufeff{json.dumps(TWO)}",
        f"{json.dumps(ONE, indent=2)}\n{json.dumps(TWO, indent=2)}\n",
        f"{json.dumps(ONE)}\n{json.dumps(TWO, indent=2)}\n",
        f"{json.dumps(ONE, indent=2)}\r{json.dumps(TWO)}",
        f"{json.dumps(ONE)},\n{json.dumps(TWO)},\n",
        f"{json.dumps(ONE)} {json.dumps(TWO)}",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_json_values_are_read_however_they_are_spread_over_lines(text: str, encoding: str) -> None:
    assert values_of(text.encode(encoding)) == [ONE, TWO]
    assert values_of(gzip.compress(text.encode(encoding))) == [ONE, TWO]


def test_a_list_over_several_lines_is_one_value() -> None:
    assert values_of(json.dumps([ONE, TWO], indent=1).encode()) == [[ONE, TWO]]


def test_a_bad_line_is_reported_with_its_number_and_other_lines_are_read() -> None:
    body = b'{"n": 1}\n{"n": \n\n{"n": 3, "x": NaN}\nhello\n{"n": 6, "t": "\xff"}\n{"n": 7}'
    read = dict(read_json_lines(body))
    assert isinstance(read[2], UnreadableDocument)
    assert isinstance(read[5], UnreadableDocument)
    assert read[4] == ({"n": 3}, ("x: it is not a finite number, as JSON requires",))
    assert read[6] == ({"n": 6}, ("t: it contains a lone surrogate or bytes that are not UTF-8; save it as UTF-8",))
    assert [read[number].value for number in (1, 7)] == [{"n": 1}, {"n": 7}]  # type: ignore[union-attr]


def test_a_value_nested_too_deeply_is_the_only_one_lost_on_one_line_or_several() -> None:
    deep = nested(5000)
    for between in (" ", "\n"):
        body = f'{{"n": 1}}\n{{"n": 2,{between}"x": {deep}}}\n{{"n": 3}}'
        assert values_of(body.encode())[0] == {"n": 1}
        assert values_of(body.encode())[-1] == {"n": 3}


def test_after_many_broken_lines_the_others_are_still_read() -> None:
    broken = b'["x", \n' * 3000
    assert values_of(broken + b'{"n": 1}\n') == [{"n": 1}]
    assert values_of(b'{"n": 1, \n' * 3000 + b'{"n": 2}\n')[-1] == {"n": 2}
