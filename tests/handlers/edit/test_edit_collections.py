"""The edit function for whole collections: titles, deletion of all files, rescans; and its OpenAPI document."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from handlers.account import answer, xml
from handlers.lambda_answers import Reply
from handlers.lambda_events import Context, s3_event
from handlers.query.test_query import is_problem

import edit_handler
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import timestamp

ACTOR = "0042_european_30_male"
PREFIX = f"system_actors/training_data/{ACTOR}/"
ALL = f"/api/training-data/{ACTOR}"


@pytest.fixture(autouse=True)
def files(account):
    for name in ("a.png", "b.png", "a.txt", "collection.json", "deep/c.png"):
        account.put(PREFIX + name, b'{"title": "old", "theirs": 1}')
    account.put("styles/16/a.png")
    account.requests.clear()


@pytest.mark.parametrize("path", ["/api/styles/16", "/api/manifests/style/16"])
def test_a_title_is_set_and_removed(account, edit, path):
    reply = edit("PATCH", path, {"title": "Dynamic Größe"})
    assert (reply.status, reply.json["title"], reply.json["reflected"]) == (200, "Dynamic Größe", False)
    assert json.loads(account.read("styles/16/collection.json")) == {"title": "Dynamic Größe"}
    assert edit("PATCH", path, {"title": None}).json["title"] is None
    assert json.loads(account.read("styles/16/collection.json")) == {}


def test_other_fields_of_the_sidecar_stay(account, edit):
    edit("PATCH", f"/api/manifests/actor/{ACTOR}", {"title": "new"})
    assert json.loads(account.read(f"{PREFIX}collection.json")) == {"title": "new", "theirs": 1}


@pytest.mark.parametrize("path", ["/api/styles/17", "/api/manifests/color/16", "/api/styles/" + "x" * 1100])
def test_setting_the_title_of_an_empty_collection_is_404(account, edit, path):
    assert is_problem(edit("PATCH", path, {"title": "x"}), 404)
    assert account.sent("PUT") == []


@pytest.mark.parametrize(
    ("body", "parameter"),
    [({}, "title"), ({"title": 7}, "title"), ({"title": "x" * 1001}, "title"), ({"title": "x", "id": "17"}, "id")],
)
def test_a_bad_title_is_400(account, edit, body, parameter):
    assert is_problem(edit("PATCH", "/api/styles/16", body), 400, parameter=parameter)
    assert account.requests == []


@pytest.mark.parametrize("path", [ALL, "/api/training-data/42", f"/api/manifests/actor/{ACTOR}"])
def test_all_files_are_deleted_if_confirm_is_the_full_name(account, edit, path):
    reply = edit("DELETE", path, confirm=ACTOR, delete_from_s3="true")
    assert reply.status == 200
    assert (reply.json["deleted"], reply.json["hidden"], reply.json["kept"], reply.json["complete"]) == (5, 0, [], True)
    assert account.below("") == ["_manifests/subscription.json", "styles/16/a.png"]
    assert is_problem(edit("DELETE", ALL, confirm=ACTOR, delete_from_s3="true"), 404)


@pytest.mark.parametrize("confirm", ["42", "0042", "true", "", ACTOR + " ", ACTOR.upper()])
def test_any_other_value_of_confirm_is_400_and_deletes_nothing(account, edit, confirm):
    reply = edit("DELETE", "/api/training-data/42", confirm=confirm, delete_from_s3="true")
    assert is_problem(reply, 400, parameter="confirm")
    assert ACTOR in reply.json["detail"]
    assert len(account.below(PREFIX)) == 5


def test_a_deletion_without_confirm_is_400(account, edit):
    assert is_problem(edit("DELETE", ALL, delete_from_s3="true"), 400, parameter="confirm")
    assert account.requests == []


def test_without_delete_from_s3_all_files_are_hidden(account, edit):
    reply = edit("DELETE", ALL, confirm=ACTOR)
    assert (reply.status, reply.json["deleted"], reply.json["hidden"], reply.json["complete"]) == (200, 0, 3, True)
    sidecar = json.loads(account.read(f"{PREFIX}prompt_metadata.json"))
    assert sidecar == {name: {"hidden": True} for name in ("a.png", "b.png", "deep/c.png")}
    assert len(account.below(PREFIX)) == 6


def test_a_deletion_that_runs_out_of_time_is_incomplete_and_can_be_repeated(account, edit):
    reply = edit("DELETE", ALL, context=Context(7.0), confirm=ACTOR, delete_from_s3="true")
    assert (reply.status, reply.json["complete"], reply.json["reflects"]) == (200, False, None)
    assert edit("DELETE", ALL, confirm=ACTOR, delete_from_s3="true").json["complete"]
    assert account.below(PREFIX) == []


def test_a_concurrent_upload_and_its_sidecar_stay_and_are_listed_in_the_response(account, edit):
    newer = f"<Error><Key>{PREFIX}b.png</Key><Code>PreconditionFailed</Code><Message>no</Message></Error>"

    def keep_newer(request):
        return xml(200, f"<DeleteResult>{newer}</DeleteResult>") if request.method == "POST" else None

    account.faults.append(keep_newer)
    reply = edit("DELETE", ALL, confirm=ACTOR, delete_from_s3="true")
    remaining = [f"{PREFIX}b.png", f"{PREFIX}collection.json"]
    assert (reply.status, reply.json["kept"], reply.json["complete"]) == (200, remaining, False)


def test_a_deletion_that_s3_refuses_is_503(account, edit, log):
    def refuse(request):
        return answer(403, "AccessDenied") if request.method == "POST" else None

    account.faults.append(refuse)
    assert is_problem(edit("DELETE", ALL, confirm=ACTOR, delete_from_s3="true"), 503)
    assert [line["message"] for line in log()] == ["unavailable"]


def test_the_manifest_lists_no_file_after_the_deletion(account, edit, reconcile):
    keys = account.below(PREFIX)
    reconcile({"m": s3_event(*keys)})
    assert not edit("DELETE", ALL, confirm=ACTOR, delete_from_s3="true").json["reflected"]
    reconcile({"m": s3_event(*keys, event="ObjectRemoved:Delete")})
    assert account.manifest(PREFIX)["total_files"] == 0
    again = edit("DELETE", ALL, confirm=ACTOR, delete_from_s3="true")
    assert (again.status, again.json["deleted"], again.json["complete"]) == (200, 0, True)


@pytest.mark.parametrize("actor_id", [ACTOR, "42", "0042"])
def test_a_rescan_is_queued(account, edit, actor_id):
    before = timestamp(datetime.now(UTC))
    reply = edit("POST", f"/api/training-data/{actor_id}/rescan")
    assert reply.status == 202
    assert before <= reply.json["requested_at"] <= timestamp(datetime.now(UTC))
    assert reply.json | {"requested_at": ""} == {
        "status": "queued",
        "collections": 1,
        "manifest": f"/api/manifests/actor/{ACTOR}",
        "requested_at": "",
    }
    assert account.jobs() == [Sweep(kind="actor", id=ACTOR)]


def test_a_rescan_that_cannot_be_queued_is_503(account, edit, log):
    account.sqs.delete_queue(QueueUrl=account.sweep_queue_url)
    assert is_problem(edit("POST", f"{ALL}/rescan"), 503)


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/nonsense"), ("DELETE", "/api/styles"), ("PATCH", "/api")])
def test_an_unknown_path_is_404(edit, method, path):
    assert is_problem(edit(method, path), 404)


def test_the_openapi_document_describes_every_route_that_writes(get):
    document = get("/api/openapi.json").json
    assert document["paths"]["/api/manifests/{kind}/{collection_id}"].keys() >= {
        "get",
        "patch",
        "delete",
    }
    edits = {
        (method, path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in {"patch", "delete"} or path.endswith(("/uploads", "/{actor_id}/rescan"))
    }
    assert len(edits) == 18
    for operation in edits.values():
        assert {"400", "403", "404", "409", "503"} <= operation["responses"].keys()
        assert operation["summary"]
    assert (
        set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
        <= document["components"]["schemas"].keys()
    )


def test_the_sample_request_hides_the_sample_image(account):
    sample = json.loads((Path(__file__).parents[3] / "events" / "http-patch-image.json").read_text())
    account.put("styles/16/image_001.jpg")
    assert Reply(edit_handler.handler(sample, Context(29.0, function_name="edit"))).status == 200
    assert json.loads(account.read("styles/16/prompt_metadata.json")) == {
        "image_001.jpg": {"good": False, "labels": ["blurred"]}
    }
