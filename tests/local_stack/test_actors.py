"""An unknown actor gets a manifest on request, and requests can wait for changes."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET

PREFIX = "system_actors/training_data/"


@pytest.fixture
def no_sweeps(stack) -> AbstractContextManager[None]:
    """Stops processing of the sweep queue while the block runs."""
    functions, sqs = stack.platform.client("lambda"), stack.platform.client("sqs")
    queue = stack.outputs["SweepQueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    (mapping,) = functions.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]

    @contextmanager
    def stopped() -> Iterator[None]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        try:
            yield
        finally:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    return stopped()


def put(s3, actor, *names):
    for name in names:
        s3.put_object(Bucket=ACTOR_BUCKET, Key=f"{PREFIX}{actor}/{name}", Body=name.encode())


@pytest.mark.usefixtures("finished_sweeps")
@pytest.mark.parametrize(("actor", "path"), [("0101_male", "/api/training-data/101"), ("0102", "/api/actors/102")])
def test_an_unknown_actor_is_swept_and_returned(stack, s3, silenced, actor, path):
    with silenced:
        put(s3, actor, "a.png", "b.png")
    assert stack.get("/api/s3/manifest", {"actorId": actor}).status == 404
    route = path if "training-data" in path else f"{path}/training-data"
    answer = stack.get(route, {"wait": 20})
    assert (answer.status, answer.body["actor_name"], answer.body["complete"]) == (200, actor, True)
    assert answer.body["statistics"]["training_images_count"] == 2
    assert stack.get("/api/s3/manifest", {"actorId": actor}).body["total_files"] == 2


def test_a_longer_sweep_returns_202_and_the_manifest_is_available_later(stack, s3, silenced, no_sweeps, eventually):
    with silenced:
        put(s3, "0103_large", *(f"{number:04}.png" for number in range(30)))
    with no_sweeps:
        accepted = stack.get("/api/training-data/0103", {"wait": 0.5})
    assert (accepted.status, accepted.body["status"]) == (202, "initializing")
    assert float(accepted.headers["retry-after"]) > 0
    assert accepted.body["manifest"] == "/api/training-data/0103_large"
    answer = eventually(
        lambda: stack.get(accepted.body["manifest"], {"wait": 5}), lambda response: response.status == 200
    )
    assert (answer.body["total_images"], answer.body["complete"]) == (30, True)


def test_a_forced_rescan_finds_changes_without_an_event(stack, s3, silenced, eventually):
    put(s3, "0104", "a.png")
    before = eventually(lambda: stack.get("/api/training-data/104"), lambda response: response.status == 200).body
    with silenced:
        put(s3, "0104", "b.png")
    answer = stack.get("/api/training-data/104", {"force_rescan": "true", "wait": 20})
    assert (answer.status, answer.body["total_images"]) == (200, 2)
    assert answer.body["revision"] == before["revision"] + 1


def test_a_request_waits_for_a_change_of_the_etag(stack, s3, eventually):
    put(s3, "0105", "a.png")
    path = "/api/actors/105/training-data"
    before = eventually(lambda: stack.get(path), lambda response: response.status == 200)
    same = stack.get(path, {"wait": 0.5}, {"If-None-Match": before.headers["etag"]})
    # A commit without changes has a new ETag too.
    assert same.status == 304 or same.body["revision"] == before.body["revision"]
    put(s3, "0105", "b.png")
    began, answer = time.monotonic(), before
    while answer.body["total_count"] == 1 and time.monotonic() < began + 20:
        answer = stack.get(path, {"wait": 15}, {"If-None-Match": answer.headers["etag"]})
    assert answer.body["total_count"] == 2


def test_storage_is_reported_by_collection(stack, s3, eventually):
    put(s3, "0106", "a.png", "b.png")
    stats = eventually(
        lambda: stack.get("/api/stats", {"kind": "actor", "id": "0106", "days": 2}),
        lambda response: response.status == 200 and response.body["total_files"] == 2,
    ).body
    assert [point["total_files"] for point in stats["growth"]] == [0, 2]
    assert {file["filename"] for file in stats["newest_files"]} == {"a.png", "b.png"}
    assert stack.get("/api/stats").body["kinds"][0]["kind"] == "actor"
