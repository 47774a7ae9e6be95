"""The query function reads a paged manifest a few pages at a time and responds as for an unpaged one."""

import json
from fnmatch import fnmatchcase

import pytest
from handlers.large import FOLDER, PREFIX, TIME, publish
from handlers.query.test_query import is_problem

from s3_manifest.manifest.encoding import facts_json

PATH = "/api/manifests/style/16"
WHOLE = "/api/s3/manifest"
HEAD = f"{FOLDER}manifest.json"
LAMBDA_LIMIT = 6 * 1024 * 1024


def names(*numbers):
    return [f"{number:05}.png" for number in numbers]


def read_counting(account, get, **query):
    """Returns all filenames, and for each page of the response the number of S3 requests and of files."""
    filenames, requests, sizes, cursor = [], [], [], {}
    while True:
        account.requests.clear()
        reply = get(PATH, **query, **cursor)
        assert reply.status == 200
        assert reply.size < LAMBDA_LIMIT
        filenames += reply.filenames
        requests.append(len(account.requests))
        sizes.append(len(reply.filenames))
        if reply.json["cursor"] is None:
            return filenames, requests, sizes
        cursor = {"cursor": reply.json["cursor"]}
        assert len(requests) < 2000


@pytest.mark.parametrize("limit", [1000, 999, 700, 23])
def test_a_page_takes_at_most_three_requests_and_no_file_is_omitted(account, get, limit):
    count = 9_000 if limit > 500 else 2_001
    head = publish(account, count)
    assert len(head.pages) > 1
    filenames, requests, sizes = read_counting(account, get, limit=limit)
    assert filenames == names(*range(count))
    assert max(requests) <= 3
    # A response is full unless the manifest pages that it reads contain too few files.
    assert sizes[0] == limit
    assert len(sizes) <= count // limit + len(head.pages) + 1


def test_every_page_has_the_fields_of_the_head_except_files(account, get):
    head = publish(account, 4_000, title="Dynamic")
    facts = json.loads(json.dumps(facts_json(head)))
    reply = get(PATH, limit=5)
    assert reply.json == facts | {"files": reply.json["files"], "cursor": reply.json["cursor"]}
    assert reply.json["style_title"] == "Dynamic"


def test_a_whole_manifest_of_some_thousand_files_fits_into_one_response(account, get):
    head = publish(account, 5_000)
    reply = get(WHOLE, styleId="16")
    assert (reply.status, len(head.pages) > 1) == (200, True)
    assert reply.size < LAMBDA_LIMIT
    assert reply.filenames == names(*range(5_000))
    lists = {"files": reply.json["files"], "captions": [], "hidden": []}
    assert reply.json == json.loads(json.dumps(facts_json(head))) | lists
    stored = [item for page in head.pages for item in json.loads(account.read(page.key))["files"]]
    assert reply.json["files"] == stored
    assert len(account.requests) == 1 + len(head.pages)


def test_a_very_large_whole_manifest_is_413_without_being_read(account, get):
    publish(account, 14_000)
    reply = get(WHOLE, styleId="16")
    assert is_problem(reply, 413)
    assert PATH in reply.json["detail"]
    assert len(account.requests) == 1


def test_a_whole_manifest_of_large_entries_is_413(account, get):
    publish(account, 2_500, lambda number: {"prompt": '"' * 1000})
    assert is_problem(get(WHOLE, styleId="16"), 413)


@pytest.mark.parametrize(("path", "query"), [(PATH, {}), (PATH, {"limit": 1000}), (WHOLE, {"styleId": "16"})])
def test_a_current_etag_is_304_with_one_request(account, get, path, query):
    publish(account, 3_000)
    etag = get(path, **query).etag
    for etags in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        account.requests.clear()
        reply = get(path, {"if-none-match": etags}, **query)
        assert (reply.status, reply.text, reply.etag) == (304, "", etag)
        assert [(request.method, request.key) for request in account.requests] == [("GET", HEAD)]


def test_a_prefix_is_found_without_reading_all_pages(account, get):
    head = publish(account, 9_000)
    for prefix, expected in (
        ("08", names(*range(8_000, 9_000))),
        ("00000", names(0)),
        ("08999.png", names(8_999)),
        ("0450", names(*range(4_500, 4_510))),
        ("", names(*range(1000))),
    ):
        account.requests.clear()
        reply = get(PATH, prefix=prefix, limit=1000)
        assert reply.filenames == expected
        assert len(account.requests) <= 3
    for prefix in ("1", "08999.pngx", "/", "00000.", "~", "\U0010ffff"):
        assert get(PATH, prefix=prefix).filenames == (names(0) if prefix == "00000." else [])
        assert get(PATH, prefix=prefix).json["cursor"] is None
    # A prefix that spans two pages of the manifest.
    boundary = head.pages[1].first
    prefix = boundary[:3]
    filenames, requests, _ = read_counting(account, get, prefix=prefix, limit=7)
    assert filenames == [name for name in names(*range(9_000)) if name.startswith(prefix)]
    assert max(requests) <= 3


