"""One API for styles in the stack's own bucket and actors in another one: everything works in both, and stays apart."""

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, BUCKET, STACK, Stack, deploy, http_put
from s3_manifest_cli.main import main

KINDS = {"style": (BUCKET, "styles/"), "actor": (ACTOR_BUCKET, "system_actors/training_data/")}
NUMBERS = count(801)


class Place(NamedTuple):
    """A collection that no other test uses, its bucket, and the one where nothing of it may be."""

    kind: str
    id: str
    bucket: str
    prefix: str
    other: str

    @property
    def path(self) -> str:
        return f"/api/manifests/{self.kind}/{quote(self.id)}"

    @property
    def row(self) -> tuple[str, str, str, str]:
        return self.kind, self.id, self.bucket, self.prefix


def new_place(kind: str) -> Place:
    bucket, before = KINDS[kind]
    (other,) = {BUCKET, ACTOR_BUCKET} - {bucket}
    id_ = f"{next(NUMBERS):04}_two buckets"
    return Place(kind, id_, bucket, f"{before}{id_}/", other)


@pytest.fixture
def places() -> list[Place]:
    """Returns a style and an actor."""
    return [new_place(kind) for kind in KINDS]


@pytest.fixture(params=KINDS)
def place(request) -> Place:
    return new_place(request.param)


@pytest.fixture
def manifest_of(stack: Stack, eventually: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Requests a collection's manifest until it has these files."""

    def manifest_of(place: Place, *filenames: str) -> dict[str, Any]:
        answer = eventually(
            lambda: stack.get(place.path),
            lambda answer: answer.status == 200 and [file["filename"] for file in answer.body["files"]] == [*filenames],
        )
        return answer.body

    return manifest_of


@pytest.fixture
def keys_in(s3: Any) -> Callable[[str, Place], list[str]]:
    """Returns the keys of a collection and of its manifest in a bucket."""

    def keys_in(bucket: str, place: Place) -> list[str]:
        found = []
        for prefix in (place.prefix, f"_manifests/{place.prefix}"):
            listing = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
            found += [entry["Key"] for entry in listing.get("Contents", ())]
        return found

    return keys_in


def rows(stack: Stack, path: str, field: str) -> list[dict[str, Any]]:
    """Returns the entries of all pages."""
    found: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"limit": 1000}
    while True:
        answer = stack.get(path, query)
        assert answer.status == 200, answer
        found += answer.body[field]
        if not answer.body["cursor"]:
            return found
        query["cursor"] = answer.body["cursor"]


def test_each_manifest_and_its_history_are_in_the_bucket_of_its_data(stack, s3, place, manifest_of, keys_in):
    s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}a.png", Body=b"first")
    first = manifest_of(place, "a.png")
    s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}b.png", Body=b"second")
    s3.delete_object(Bucket=place.bucket, Key=f"{place.prefix}a.png")
    manifest = manifest_of(place, "b.png")
    (file,) = manifest["files"]
    assert (manifest["s3_bucket"], manifest["s3_prefix"]) == (place.bucket, place.prefix)
    assert file["s3_url"] == f"{stack.platform.endpoint}/{place.bucket}/{quote(file['s3_key'])}"
    earlier = stack.get(place.path, {"revision": first["revision"]}).body
    assert earlier["files"] == first["files"]
    changes = stack.get(f"{place.path}/changes", {"since": 0}).body["changes"]
    removed = stack.get(f"{place.path}/removed").body["removed"]
    assert [change["revision"] for change in changes] == [*range(1, manifest["revision"] + 1)]
    assert [entry["file"]["filename"] for entry in removed] == ["a.png"]
    stored = keys_in(place.bucket, place)
    assert f"_manifests/{place.prefix}manifest.json" in stored
    # A commit that lost against another one may leave its record too.
    records = {int(key.rpartition("/")[2].partition("-")[0]) for key in stored if "/changes/" in key}
    assert records >= {*range(1, manifest["revision"] + 1)}
    assert keys_in(place.other, place) == []


