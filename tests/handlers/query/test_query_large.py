"""The query function: no response exceeds Lambda's limit, however large the manifest."""

import json
from collections import Counter

import pytest
from handlers.lambda_events import s3_event

from s3_manifest.aws import runtime
from s3_manifest.aws.threads import parallel_map
from s3_manifest.query.catalog import CatalogPage, read_catalog

LAMBDA_LIMIT = 6 * 1024 * 1024
PAGE = "/api/manifests/style/16"


def enlarge(account, reconcile, entry_of, count):
    """Rewrites the manifest with ``count`` entries, each updated by ``entry_of``."""
    account.put("styles/16/a.png")
    reconcile({"1": s3_event("styles/16/a.png")})
    manifest = account.manifest("styles/16/")
    (entry,) = manifest["files"]
    (generation,) = manifest["generations"]
    names = [f"{number:05d}.png" for number in range(count)]
    entries = [entry | {"filename": n, "s3_key": f"styles/16/{n}"} | entry_of(i) for i, n in enumerate(names)]
    files = [file for file in entries if not file.get("hidden") and "caption" not in file]
    counts = Counter(file["generation_id"] for file in files)
    generations = [generation | {"generation_id": id_, "image_count": count} for id_, count in counts.items()]
    manifest |= {
        "files": files,
        "hidden": [file for file in entries if file.get("hidden")],
        "captions": [file for file in entries if "caption" in file],
        "total_files": len(files),
        "total_size_bytes": sum(file["size_bytes"] for file in files),
        "generations": generations,
    }
    account.put("_manifests/styles/16/manifest.json", json.dumps(manifest, separators=(",", ":")).encode())


def plain(number):
    return {}


def quotes_in_long_prompts(number):
    return {"prompt": '"' * 1000 + "ü" * 500}


def backslashes_in_metadata(number):
    return {"metadata": {"workflow": "\\" * 1900}}


def control_characters(number):
    return {"prompt": "\n\t" * 900}


def a_generation_each(number):
    fat = {"prompt": '"' * 1900} if number < 2_000 else {}
    return {"generation_id": f"run-{number:05d}-of-the-trainer-on-some-machine"} | fat


@pytest.mark.parametrize(("entry_of", "count"), [(plain, 20_000), (quotes_in_long_prompts, 3_000)])
def test_a_whole_manifest_that_is_too_large_is_413_with_a_link_to_its_pages(account, get, reconcile, entry_of, count):
    enlarge(account, reconcile, entry_of, count)
    reply = get("/api/s3/manifest", styleId="16")
    assert (reply.status, reply.headers["content-type"]) == (413, "application/problem+json")
    assert PAGE in reply.json["detail"]


def test_a_whole_manifest_within_lambdas_limit_is_returned(account, get, reconcile):
    enlarge(account, reconcile, plain, 5_000)
    reply = get("/api/s3/manifest", styleId="16")
    assert (reply.status, len(reply.filenames)) == (200, 5_000)
    assert reply.size < LAMBDA_LIMIT


@pytest.mark.parametrize(
    ("entry_of", "count"),
    [
        (plain, 20_000),
        (quotes_in_long_prompts, 2_000),
        (backslashes_in_metadata, 2_000),
        (control_characters, 2_000),
        (a_generation_each, 20_000),
    ],
)
def test_a_page_with_the_largest_limit_stays_within_lambdas_limit(account, get, reconcile, entry_of, count):
    enlarge(account, reconcile, entry_of, count)
    reply = get(PAGE, limit=1000)
    assert reply.status == 200
    assert reply.size < LAMBDA_LIMIT
    assert reply.filenames[0] == "00000.png"
    following = get(PAGE, limit=1000, cursor=reply.json["cursor"])
    assert following.filenames[0] == f"{len(reply.filenames):05d}.png"


def test_all_pages_together_are_the_manifest(account, get, reconcile):
    enlarge(account, reconcile, plain, 3_500)
    names, cursor = [], ""
    while cursor is not None:
        reply = get(PAGE, limit=1000, **({"cursor": cursor} if cursor else {}))
        names += reply.filenames
        cursor = reply.json["cursor"]
    assert names == [f"{number:05d}.png" for number in range(3_500)]


HUGE = 7_000_000