@pytest.mark.parametrize("glob", ["*99.png", "0888[89].png", "nothing*", "*", "?????.png", "00000.png"])
def test_pages_of_a_glob_may_be_empty_but_together_list_every_match(account, get, glob):
    publish(account, 9_000)
    filenames, requests, sizes = read_counting(account, get, glob=glob, limit=1000)
    assert filenames == [name for name in names(*range(9_000)) if fnmatchcase(name, glob)]
    assert max(requests) <= 3
    assert (0 in sizes) is (glob in {"0888[89].png", "nothing*", "00000.png"})


def test_combined_filters_apply_to_all_pages(account, get):
    publish(
        account,
        6_000,
        lambda number: {"last_modified": "2026-06-01T00:00:00.000Z" if number % 3 == 0 else TIME},
    )
    query = {"prefix": "0", "glob": "*7.png", "modified_after": TIME}
    filenames, requests, _ = read_counting(account, get, limit=50, **query)
    assert filenames == [name for name in names(*range(0, 6_000, 3)) if name.endswith("7.png")]
    assert max(requests) <= 3


@pytest.mark.parametrize("limit", [1, 1000])
def test_pages_of_the_largest_entries_stay_within_lambdas_limit(account, get, limit):
    publish(account, 2_400, lambda number: {"metadata": {"workflow": "\\" * 1900}} if limit > 1 or number < 3 else {})
    if limit == 1:
        assert get(PATH, limit=1).size < LAMBDA_LIMIT
        return
    filenames, requests, _ = read_counting(account, get, limit=limit)
    assert filenames == names(*range(2_400))
    assert max(requests) <= 3


def test_a_page_that_was_garbage_collected_is_read_from_the_next_head(account, get):
    """After the head is read, another commit is made and the garbage collector deletes the old page."""
    before = publish(account, 3_000)
    commits = []

    def commit_meanwhile(request):
        if request.key == before.pages[0].key and not commits:
            commits.append(request)
            publish(account, 3_001, commit="c2", revision=2)
            for page in before.pages:
                account.delete(page.key)

    account.faults.append(commit_meanwhile)
    reply = get(PATH, limit=10)
    assert (reply.status, reply.json["revision"], reply.filenames) == (200, 2, names(*range(10)))
    account.faults.clear()
    assert reply.etag == get(PATH).etag
    assert commits


def test_a_whole_manifest_is_one_revision_despite_a_concurrent_commit(account, get):
    before = publish(account, 4_500)
    commits = []

    def commit_meanwhile(request):
        if request.key == before.pages[2].key and not commits:
            commits.append(request)
            publish(account, 4_499, commit="c2", revision=2)
            account.delete(before.pages[2].key)

    account.faults.append(commit_meanwhile)
    reply = get(WHOLE, styleId="16")
    assert (reply.status, reply.json["total_files"], len(reply.filenames)) == (200, 4_499, 4_499)


@pytest.mark.parametrize(("path", "query"), [(PATH, {}), (WHOLE, {"styleId": "16"})])
def test_a_missing_or_broken_page_is_503_with_the_remedy_in_the_log(account, get, log, path, query):
    head = publish(account, 3_000)
    page = account.read(head.pages[0].key)
    spoiled = [
        None,
        b"",
        b"{}",
        page[:-5],
        page.replace(b'"schema":1', b'"schema":2', 1),
        page.replace(b'"filename"', b'"name"', 1),
        page[:1000] + b"\n" + page[1000:],
    ]
    for body in spoiled:
        if body is None:
            account.delete(head.pages[0].key)
        else:
            account.put(head.pages[0].key, body)
        reply = get(path, **query)
        assert is_problem(reply, 503), body and body[:100]
    lines = [line["reason"] for line in log() if line["level"] == "ERROR"]
    assert len(lines) == len(spoiled)
    assert "rescan" in lines[0]
    assert all(head.pages[0].key in line or HEAD in line for line in lines)


def test_the_catalog_reads_no_page(account, get, reconcile):
    account.put(f"{PREFIX}a.png")
    publish(account, 3_000)
    account.requests.clear()
    get("/api/manifests")
    assert not [request for request in account.requests if "/pages/" in request.key]


@pytest.mark.parametrize("number", [0, 1, 1_999, 2_000, 2_999])
def test_a_cursor_may_point_to_any_file(account, get, number):
    publish(account, 3_000)
    cursor = {}
    if number:
        # The largest limit is 1000.
        received = 0
        while received < number:
            reply = get(PATH, limit=min(1000, number - received), **cursor)
            received += len(reply.filenames)
            cursor = {"cursor": reply.json["cursor"]}
    assert get(PATH, limit=1, **cursor).filenames == names(number)