def test_the_prefix_of_a_kind_in_the_bucket_of_another_kind_is_no_collection(stack, s3, place, eventually, keys_in):
    s3.put_object(Bucket=place.other, Key=f"{place.prefix}a.png", Body=b"bytes")
    s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}b.png", Body=b"bytes")
    body = eventually(lambda: stack.get(place.path), lambda answer: answer.status == 200).body
    assert [file["filename"] for file in body["files"]] == ["b.png"]
    requested_at = stack.post(f"{place.path}/rescan").body["requested_at"]
    swept = eventually(lambda: stack.get(place.path).body, lambda body: (body["last_verified_at"] or "") > requested_at)
    assert [file["filename"] for file in swept["files"]] == ["b.png"]
    assert keys_in(place.other, place) == [f"{place.prefix}a.png"]


def test_the_catalog_and_the_statistics_list_the_collections_of_both_buckets(stack, s3, places, manifest_of):
    for size, place in enumerate(places, 1):
        s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}a.png", Body=b"x" * 1_000_000 * size)
        manifest_of(place, "a.png")
    catalog = rows(stack, "/api/manifests", "collections")
    listed = {(row["kind"], row[f"{row['kind']}_id"], row["s3_bucket"], row["s3_prefix"]) for row in catalog}
    assert {place.row for place in places} <= listed
    assert {row[0]: row[2] for row in listed} == {"style": BUCKET, "actor": ACTOR_BUCKET}
    # One collection in an answer: the cursor goes from one bucket to the other.
    page, entries = stack.get("/api/manifests", {"limit": 1}).body, []
    while page["cursor"]:
        entries += page["collections"]
        page = stack.get("/api/manifests", {"limit": 1, "cursor": page["cursor"]}).body
    assert {row["s3_bucket"] for row in entries + page["collections"]} == {BUCKET, ACTOR_BUCKET}
    stats = stack.get("/api/stats", {"limit": 1000, "top": 100}).body
    assert {"style", "actor"} <= {kind["kind"] for kind in stats["kinds"]}
    assert stats["problems"] == []
    largest = {(row["kind"], row["id"]): row["total_size_bytes"] for row in stats["largest"]}
    for size, place in enumerate(places, 1):
        assert largest[place.kind, place.id] == 1_000_000 * size


def test_one_rescan_of_all_collections_repairs_both_buckets(stack, s3, places, manifest_of, silenced, eventually):
    for place in places:
        s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}gone.png", Body=b"gone")
        manifest_of(place, "gone.png")
    with silenced:
        for place in places:
            s3.delete_object(Bucket=place.bucket, Key=f"{place.prefix}gone.png")
            s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}new.png", Body=b"new")
    requested_at = stack.post("/api/manifests/rescan").body["requested_at"]
    for place in places:
        manifest = manifest_of(place, "new.png")
        eventually(
            lambda place=place: stack.get(place.path).body["last_verified_at"] or "", lambda at: at > requested_at
        )
        (change,) = stack.get(f"{place.path}/changes", {"since": manifest["revision"] - 1}).body["changes"]
        assert {file["cause"] for kind in ("added", "removed") for file in change[kind]} == {"sweep"}


