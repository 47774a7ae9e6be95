import json
import string

import pytest
from unit.environments import serial_map
from unit.values import EVENING, MORNING, NOON, STYLE, file_observation, head_after, head_of

from s3_manifest.manifest import layout
from s3_manifest.manifest.encoding import encode_head
from s3_manifest.query import reads
from s3_manifest.query.answers import AnswerTooLarge, escaped_size
from s3_manifest.query.catalog import Position
from s3_manifest.query.cursors import BadParameter, decode_cursor, encode_cursor
from s3_manifest.query.reads import Filter, ManifestChanged, PageQuery
from s3_manifest.storage import heads
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.snapshot import Snapshot

LETTERS = head_of(*(file_observation(f"{letter}.jpg") for letter in string.ascii_lowercase))
MIXED = head_of(
    file_observation("a.jpg"),
    file_observation("a.png", last_modified=NOON),
    file_observation("deep/b.jpg", last_modified=EVENING),
    file_observation("deep/er/c.jpg"),
    file_observation("A.jpg"),
    file_observation("[x].jpg"),
)
EVERYTHING = Filter()
# The largest response of Lambda: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAMBDA_LIMIT = 6_000_000


def snapshot_of(head):
    """The head, loaded from a bucket that has nothing else."""
    store = MemoryStore()
    heads.save(store, STYLE, head, None)
    return Snapshot.load(store, serial_map, STYLE)


def page(head, filter_, limit, cursor):
    return reads.page(snapshot_of(head), PageQuery(filter_, limit, cursor)).json


def whole(head):
    return reads.whole(snapshot_of(head)).json


def names(answer):
    return [entry["filename"] for entry in json.loads(answer)["files"]]


def pages(head, limit, filter_=EVERYTHING):
    cursor, answers = None, []
    while cursor or not answers:
        answers.append(page(head, filter_, limit, cursor))
        cursor = json.loads(answers[-1])["cursor"]
        assert len(answers) <= head.total_files + 1, "the pages have no end"
    return answers


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 12, 13, 25, 26, 27, 1000])
def test_pages_of_any_size_visit_each_file_exactly_once(limit):
    visited = [names(answer) for answer in pages(LETTERS, limit)]
    assert [name for names_ in visited for name in names_] == [entry.filename for entry in LETTERS.files]
    assert [len(names_) for names_ in visited[:-1]] == [limit] * (len(visited) - 1)
    assert 1 <= len(visited[-1]) <= limit


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_filtered_pages_return_exactly_the_matching_files(limit):
    visited = [name for answer in pages(MIXED, limit, Filter(glob="*.jpg")) for name in names(answer)]
    assert visited == ["A.jpg", "[x].jpg", "a.jpg", "deep/b.jpg", "deep/er/c.jpg"]


def test_an_empty_manifest_is_one_empty_page():
    (answer,) = pages(head_of(), 10)
    assert names(answer) == []


def test_a_page_is_the_manifest_with_fewer_files_and_a_cursor():
    shown = json.loads(page(LETTERS, EVERYTHING, 3, None))
    cursor, files = shown.pop("cursor"), shown.pop("files")
    manifest = json.loads(encode_head(LETTERS))
    assert files == manifest.pop("files")[:3]
    assert (manifest.pop("captions"), manifest.pop("hidden")) == ([], [])
    assert shown == manifest
    assert isinstance(cursor, str)


def test_a_page_has_the_totals_of_the_whole_manifest():
    shown = json.loads(page(MIXED, Filter(prefix="deep/"), 1, None))
    assert (shown["total_files"], shown["total_size_bytes"]) == (6, 18)


@pytest.mark.parametrize(
    ("selection", "shown"),
    [
        (EVERYTHING, ["A.jpg", "[x].jpg", "a.jpg", "a.png", "deep/b.jpg", "deep/er/c.jpg"]),
        (Filter(prefix="deep/"), ["deep/b.jpg", "deep/er/c.jpg"]),
        (Filter(prefix="a"), ["a.jpg", "a.png"]),
        (Filter(prefix="none"), []),
        (Filter(glob="*.png"), ["a.png"]),
        (Filter(glob="?.jpg"), ["A.jpg", "a.jpg"]),
        (Filter(glob="deep/*"), ["deep/b.jpg", "deep/er/c.jpg"]),
        (Filter(glob="[aA].*"), ["A.jpg", "a.jpg", "a.png"]),
        (Filter(glob="[[]x].jpg"), ["[x].jpg"]),
        (Filter(glob="jpg"), []),
        (Filter(glob=""), []),
        (Filter(modified_after=MORNING), ["a.png", "deep/b.jpg"]),
        (Filter(modified_after=NOON), ["deep/b.jpg"]),
        (Filter(modified_after=EVENING), []),
        (Filter("a", "*.png", MORNING), ["a.png"]),
        (Filter("a", "*.jpg", MORNING), []),
    ],
    ids=str,
)
def test_a_filter_returns_files_that_meet_all_conditions(selection, shown):
    assert names(page(MIXED, selection, 100, None)) == shown


