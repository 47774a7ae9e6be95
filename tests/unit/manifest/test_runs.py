import json

import pytest
from unit.values import EVENING, MORNING, entry, head_of

from s3_manifest.manifest import digests
from s3_manifest.manifest.encoding import encode_head
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.manifest.runs import Run, decode_page

# In S3's order, that of UTF-8; UTF-16 would have the emoji before U+FFFD.
ODD = sorted(
    [
        "\n.jpg",
        '"',
        '",\n{"filename":"x"}',
        "\\",
        "a",
        "a b",
        "a\n,\n",
        "a/b",
        "é",
        "\u2028",
        "\ufffd",
        "\U0001f3a8",
        "\U0010ffff",
    ],
    key=str.encode,
)


def run_of(*filenames, **facts):
    return Run([entry(name, **facts) for name in filenames])


def written(run):
    """The run, written to a page and read back."""
    return decode_page(run.page, run.page_ref("p"))


def names(run):
    return [entry.filename for entry in run.entries()]


def both(*filenames):
    """The run in memory and the run read from a page, which behave alike."""
    return [run_of(*filenames), written(run_of(*filenames))]


def test_a_run_is_the_same_after_it_was_written_and_read():
    run = run_of(*ODD, metadata={"prompt": 'a "fox"\n,\n'})
    assert list(written(run).entries()) == list(run.entries())
    assert written(run).page == run.page


def test_a_page_is_json_with_one_entry_per_line():
    first, *lines, last = run_of(*ODD).page.split(b"\n")
    page = json.loads(run_of(*ODD).page)
    assert (page["schema"], [fields["filename"] for fields in page["files"]]) == (1, ODD)
    assert (first, last) == (b'{"schema":1,"files":[', b"]}")
    assert [json.loads(line.removesuffix(b",")) for line in lines] == page["files"]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("run", both(*ODD), ids=["made", "read"])
def test_an_entry_is_found_by_any_filename(run, name):
    assert run.find(name) == entry(name)
    assert (run.first, run.last, len(run)) == (ODD[0], ODD[-1], len(ODD))


@pytest.mark.parametrize("name", ["", "a0", "b", "\U0010fffe", "\U0010ffff0", "A"])
@pytest.mark.parametrize("run", both(*ODD), ids=["made", "read"])
def test_a_missing_filename_is_not_found(run, name):
    assert run.find(name) is None


def test_an_empty_run_has_no_entries():
    assert (Run().find("a"), len(Run()), names(Run().starting_at("a"))) == (None, 0, [])


@pytest.mark.parametrize("since", ["", "a", "b", "c", "f", "g"])
@pytest.mark.parametrize("run", both(*"bdf"), ids=["made", "read"])
def test_starting_at_returns_the_entries_from_a_filename_on(run, since):
    assert names(run.starting_at(since)) == [name for name in "bdf" if name >= since]


@pytest.mark.parametrize("put", ["", "a", "b", "c", "g", "ag", "abcdefg", "bdf"])
@pytest.mark.parametrize("removed", ["", "b", "d", "f", "bdf", "x", "ace"])
@pytest.mark.parametrize("run", both(*"bdf"), ids=["made", "read"])
def test_changes_insert_replace_and_remove_entries_and_keep_the_others(run, put, removed):
    changes = dict.fromkeys(removed) | {name: entry(name, size=9) for name in put}
    expected = {name: 3 for name in "bdf" if name not in removed} | dict.fromkeys(put, 9)
    assert {changed.filename: changed.size_bytes for changed in run.with_changes(changes).entries()} == expected
    assert names(run.with_changes(changes)) == sorted(expected)
    assert names(run) == list("bdf")


def test_the_bytes_of_an_unchanged_entry_are_copied():
    # This code never writes such spacing, so other bytes would mean that the entry was decoded.
    line = json.dumps(json.loads(next(run_of("b").lines())), indent=None).encode()
    page = Run([line]).page
    run = decode_page(page, run_of("b").page_ref("p")).with_changes({"a": entry("a"), "c": entry("c"), "d": None})
    assert list(run.lines())[1] == line
    assert line in run.split(2)[1].concat(Run()).page