def strings(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize(
    "huge",
    [
        {"prompt": "x" * HUGE},
        {"prompt": '"' * HUGE},
        {"prompt": "\n" * HUGE},
        {"labels": ["🎨" * 300] * 9000},
        {"metadata": {str(number): "y" * 100 for number in range(60_000)}},
        {"overridden": {"prompt": "x" * HUGE}},
        {"local_path": "x" * HUGE, "generated_at": None},
        {"hidden": True, "prompt": "x" * HUGE},
        {"caption": "x" * HUGE},
    ],
    ids=lambda huge: next(iter(huge)),
)
@pytest.mark.parametrize("at", [0, 2])
def test_an_entry_larger_than_any_response_is_marked_as_truncated_and_the_next_page_continues(
    account, get, reconcile, huge, at
):
    enlarge(account, reconcile, lambda number: huge if number == at else {}, 5)
    listing = "hidden" if "hidden" in huge else "captions" if "caption" in huge else "files"
    shown, cursor = [], ""
    while cursor is not None:
        reply = get(PAGE, limit=1000, list=listing, **({"cursor": cursor} if cursor else {}))
        assert reply.status == 200
        assert reply.size < LAMBDA_LIMIT
        shown += reply.json[listing]
        cursor = reply.json["cursor"]
        assert len(shown) <= 5
    (cut,) = [entry for entry in shown if entry.get("problem")]
    assert cut["filename"] == f"{at:05d}.png"
    assert "truncated here" in cut["problem"]
    assert max(len(text) for text in strings(cut)) < 2000
    assert len(shown) == (5 if listing == "files" else 1)


def test_a_manifest_with_too_many_generations_is_paged_and_reports_what_it_omits(account, get, reconcile):
    enlarge(account, reconcile, plain, 3)
    manifest = account.manifest("styles/16/")
    (generation,) = manifest["generations"]
    manifest["generations"] = [
        generation | {"generation_id": number, "metadata": {"x": '"' * 3000}, "image_count": 3 * (number == 0)}
        for number in range(2000)
    ]
    account.put("_manifests/styles/16/manifest.json", json.dumps(manifest).encode())
    first = get(PAGE, limit=2)
    assert (first.status, first.filenames, first.json["left_out"]) == (
        200,
        ["00000.png", "00001.png"],
        ["generations.metadata"],
    )
    assert len(first.json["generations"]) == 2000
    assert first.size < LAMBDA_LIMIT
    assert get(PAGE, limit=2, cursor=first.json["cursor"]).filenames == ["00002.png"]
    assert get("/api/s3/manifest", styleId="16").status == 413


def test_a_problem_document_truncates_long_names(account, edit):
    account.put("styles/16/a.png")
    name = '"' * 2_000_000 + ".png"
    reply = edit("PATCH", "/api/styles/16/images", {"files": {name: {"good": 1}}})
    assert reply.status == 400
    assert reply.size < 100_000
    reply = edit("PATCH", "/api/styles/16/images", {"files": {name: {"good": True}}})
    assert reply.status == 404
    assert reply.size < 100_000


def test_a_revision_with_too_many_removed_files_lists_some_and_counts_the_others(account, get, reconcile, monkeypatch):
    names = [f"{number:03}{'x' * 500}.png" for number in range(100)]
    for name in names:
        account.put(f"styles/16/{name}")
    reconcile({"1": s3_event(*(f"styles/16/{name}" for name in names))})
    for name in names:
        account.delete(f"styles/16/{name}")
    reconcile({"1": s3_event(*(f"styles/16/{name}" for name in names), event="ObjectRemoved:Delete")})
    account.put("styles/16/a.png")
    account.put("styles/16/b.png")
    reconcile({"1": s3_event("styles/16/a.png")})
    account.delete("styles/16/a.png")
    reconcile({"1": s3_event("styles/16/a.png", event="ObjectRemoved:Delete")})
    monkeypatch.setattr("s3_manifest.query.feeds.MAX_ANSWER_BYTES", 40_000)
    removed, since, more = [], 0, True
    while more:
        answer = get(f"{PAGE}/removed", since=since).json
        assert answer["next"] > since
        removed, since, more = removed + answer["removed"], answer["next"], answer["more"]
    names_shown = [file["filename"] for file in removed]
    assert names_shown == [*names[: len(names_shown) - 1], "a.png"]
    assert 10 < len(names_shown) < 90
    assert removed[-2]["left_out"] == 100 - (len(names_shown) - 1)
    assert "/changes/" in removed[-2]["s3_key"]


def test_a_page_of_the_catalog_lists_as_many_collections_as_fit(account, reconcile):
    keys = [f"styles/{number}/a.png" for number in range(5)]
    for key in keys:
        account.put(key)
    reconcile({"1": s3_event(*keys)})
    shown, after = [], None
    while True:
        found, _, after = read_catalog(runtime.stores(), runtime.collections(), parallel_map, 1000, after, room=700)
        assert 1 <= len(found) <= 3
        shown += [row["style_id"] for row in found]
        if after is None:
            break
    assert shown == ["0", "1", "2", "3", "4"]


def test_a_response_above_lambdas_limit_is_413(account, get, monkeypatch):
    page = CatalogPage([{"title": "x" * LAMBDA_LIMIT}], [], None)
    monkeypatch.setattr("s3_manifest.http.catalog_routes.read_catalog", lambda *_: page)
    reply = get("/api/manifests")
    assert (reply.status, reply.json["status"]) == (413, 413)