def test_a_collection_is_uploaded_described_hidden_and_deleted_in_its_own_bucket(
    stack, s3, place, manifest_of, eventually, keys_in
):
    image = {"filename": "a.png", "size": 6, "md5": hashlib.md5(b"pixels").hexdigest(), "prompt": "größe"}
    answer = stack.post(f"{place.path}/uploads", {"images": [image], "generation": {"metadata": {"steps": 28}}})
    (upload,) = answer.body["uploads"]
    assert upload["url"].startswith(f"{stack.platform.endpoint}/{place.bucket}/{quote(place.prefix)}a.png?")
    assert http_put(upload["url"], b"pixels", upload["headers"]) == 200
    (file,) = manifest_of(place, "a.png")["files"]
    assert (file["prompt"], file["md5_hash"]) == (image["prompt"], image["md5"])

    def edit(method: str, path: str, body: object = None, **query: str) -> dict[str, Any]:
        edited = stack.send(method, path, body, query)
        assert edited.status == 200, edited
        reflected = stack.get(place.path, {"reflects": edited.body["reflects"], "wait": 10})
        assert reflected.headers["x-manifest-reflected"] == "true"
        return reflected.body

    path = f"{place.path}/files/a.png"
    (described,) = edit("PATCH", path, {"good": False, "labels": ["x"]})["files"]
    assert (described["good"], described["labels"]) == (False, ["x"])
    assert edit("PATCH", place.path, {"title": "Größe"})[f"{place.kind}_title"] == "Größe"
    assert edit("DELETE", path)["files"] == []
    assert len(edit("PATCH", path, {"hidden": None})["files"]) == 1
    sidecar = s3.get_object(Bucket=place.bucket, Key=f"{place.prefix}prompt_metadata.json")["Body"].read()
    assert json.loads(sidecar)["a.png"]["labels"] == ["x"]
    assert edit("DELETE", path, delete_from_s3="true")["files"] == []
    s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}b.png", Body=b"bytes")
    manifest_of(place, "b.png")
    whole = stack.send("DELETE", place.path, query={"confirm": place.id, "delete_from_s3": "true"})
    assert (whole.status, whole.body["complete"]) == (200, True)
    eventually(lambda: stack.get(place.path).body, lambda body: (body["total_files"], body["sidecars"]) == (0, []))
    assert [key for key in keys_in(place.bucket, place) if key.startswith(place.prefix)] == []
    assert keys_in(place.other, place) == []


@pytest.fixture
def announced(stack: Stack) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Returns the details of all announcements of these tests' collections so far."""
    sqs, events = stack.platform.client("sqs"), stack.platform.client("events")
    queue = sqs.create_queue(QueueName="both-buckets")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["s3-manifest"], "detail": {"id": [{"suffix": "_two buckets"}]}}
    events.put_rule(Name="both-buckets", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="both-buckets", Targets=[{"Id": "queue", "Arn": arn}])
    details: list[dict[str, Any]] = []

    def announced() -> list[dict[str, Any]]:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", ()):
            details.append(json.loads(message["Body"])["detail"])
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return details

    yield announced
    # Other tests of the stack list its rules.
    events.remove_targets(Rule="both-buckets", Ids=["queue"])
    events.delete_rule(Name="both-buckets")
    sqs.delete_queue(QueueUrl=queue)


def test_revisions_in_both_buckets_are_announced_with_their_bucket(stack, s3, places, announced, eventually):
    for place in places:
        s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}a.png", Body=b"bytes")
    expected = {(*place.row, f"{place.prefix}a.png") for place in places}

    def found() -> set[tuple[str, ...]]:
        return {
            (detail["kind"], detail["id"], detail["s3_bucket"], detail["s3_prefix"], *detail["keys"]["added"])
            for detail in announced()
        }

    eventually(found, lambda now: expected <= now)


@pytest.mark.parametrize("through", ["stack", "api"])
def test_the_client_needs_only_the_stack_or_the_url_for_both_buckets(stack, s3, places, manifest_of, tmp_path, through):
    environment = {
        **stack.platform.environment,
        "S3_MANIFEST_CACHE": str(tmp_path / "cache"),
    } | ({"S3_MANIFEST_STACK": STACK} if through == "stack" else {"S3_MANIFEST_API_URL": stack.api_url})

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(main, [*map(str, arguments)], env=environment)
        assert result.exit_code == 0, result.output
        return result.output

    for place in places:
        s3.put_object(Bucket=place.bucket, Key=f"{place.prefix}a.png", Body=place.kind.encode())
        manifest_of(place, "a.png")
        folder, name, url = tmp_path / place.kind, f"{place.kind}/{place.id}", f"s3://{place.bucket}/{place.prefix}"
        run("pull", name, folder)
        assert (folder / "a.png").read_bytes() == place.kind.encode()
        assert "1  identical on both sides" in run("status", folder, url)
        (folder / "b.png").write_bytes(b"bytes")
        run("push", folder, url, "--wait", 30)
        assert s3.head_object(Bucket=place.bucket, Key=f"{place.prefix}b.png")["ContentLength"] == 5
        assert "2 files" in run("history", name).splitlines()[-1]
    listed = run("ls")
    assert all(f"{place.kind}/{place.id}  2 files" in listed for place in places)