def cursor_of(head):
    return json.loads(page(head, EVERYTHING, 3, None))["cursor"]


def test_a_manifest_that_changed_between_two_pages_is_an_error():
    changed = head_after(LETTERS, file_observation("new.jpg"))
    with pytest.raises(ManifestChanged, match="is of revision 1"):
        page(changed, EVERYTHING, 3, cursor_of(LETTERS))


def test_a_cursor_of_a_recreated_manifest_with_the_same_revision_is_rejected():
    recreated = LETTERS.model_copy(update={"created_at": EVENING})
    with pytest.raises(ManifestChanged):
        page(recreated, EVERYTHING, 3, cursor_of(LETTERS))


def test_a_cursor_stays_valid_after_a_commit_without_changes():
    fenced = head_after(LETTERS, commit="c2", now=EVENING)
    assert names(page(fenced, EVERYTHING, 3, cursor_of(LETTERS))) == ["d.jpg", "e.jpg", "f.jpg"]


@pytest.mark.parametrize(
    "cursor",
    ["x", "!", "é", "=", "bnVsbA", "W10", "e30", "eyJhZnRlciI6ICJhIn0", "a" * 10_000, "\x00", "//8"],
)
def test_a_foreign_cursor_is_refused(cursor):
    with pytest.raises(BadParameter):
        page(LETTERS, EVERYTHING, 3, cursor)


def test_a_cursor_of_another_kind_of_page_is_refused():
    with pytest.raises(BadParameter):
        page(LETTERS, EVERYTHING, 3, encode_cursor(Position(kind="style", id="16")))
    with pytest.raises(BadParameter):
        decode_cursor(cursor_of(LETTERS), Position)


@pytest.mark.parametrize("name", ["ü 🎨", "a" * 1024, '"', "??>>", "", "a\nb"])
def test_a_cursor_is_safe_in_a_url_for_any_name(name):
    head = head_of(file_observation(name), file_observation("\U0010ffff"))
    cursor = json.loads(page(head, EVERYTHING, 1, None))["cursor"]
    assert set(cursor) <= set(string.ascii_letters + string.digits + "-_")
    assert names(page(head, EVERYTHING, 1, cursor)) == ["\U0010ffff"]


# Some 2 KB of metadata each, as much as S3 allows, half of it characters that are escaped.
LARGE = head_of(*(file_observation(f"{n:04}.jpg", metadata={"camera": '"\\' * 1000}) for n in range(1500)))


def test_a_page_too_large_for_one_response_is_cut_and_the_next_continues():
    answers = pages(LARGE, 1500)
    assert len(answers) == 3
    assert [name for answer in answers for name in names(answer)] == [entry.filename for entry in LARGE.files]
    assert all(escaped_size(answer) <= LAMBDA_LIMIT for answer in answers)


def test_pages_fill_a_response():
    first, *_ = pages(LARGE, 1500)
    assert escaped_size(first) > 0.9 * reads.MAX_ANSWER_BYTES


def test_an_entry_larger_than_a_response_is_returned_alone(monkeypatch):
    nothing_but_the_head = encode_head(MIXED.model_copy(update={"files": ()}))
    monkeypatch.setattr(reads, "MAX_ANSWER_BYTES", escaped_size(nothing_but_the_head) + 2010)
    assert [names(answer) for answer in pages(MIXED, 100)] == [[entry.filename] for entry in MIXED.files]


def test_a_page_of_a_manifest_with_many_generations_fits_into_a_response(monkeypatch):
    monkeypatch.setattr(layout, "MAX_INLINE", 5000)
    observations = (
        file_observation(f"{n:04}.jpg", metadata={"generation-id": f"run-{n:04}" + "x" * 40, "camera": '"\\' * 200})
        for n in range(5000)
    )
    answer = page(head_of(*observations), EVERYTHING, 10_000, None)
    assert escaped_size(answer) <= LAMBDA_LIMIT


def test_the_whole_manifest_is_returned_as_stored():
    assert whole(MIXED) == encode_head(MIXED)


def test_a_manifest_that_exceeds_a_response_raises_answer_too_large():
    with pytest.raises(AnswerTooLarge):
        whole(LARGE)


def test_a_manifest_of_exactly_the_limit_is_returned(monkeypatch):
    monkeypatch.setattr(reads, "MAX_ANSWER_BYTES", escaped_size(encode_head(MIXED)))
    assert whole(MIXED) == encode_head(MIXED)
    monkeypatch.setattr(reads, "MAX_ANSWER_BYTES", escaped_size(encode_head(MIXED)) - 1)
    with pytest.raises(AnswerTooLarge):
        whole(MIXED)


@pytest.mark.parametrize("text", ["", "plain", '"quoted"', "back\\slash", "ü 🎨", '{"a": "b\\n"}'])
def test_escaped_size_is_the_size_of_a_text_in_lambdas_json(text):
    assert escaped_size(text.encode()) == len(json.dumps(text, ensure_ascii=False).encode()) - 2
