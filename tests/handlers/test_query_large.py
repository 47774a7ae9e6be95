"""The query function: no answer is larger than Lambda lets through, however large the manifest."""

import json

import pytest

from handlers.lambda_events import s3_event

LAMBDA_LIMIT = 6 * 1024 * 1024
PAGE = "/api/manifests/style/16"


def enlarge(account, reconcile, entry_of, count):
    """Makes the manifest one of so many entries, each altered by ``entry_of``."""
    account.put("styles/16/a.png")
    reconcile({"1": s3_event("styles/16/a.png")})
    manifest = account.manifest("styles/16/")
    (entry,) = manifest["files"]
    (generation,) = manifest["generations"]
    names = [f"{number:05d}.png" for number in range(count)]
    files = [entry | {"filename": n, "s3_key": f"styles/16/{n}"} | entry_of(i) for i, n in enumerate(names)]
    ids = {file["generation_id"]: generation | {"generation_id": file["generation_id"]} for file in files}
    manifest |= {"files": files, "total_files": len(files), "generations": list(ids.values())}
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
def test_a_whole_manifest_that_is_too_large_is_413_and_says_where_its_pages_are(
    account, get, reconcile, entry_of, count
):
    enlarge(account, reconcile, entry_of, count)
    reply = get("/api/s3/manifest", styleId="16")
    assert (reply.status, reply.headers["content-type"]) == (413, "application/problem+json")
    assert PAGE in reply.json["detail"]


def test_a_whole_manifest_that_passes_lambda_is_answered(account, get, reconcile):
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
def test_a_page_of_the_greatest_limit_passes_lambda(account, get, reconcile, entry_of, count):
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