def test_rows_have_the_most_used_fields_and_the_entry_as_json():
    for run in both(*"ab"):
        assert [(r.filename, r.last_modified, json.loads(r.line)["s3_key"]) for r in run.rows()] == [
            ("a", MORNING, "styles/16/a"),
            ("b", MORNING, "styles/16/b"),
        ]


@pytest.mark.parametrize("run", both(*ODD), ids=["made", "read"])
def test_a_reference_describes_its_page(run):
    ref = run.page_ref("the key")
    assert (ref.key, ref.first, ref.last) == ("the key", ODD[0], ODD[-1])
    assert (ref.total_files, ref.total_size_bytes) == (len(ODD), 3 * len(ODD))
    assert ref.digest == digests.to_hex(digests.combine(map(digests.entry_digest, run.entries())))


@pytest.mark.parametrize(("count", "parts"), [(1, 1), (6, 1), (6, 2), (7, 2), (7, 3), (20, 6), (5, 5)])
def test_a_run_is_split_evenly_and_loses_nothing(count, parts):
    run = run_of(*(f"{n:02}" for n in range(count)))
    split = run.split(parts)
    assert [name for part in split for name in names(part)] == names(run)
    assert len(split) == parts
    assert max(map(len, split)) - min(map(len, split)) <= 1


def test_two_runs_are_joined_in_order():
    assert names(run_of("a", "b").concat(written(run_of("c")))) == ["a", "b", "c"]


PAGE = run_of("a", "b", "c").page
LINES = PAGE.split(b"\n")
REF = run_of("a", "b", "c").page_ref("_manifests/p.json")
LACKS_SIZE = LINES[2].replace(b'"size_bytes":3,', b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\n]}",
        b'{"schema":1,"files":[\n]}',
        b'{"schema":1,"files":[\n\n]}',
        PAGE[:-1],
        PAGE[1:],
        PAGE + b"\n",
        PAGE.replace(b'"schema":1', b'"schema":2'),
        run_of("a", "b").page,
        run_of("a", "b", "d").page,
        run_of("0", "b", "c").page,
        run_of("a", "b", "b2", "c").page,
        PAGE.replace(b",\n", b"\n"),
        encode_head(head_of()),
        b"\n".join([LINES[0], b"{},", b"{},", b"{}", LINES[-1]]),
        b"\n".join([LINES[0], b"[],", b"[],", b"[]", LINES[-1]]),
        b"\n".join([LINES[0], b"1,", b"1,", b"1", LINES[-1]]),
        b"\n".join([LINES[0], LINES[1][:-9] + b",", *LINES[2:]]),
        b"\n".join([*LINES[:3], LINES[3][9:], LINES[-1]]),
    ],
    ids=lambda body: repr(body[-60:]),
)
def test_a_page_that_does_not_match_its_reference_is_unreadable(body):
    with pytest.raises(UnreadableManifest):
        decode_page(body, REF)


BROKEN = {
    "cut off": LINES[2][:50] + b",",
    "null": b"null,",
    "a list": b"[],",
    "an empty object": b"{},",
    "without a field": LACKS_SIZE,
    "not UTF-8": LINES[2].replace(b'"b"', b'"\xff"'),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(
    "use",
    [
        lambda run: list(run.entries()),
        lambda run: run.find("b"),
        lambda run: run.with_changes({"b": None}),
        lambda run: run.starting_at("a2"),
        lambda run: run.page_ref("p"),
        lambda run: list(run.rows()),
    ],
    ids=["decoded", "found", "replaced", "starting at", "referenced", "rows"],
)
def test_a_broken_entry_in_a_page_is_unreadable_on_access(use, broken):
    run = decode_page(b"\n".join([*LINES[:2], broken, *LINES[3:]]), REF)
    with pytest.raises(UnreadableManifest, match="broken"):
        use(run)


def test_an_entry_with_an_unknown_field_is_unreadable_when_it_is_decoded():
    newer = LINES[2].replace(b'{"filename"', b'{"new":1,"filename"')
    run = decode_page(b"\n".join([*LINES[:2], newer, *LINES[3:]]), REF)
    with pytest.raises(UnreadableManifest, match="broken"):
        run.find("b")
    assert run.find("a") == entry("a")


def test_a_modified_entry_is_encoded_again():
    run = written(run_of("a", "b")).with_changes({"b": entry("b", last_modified=EVENING)})
    assert written(run).find("b").last_modified == EVENING