OTHER_STYLES, OTHER_ACTORS = "deleted-styles", "deleted-actors"


@pytest.fixture
def second(stack: Stack, s3: Any) -> Stack:
    """A second stack with two buckets; the test deletes one of them."""
    s3.create_bucket(Bucket=OTHER_ACTORS)
    collections = f"style=styles/{{style_id}}/,actor=s3://{OTHER_ACTORS}/actors/{{actor_id}}/"
    parameters = {"BucketName": OTHER_STYLES, "AdditionalBuckets": OTHER_ACTORS, "Collections": collections}
    return deploy(stack.platform, "gone", parameters)


def delete_bucket(s3: Any, bucket: str) -> None:
    for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=entry["Key"])
    s3.delete_bucket(Bucket=bucket)


def test_a_bucket_that_is_deleted_is_named_and_holds_up_nothing_in_the_other_one(stack, s3, second, eventually):
    s3.put_object(Bucket=OTHER_STYLES, Key="styles/1/a.png", Body=b"bytes")
    s3.put_object(Bucket=OTHER_ACTORS, Key="actors/0007_a/a.png", Body=b"bytes")
    both = eventually(lambda: second.get("/api/manifests").body, lambda body: len(body["collections"]) == 2)
    assert both["problems"] == []
    # Objects and bucket are deleted together, so that events about its objects arrive when it is already gone.
    delete_bucket(s3, OTHER_ACTORS)

    catalog = second.get("/api/manifests")
    (problem,) = catalog.body["problems"]
    assert (catalog.status, problem["kind"], problem["s3_bucket"]) == (200, "actor", OTHER_ACTORS)
    assert "NoSuchBucket" in problem["problem"]
    assert [row["s3_bucket"] for row in catalog.body["collections"]] == [OTHER_STYLES]
    stats = second.get("/api/stats").body
    assert (stats["total_collections"], stats["partial"], stats["problems"]) == (1, True, [problem])
    assert second.get("/api/training-data/7").status == 503

    def causes() -> list[str]:
        lines = stack.platform.log.read_text(errors="replace").splitlines()
        return [line for line in lines if '{"level"' in line and "NoSuchBucket" in line and OTHER_ACTORS in line]

    eventually(causes, bool)

    # Uploads, edits and sweeps of the other bucket.
    s3.put_object(Bucket=OTHER_STYLES, Key="styles/1/b.png", Body=b"bytes")
    style = eventually(lambda: second.get("/api/manifests/style/1").body, lambda body: body["total_files"] == 2)
    edited = second.send("PATCH", "/api/manifests/style/1/files/b.png", {"good": False})
    assert second.get(edited.body["manifest"]).body["files"][1]["good"] is False
    requested_at = second.post("/api/manifests/rescan").body["requested_at"]
    eventually(
        lambda: second.get("/api/manifests/style/1").body["last_verified_at"] or "",
        lambda at: at > max(requested_at, style["last_verified_at"]),
    )

    # Nor does it keep the stack from being deleted.
    cloudformation = stack.platform.client("cloudformation")
    cloudformation.delete_stack(StackName="gone")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="gone", WaiterConfig={"Delay": 1})
    configuration = s3.get_bucket_notification_configuration(Bucket=OTHER_STYLES)
    assert "QueueConfigurations" not in configuration
