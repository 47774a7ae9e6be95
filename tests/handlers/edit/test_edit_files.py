"""The edit function, file by file: descriptions, hides and deletions, through real requests."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from handlers.lambda_events import Context, s3_event
from handlers.query.test_query import is_problem

from s3_manifest.query.change_token import ChangeToken
from s3_manifest.query.cursors import decode_cursor

ACTOR = "0042_european_30_male"
PREFIX = f"system_actors/training_data/{ACTOR}/"
PROMPTS = f"{PREFIX}prompt_metadata.json"
IMAGES = f"/api/actors/{ACTOR}/training-data"
ONE = f"{IMAGES}/a.png"
DELETED = f"/api/training-data/{ACTOR}/images"
ODD_NAMES = ["deep/er/a.png", "a b+c%.png", "ünï 🎨.png", "q?x=1&y#z.png", "a;b:c@d,e.png", 'it\'s "<x>".png']


@pytest.fixture(autouse=True)
def files(account):
    for name in ("a.png", "b.png", "a.txt"):
        account.put(PREFIX + name)
    account.requests.clear()


def descriptions(account, prefix=PREFIX):
    return json.loads(account.read(f"{prefix}prompt_metadata.json"))


def untouched(account):
    """Returns whether nothing was written or deleted."""
    return [request for request in account.requests if request.method not in {"GET", "HEAD"}] == []


def change_token(reply):
    return decode_cursor(reply.json["reflects"], ChangeToken)


@pytest.mark.parametrize(
    "path",
    [
        ONE,
        "/api/actors/42/training-data/a.png",
        "/api/actors/0042/training-data/a.png",
        f"/api/manifests/actor/{ACTOR}/files/a.png",
    ],
)
def test_an_actors_file_is_described_through_every_form_of_its_path(account, edit, path):
    reply = edit("PATCH", path, {"good": False, "prompt": "größe", "labels": ["x", "y"]})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert descriptions(account) == {"a.png": {"good": False, "prompt": "größe", "labels": ["x", "y"]}}
    assert (reply.json["s3_key"], reply.json["files"], reply.json["attempts"]) == (PROMPTS, ["a.png"], 1)
    assert reply.json["etag"] == account.truth(PREFIX)["prompt_metadata.json"]
    assert change_token(reply).s3_key == PROMPTS


@pytest.mark.parametrize("path", ["/api/styles/16/images/a.png", "/api/manifests/style/16/files/a.png"])
def test_a_styles_file_is_described(account, edit, path):
    account.put("styles/16/a.png")
    assert edit("PATCH", path, {"good": False}).status == 200
    assert descriptions(account, "styles/16/") == {"a.png": {"good": False}}


@pytest.mark.parametrize("filename", ODD_NAMES)
def test_a_filename_may_have_slashes_and_special_characters(account, edit, filename):
    account.put(PREFIX + filename)
    assert edit("PATCH", f"{IMAGES}/{filename}", {"good": False}).json["files"] == [filename]
    assert descriptions(account) == {filename: {"good": False}}
    assert edit("DELETE", f"{DELETED}/{filename}", delete_from_s3="true").json["s3_key"] == PREFIX + filename
    assert PREFIX + filename not in account.below(PREFIX)
    assert descriptions(account) == {}


def test_null_removes_a_field_and_omitted_fields_stay(account, edit):
    edit("PATCH", ONE, {"good": False, "prompt": "x"})
    edit("PATCH", ONE, {"prompt": None, "labels": []})
    assert descriptions(account) == {"a.png": {"good": False, "labels": []}}


def test_many_files_are_described_in_one_edit(account, edit):
    reply = edit("PATCH", IMAGES, {"files": {"a.png": {"good": False}, "b.png": {"prompt": "x"}}})
    assert (reply.status, reply.json["files"]) == (200, ["a.png", "b.png"])
    assert descriptions(account) == {"a.png": {"good": False}, "b.png": {"prompt": "x"}}
    assert len([request for request in account.sent("PUT") if request.key == PROMPTS]) == 1


@pytest.mark.parametrize("path", ["/api/styles/16/images", "/api/manifests/style/16/files"])
def test_many_files_of_a_style_are_described_in_one_edit(account, edit, path):
    account.put("styles/16/a.png")
    assert edit("PATCH", path, {"files": {"a.png": {"good": False}}}).status == 200
    assert descriptions(account, "styles/16/") == {"a.png": {"good": False}}


def test_an_edit_of_many_with_a_missing_file_is_404_and_changes_no_file(account, edit):
    reply = edit("PATCH", IMAGES, {"files": {"a.png": {"good": False}, "nothing.png": {"good": False}}})
    assert is_problem(reply, 404)
    assert "nothing.png" in reply.json["detail"]
    assert untouched(account)


@pytest.mark.parametrize(
    "path",
    [
        f"{IMAGES}/nothing.png",
        f"{IMAGES}/a.txt",
        f"{IMAGES}/collection.json",
        f"{IMAGES}/{'x' * 1100}",
        "/api/actors/43/training-data/a.png",
        "/api/actors/0042_european_30_femal/training-data/a.png",
        "/api/styles/16/images/a.png",
        "/api/manifests/color/16/files/a.png",
        "/api/manifests/style/16/nonsense/a.png",
        "/api/nonsense",
    ],
)
def test_a_missing_file_is_404_and_nothing_is_written(account, edit, path):
    assert is_problem(edit("PATCH", path, {"good": False}), 404)
    assert untouched(account)


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        (None, "body"),
        ("{", "body"),
        ([], "body"),
        ({}, "body"),
        ({"bad": True}, "bad"),
        ({"good": "no"}, "good"),
        ({"good": 0}, "good"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "x" * 20_001}, "prompt"),
        ({"labels": "x"}, "labels"),
        ({"labels": [1]}, "labels.0"),
        ({"labels": ["x"] * 101}, "labels"),
        ({"labels": ["x" * 201]}, "labels.0"),
        ({"hidden": "yes"}, "hidden"),
        ({"good": True, "md5_hash": "x"}, "md5_hash"),
    ],
    ids=str,
)
def test_a_bad_body_is_400_with_the_invalid_parameter(account, edit, body, parameter):
    assert is_problem(edit("PATCH", ONE, body), 400, parameter=parameter)
    assert untouched(account)


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({}, "files"),
        ({"files": {}}, "files"),
        ({"files": {"a.png": {}}}, "files.a.png"),
        ({"files": {"a.png": {"good": 1}}}, "files.a.png.good"),
        ({"files": {f"{number}.png": {"good": True} for number in range(1001)}}, "files"),
        ({"files": {"a.png": {"good": True}}, "more": 1}, "more"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_edit_of_many_files_is_400_with_the_invalid_parameter(account, edit, body, parameter):
    assert is_problem(edit("PATCH", IMAGES, body), 400, parameter=parameter)
    assert untouched(account)


def test_without_delete_from_s3_a_file_is_hidden_and_can_be_shown_again(account, edit):
    reply = edit("DELETE", f"{DELETED}/a.png")
    assert (reply.status, reply.json["deleted"], reply.json["hidden"]) == (200, False, True)
    assert descriptions(account) == {"a.png": {"hidden": True}}
    assert PREFIX + "a.png" in account.below(PREFIX)
    edit("PATCH", ONE, {"hidden": False})
    assert descriptions(account) == {"a.png": {"hidden": False}}


@pytest.mark.parametrize("path", [DELETED, "/api/training-data/42/images", f"/api/manifests/actor/{ACTOR}/files"])
def test_a_file_is_deleted_with_its_description_but_not_its_caption(account, edit, path):
    edit("PATCH", ONE, {"good": False})
    reply = edit("DELETE", f"{path}/a.png", delete_from_s3="true")
    assert (reply.status, reply.json["deleted"], reply.json["hidden"]) == (200, True, False)
    assert (reply.json["filename"], reply.json["s3_key"]) == ("a.png", PREFIX + "a.png")
    assert account.below(PREFIX) == [PREFIX + "a.txt", PREFIX + "b.png", PROMPTS]
    assert descriptions(account) == {}
    assert is_problem(edit("DELETE", f"{path}/a.png", delete_from_s3="true"), 404)


@pytest.mark.parametrize("filename", ["nothing.png", "collection.json", "prompt_metadata.json"])
@pytest.mark.parametrize("delete_from_s3", ["true", "false"])
def test_a_missing_file_or_a_sidecar_is_not_deleted(account, edit, filename, delete_from_s3):
    account.put(PREFIX + "collection.json", b"{}")
    assert is_problem(edit("DELETE", f"{DELETED}/{filename}", delete_from_s3=delete_from_s3), 404)
    assert account.sent("DELETE") == account.sent("PUT") == []


def test_with_if_match_only_an_object_with_that_etag_is_hidden_or_deleted(account, edit):
    etag = account.put(PREFIX + "a.png", b"newer")
    path = f"{DELETED}/a.png"
    assert is_problem(edit("DELETE", path, None, {"if-match": f'"{"0" * 32}"'}), 412, parameter="if-match")
    assert is_problem(edit("DELETE", path, None, {"if-match": '""'}), 412, parameter="if-match")
    assert untouched(account)
    assert edit("DELETE", path, None, {"if-match": f'"{etag}"'}).json["hidden"]
    reply = edit("DELETE", path, None, {"if-match": f'"{"0" * 32}"'}, delete_from_s3="true")
    assert is_problem(reply, 412, parameter="if-match")
    assert account.read(PREFIX + "a.png") == b"newer"
    assert edit("DELETE", path, None, {"if-match": f'"{"0" * 32}", "{etag}"'}, delete_from_s3="true").status == 200


def test_a_deletion_that_meets_a_concurrent_upload_is_409_and_keeps_the_upload(account, edit):
    path = PREFIX + "a.png"

    def upload_first(request):
        if (request.method, request.key) == ("DELETE", path):
            account.put(path, b"newer")

    account.faults.append(upload_first)
    reply = edit("DELETE", f"{DELETED}/a.png", delete_from_s3="true")
    assert is_problem(reply, 409)
    assert "newer upload" in reply.json["detail"]
    assert account.read(path) == b"newer"


@pytest.mark.parametrize("value", ["perhaps", ""])
def test_a_bad_parameter_is_400(account, edit, value):
    assert is_problem(edit("DELETE", f"{DELETED}/a.png", delete_from_s3=value), 400, parameter="delete_from_s3")
    assert untouched(account)


def test_an_ambiguous_actor_is_409(account, edit):
    account.put("system_actors/training_data/42_other/a.png")
    reply = edit("PATCH", "/api/actors/042/training-data/a.png", {"good": False})
    assert is_problem(reply, 409)
    assert ACTOR in reply.json["detail"]
    assert untouched(account)


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("PATCH", ONE, {}),
        ("DELETE", f"{DELETED}/a.png", {}),
        ("DELETE", f"{DELETED}/a.png", {"delete_from_s3": "true"}),
    ],
)
def test_a_broken_sidecar_is_409_with_the_remedy_and_nothing_is_changed(account, edit, method, path, query):
    account.put(PROMPTS, b"{")
    account.requests.clear()
    reply = edit(method, path, {"good": False} if method == "PATCH" else None, **query)
    assert is_problem(reply, 409)
    assert "Repair" in reply.json["detail"]
    assert untouched(account)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_an_archived_sidecar_is_409_with_the_remedy_and_nothing_is_changed(account, edit, method):
    account.put(PROMPTS, b"{}")
    account.refuse("GET", PROMPTS, 403, "InvalidObjectState")
    account.requests.clear()
    path = ONE if method == "PATCH" else f"{DELETED}/a.png"
    reply = edit(method, path, {"good": False} if method == "PATCH" else None)
    assert is_problem(reply, 409)
    assert "Restore it and copy it over itself" in reply.json["detail"]
    assert untouched(account)


def test_a_description_too_large_for_a_sidecar_is_413(account, edit, monkeypatch):
    monkeypatch.setattr("s3_manifest.sidecars.formats.MAX_SIDECAR_BYTES", 100)
    assert is_problem(edit("PATCH", ONE, {"prompt": "x" * 200}), 413)
    assert untouched(account)


def test_an_edit_that_always_conflicts_is_503_with_retry_after(account, edit, log, impatience):
    account.refuse("PUT", PROMPTS, 412, "PreconditionFailed")
    reply = edit("PATCH", ONE, {"good": False}, context=Context(1.0))
    assert is_problem(reply, 503)
    assert reply.headers["retry-after"] == "1"
    assert [line["message"] for line in log()] == ["busy"]


@pytest.mark.parametrize(("method", "key"), [("HEAD", PREFIX + "a.png"), ("GET", PROMPTS), ("PUT", PROMPTS)])
def test_a_request_that_s3_refuses_is_503_with_the_reason_in_the_log(account, edit, log, impatience, method, key):
    account.refuse(method, key, 403)
    reply = edit("PATCH", ONE, {"good": False})
    assert is_problem(reply, 503)
    assert reply.headers["retry-after"] == "1"
    (line,) = log()
    assert (line["message"], line["level"]) == ("unavailable", "ERROR")
    assert key in line["reason"]


def test_the_response_reports_when_the_manifest_shows_the_change(account, edit, get, reconcile):
    reconcile({"m": s3_event(PREFIX + "a.png", PREFIX + "b.png")})
    first = edit("PATCH", ONE, {"good": False})
    assert (first.json["revision"], first.json["reflected"]) == (None, False)
    url = urlsplit(first.json["manifest"])
    assert url.path == f"/api/manifests/actor/{ACTOR}"
    assert dict(parse_qsl(url.query)) == {"reflects": first.json["reflects"], "wait": "20"}
    reconcile({"m": s3_event(PROMPTS)})
    again = edit("PATCH", ONE, {"good": False})
    assert (again.json["attempts"], again.json["reflected"]) == (0, True)
    assert again.json["revision"] == account.manifest(PREFIX)["revision"]
    assert again.json["reflects"] == first.json["reflects"]
    assert {name: file["good"] for name, file in account.files(PREFIX).items()} == {"a.png": False, "b.png": True}


def test_the_manifest_omits_a_deleted_file_after_its_event(account, edit, reconcile):
    reconcile({"m": s3_event(PREFIX + "a.png", PREFIX + "b.png")})
    reply = edit("DELETE", f"{DELETED}/a.png", delete_from_s3="true")
    assert not reply.json["reflected"]
    reconcile({"m": s3_event(PREFIX + "a.png", event="ObjectRemoved:Delete")})
    assert [*account.files(PREFIX)] == ["b.png"]


def test_an_edit_succeeds_even_if_the_manifest_is_unreadable(account, edit):
    account.put(f"_manifests/{PREFIX}manifest.json", b"{")
    reply = edit("PATCH", ONE, {"good": False})
    assert (reply.status, reply.json["reflected"], reply.json["revision"]) == (200, False, None)
    assert descriptions(account) == {"a.png": {"good": False}}


def test_an_edit_writes_nothing_below_the_manifest_root(account, edit):
    edit("PATCH", ONE, {"good": False})
    edit("DELETE", f"{DELETED}/a.png", delete_from_s3="true")
    assert not [
        item for item in account.requests if item.method not in {"GET", "HEAD"} and item.key.startswith("_manifests/")
    ]
