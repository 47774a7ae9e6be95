"""The query function: actors by each of their names, their training images, and an actor without a manifest."""

import json
from datetime import UTC, datetime

import pytest
from handlers.lambda_events import BUCKET, REGION, s3_event

from s3_manifest.aws import runtime
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import timestamp
from s3_manifest.query.waiting import Clock

MAN = "0042_european_30_male"
PREFIX = f"system_actors/training_data/{MAN}/"
IMAGES = f"/api/actors/{MAN}/training-data"
DATA = f"/api/training-data/{MAN}"
PROMPT = "a lighthouse, " * 20 + "at dawn"
ROUTES = ["/api/actors/{}/training-data", "/api/training-data/{}"]


class Waits:
    """A clock that only waiting advances, and an action that runs during each wait."""

    def __init__(self):
        self.seconds = 0.0
        self.meanwhile = lambda: None

    def sleep(self, seconds):
        self.seconds += seconds
        self.meanwhile()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    waits = Waits()
    monkeypatch.setattr(runtime, "clock", lambda: Clock(lambda: waits.seconds, waits.sleep))
    return waits


@pytest.fixture
def actor(account, reconcile):
    account.put(f"{PREFIX}base_image.png", b"x" * 10)
    account.put(f"{PREFIX}b.jpg", b"x" * 1_500_000, Metadata={"prompt": PROMPT, "generation-id": "7"})
    account.put(f"{PREFIX}a.png", b"x" * 500_000)
    account.put(f"{PREFIX}training.log", b"not an image")
    account.antedate(*(f"{PREFIX}{name}" for name in ("base_image.png", "b.jpg", "training.log")))
    reconcile({"1": s3_event(f"{PREFIX}a.png")})
    account.requests.clear()


def now():
    return timestamp(datetime.now(UTC))


def is_problem(reply, status):
    return (
        reply.status == reply.json["status"] == status
        and reply.headers["content-type"] == "application/problem+json"
        and bool(reply.json["detail"])
    )


def test_an_actors_training_images_have_the_shape_that_training_tools_expect(account, get, actor):
    manifest = account.manifest(PREFIX)
    files = account.files(PREFIX)
    reply = get(IMAGES)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json == {
        "actor_id": 42,
        "actor_name": MAN,
        "training_images": [
            {
                "index": index,
                "filename": name,
                "s3_url": files[name]["s3_url"],
                "size_mb": size_mb,
                "modified_date": files[name]["last_modified"],
                "good": True,
            }
            for index, (name, size_mb) in enumerate([("a.png", 0.48), ("b.jpg", 1.43), ("base_image.png", 0.0)])
        ],
        "base_image_path": files["base_image.png"]["s3_url"],
        "total_count": 3,
        "manifest_updated": manifest["last_synced"],
        "statistics": {
            "training_images_count": 3,
            "training_data_size_mb": 1.91,
            "generations": [
                {"generation_id": 7, "type": "declared", "image_count": 1, "size_mb": 1.43},
                {"generation_id": 1, "type": "s3_event", "image_count": 1, "size_mb": 0.48},
                {"generation_id": 1, "type": "s3_scan", "image_count": 1, "size_mb": 0.0},
            ],
        },
        "s3_bucket": BUCKET,
        "s3_prefix": PREFIX,
        "revision": 1,
        "complete": True,
        "last_verified_at": manifest["last_verified_at"],
    }


def test_an_actors_images_and_generations_are_listed_with_their_prompts(account, get, actor, reconcile):
    run = {"generation_id": 7, "type": "declared", "generated_at": "2020-01-02T03:04:05.000Z", "metadata": {"seed": 1}}
    account.put(f"{PREFIX}collection.json", json.dumps({"generations": [run]}).encode())
    descriptions = {"a.png": {"good": False, "labels": ["blurry"], "generated_at": "2020-01-01T00:00:00Z"}}
    account.put(f"{PREFIX}prompt_metadata.json", json.dumps(descriptions).encode())
    reconcile({"1": s3_event(f"{PREFIX}collection.json", f"{PREFIX}prompt_metadata.json")})
    manifest, etags = account.manifest(PREFIX), account.truth(PREFIX)
    modified_at = {name: file["last_modified"] for name, file in account.files(PREFIX).items()}
    reply = get(DATA)
    assert reply.status == 200
    assert reply.json == {
        "actor_id": 42,
        "actor_name": MAN,
        "total_images": 3,
        "total_generations": 3,
        "created_at": manifest["created_at"],
        "updated_at": manifest["last_synced"],
        "manifest_path": f"_manifests/{PREFIX}manifest.json",
        "images": [
            {
                "index": index,
                "filename": name,
                "s3_url": f"https://{BUCKET}.s3.{REGION}.amazonaws.com/{PREFIX}{name}",
                "s3_key": f"{PREFIX}{name}",
                "prompt": prompt,
                "prompt_preview": prompt and prompt[:100],
                "generated_at": generated_at,
                "last_modified": modified_at[name],
                "size": size,
                "etag": etags[name],
                "md5_hash": etags[name],
                "generation_id": id_,
                "generation_type": type_,
                "source": source,
                "good": good,
                "labels": labels,
            }
            for index, (name, size, prompt, generated_at, id_, type_, source, good, labels) in enumerate(
                [
                    ("a.png", 500_000, None, "2020-01-01T00:00:00.000Z", 1, "s3_event", "s3_event", False, ["blurry"]),
                    ("b.jpg", 1_500_000, PROMPT, None, 7, "declared", "s3_scan", True, []),
                    ("base_image.png", 10, None, None, 1, "s3_scan", "s3_scan", True, []),
                ]
            )
        ],
        "generations": [
            run | {"image_count": 1, "declared": True, "first_at": modified_at["b.jpg"]},
            {
                "generation_id": 1,
                "type": "s3_event",
                "generated_at": "2020-01-01T00:00:00.000Z",
                "image_count": 1,
                "metadata": {},
            },
            {
                "generation_id": 1,
                "type": "s3_scan",
                "generated_at": min(modified_at["base_image.png"], modified_at["training.log"]),
                "image_count": 2,
                "metadata": {},
            },
        ],
        "statistics": {
            "training_images_count": 3,
            "training_data_size_mb": 1.91,
            "generations": [
                {"generation_id": 7, "type": "declared", "image_count": 1, "size_mb": 1.43},
                {"generation_id": 1, "type": "s3_event", "image_count": 1, "size_mb": 0.48},
                {"generation_id": 1, "type": "s3_scan", "image_count": 1, "size_mb": 0.0},
            ],
        },
        "s3_bucket": BUCKET,
        "s3_prefix": PREFIX,
        "revision": 2,
        "complete": True,
        "last_verified_at": manifest["last_verified_at"],
    }


@pytest.mark.parametrize("requested_id", [MAN, "0042", "42", "000042"])
def test_each_form_of_id_is_the_same_actor_on_every_route(get, actor, requested_id):
    assert [get(route.format(requested_id)).json["actor_name"] for route in ROUTES] == [MAN, MAN]
    assert get("/api/s3/manifest", actorId=requested_id).json["actor_id"] == MAN


def test_an_actor_is_found_without_listing_everything(account, get, actor):
    get(ROUTES[0].format("42"))
    lists = [request.parameters for request in account.requests if not request.key]
    assert 0 < len(lists) < 25
    assert all(item["prefix"].rpartition("/")[2].lstrip("0") in {"42", "42_", ""} for item in lists)
    assert all(item["prefix"].endswith(("42", "42/", "42_")) for item in lists)


def test_an_actor_requested_by_its_full_name_takes_one_request(account, get, actor):
    get(IMAGES)
    assert [(request.method, request.key) for request in account.requests] == [
        ("GET", f"_manifests/{PREFIX}manifest.json")
    ]


@pytest.mark.parametrize("requested_id", ["42", "0042"])
def test_a_number_of_two_actors_is_409_and_both_are_named(account, get, actor, requested_id):
    account.put("system_actors/training_data/0042_asian_25_female/a.png")
    replies = [get(route.format(requested_id)) for route in ROUTES] + [get("/api/s3/manifest", actorId=requested_id)]
    for reply in replies:
        assert is_problem(reply, 409)
        assert "0042_asian_25_female, 0042_european_30_male" in reply.json["detail"]
    assert get(IMAGES).status == 200


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("requested_id", ["7", "0007", "nobody", "nobody größe", "x" * 1100])
def test_an_actor_without_manifest_and_objects_is_404_and_no_sweep_is_queued(account, get, route, requested_id):
    assert is_problem(get(route.format(requested_id)), 404)
    assert is_problem(get(route.format(requested_id), force_rescan="true"), 404)
    assert account.queued() == []


@pytest.mark.parametrize("route", ROUTES)
def test_the_404_of_a_possible_actor_has_the_bucket_and_the_prefix_that_it_would_have(get, route):
    place = {"s3_bucket": BUCKET, "s3_prefix": "system_actors/training_data/nobody größe/"}
    assert get(route.format("nobody größe")).json.items() >= place.items()
    assert "s3_prefix" not in get(route.format("7")).json


@pytest.mark.parametrize("route", ROUTES)
def test_an_actor_is_404_in_a_deployment_without_actors(account, get, route, monkeypatch, new_process):
    monkeypatch.setenv("COLLECTIONS", "style=styles/{style_id}/")
    new_process()
    reply = get(route.format("42"))
    assert is_problem(reply, 404)
    assert "Collections" in reply.json["detail"]
    assert get("/api/s3/manifest", actorId="42").status == 404


@pytest.mark.parametrize("route", ROUTES)
def test_an_actor_without_a_manifest_is_swept_and_returned(account, get, route, waits, sweep_on):
    account.put(f"{PREFIX}a.png")
    waits.meanwhile = sweep_on
    reply = get(route.format("42"))
    assert (reply.status, reply.json["actor_name"], reply.json["complete"]) == (200, MAN, True)
    assert reply.etag
    assert 0 < waits.seconds < 10


@pytest.mark.parametrize("route", ROUTES)
def test_an_actor_with_a_longer_sweep_is_202_with_a_location(account, get, route, waits, sweep_on):
    account.put(f"{PREFIX}a.png")
    reply = get(route.format("42"))
    assert reply.status == 202
    assert set(reply.json) == {"status", "manifest", "requested_at", "s3_bucket", "s3_prefix"}
    assert (reply.json["s3_bucket"], reply.json["s3_prefix"]) == (BUCKET, PREFIX)
    assert (reply.json["status"], reply.json["manifest"]) == ("initializing", route.format(MAN))
    assert int(reply.headers["retry-after"]) > 0
    assert waits.seconds == pytest.approx(10)
    assert account.jobs() == [Sweep(kind="actor", id=MAN, created_at=reply.json["requested_at"])]
    get(route.format("42"), wait=0)
    sweep_on()
    assert get(reply.json["manifest"]).status == 200


@pytest.mark.parametrize(("wait", "waited"), [(0, 0), (3, 3), (20, 20)])
def test_a_request_sets_how_long_it_waits_for_a_sweep(account, get, waits, wait, waited):
    account.put(f"{PREFIX}a.png")
    assert get(DATA, wait=wait).status == 202
    assert waits.seconds == pytest.approx(waited)


def test_several_requested_sweeps_of_a_new_actor_commit_one_revision(account, get, sweep_on):
    account.put(f"{PREFIX}a.png")
    for _ in range(3):
        assert get(DATA, wait=0).status == 202
    assert len(sweep_on()) == 3
    assert get(DATA).json["revision"] == 1
    assert len(account.below(f"_manifests/{PREFIX}changes/")) == 1


def test_an_incomplete_manifest_is_202_and_queues_no_second_sweep(account, get, actor, waits):
    manifest = account.manifest(PREFIX) | {"complete": False}
    account.put(f"_manifests/{PREFIX}manifest.json", json.dumps(manifest).encode())
    reply = get(DATA)
    assert (reply.status, reply.json["status"]) == (202, "initializing")
    assert reply.json["requested_at"] == manifest["created_at"]
    assert (account.queued(), waits.seconds) == ([], 0)
    assert get(DATA, wait=5).status == 202
    assert waits.seconds == pytest.approx(5)


@pytest.mark.parametrize("route", ROUTES)
def test_a_forced_rescan_returns_the_verified_manifest(account, get, route, actor, waits, sweep_on):
    account.put(f"{PREFIX}c.png")
    before = now()
    waits.meanwhile = sweep_on
    reply = get(route.format(MAN), force_rescan="true")
    assert reply.status == 200
    assert reply.json["last_verified_at"] >= before
    assert reply.json["statistics"]["training_images_count"] == 4
    assert reply.json["revision"] == 2


@pytest.mark.parametrize("route", ROUTES)
def test_a_forced_rescan_that_takes_longer_is_202(account, get, route, actor, sweep_on):
    reply = get(route.format("42"), force_rescan="true")
    assert (reply.status, reply.json["status"], reply.json["manifest"]) == (202, "rescanning", route.format(MAN))
    assert account.jobs() == [Sweep(kind="actor", id=MAN, asked_at=reply.json["requested_at"])]
    get(route.format("42"), force_rescan="true", wait=0)
    sweep_on()
    assert get(reply.json["manifest"]).json["last_verified_at"] >= reply.json["requested_at"]


@pytest.mark.parametrize("route", ROUTES)
def test_many_simultaneous_forced_rescans_sweep_once(account, get, route, actor, sweep):
    requested_at = [get(route.format(MAN), force_rescan="true", wait=0).json["requested_at"] for _ in range(20)]
    jobs = account.jobs()
    assert len(jobs) == 20
    account.requests.clear()
    for number, job in enumerate(jobs):
        assert sweep({f"{number}": job}) == []
    assert len([request for request in account.requests if request.parameters.get("list-type")]) <= 8
    assert len(account.sent("PUT")) == 1
    assert get(route.format(MAN)).json["last_verified_at"] >= max(requested_at)
    account.put(f"{PREFIX}later.png")
    get(route.format(MAN), force_rescan="true", wait=0)
    (job,) = account.jobs()
    account.requests.clear()
    assert sweep({"later": job}) == []
    assert [request for request in account.requests if request.parameters.get("list-type")]


def test_a_sweep_that_cannot_be_queued_is_503_with_the_reason_in_the_log(account, get, log, monkeypatch, new_process):
    account.put(f"{PREFIX}a.png")
    monkeypatch.setenv("SWEEP_QUEUE_URL", account.sweep_queue_url.replace("sweeps", "nowhere"))
    new_process()
    assert is_problem(get(DATA), 503)
    assert [line["level"] for line in log()] == ["ERROR"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_current_etag_is_304_with_one_request_to_s3(account, get, actor, route):
    etag = get(route.format(MAN)).etag
    account.requests.clear()
    reply = get(route.format(MAN), {"if-none-match": etag})
    assert (reply.status, reply.text, reply.etag) == (304, "", etag)
    assert len(account.requests) == 1


@pytest.mark.parametrize("route", ROUTES)
def test_a_manifest_that_cannot_be_read_is_503(account, get, actor, route):
    account.put(f"_manifests/{PREFIX}manifest.json", b"broken")
    assert is_problem(get(route.format(MAN)), 503)


@pytest.mark.parametrize("route", ROUTES)
def test_images_that_do_not_fit_into_one_response_are_413_with_a_link_to_the_pages(get, actor, route, monkeypatch):
    monkeypatch.setattr("s3_manifest.query.training.MAX_ANSWER_BYTES", 500)
    reply = get(route.format("42"))
    assert is_problem(reply, 413)
    path = reply.json["detail"].rpartition(" ")[2]
    assert get(path, limit=2).status == 200


def test_an_actor_with_pages_is_returned_whole(account, get, reconcile, small_pages):
    names = [f"{number:02}.png" for number in range(30)]
    for name in names:
        account.put(f"{PREFIX}{name}")
    reconcile({"1": s3_event(f"{PREFIX}00.png")})
    assert account.manifest(PREFIX)["pages"]
    reply = get(IMAGES)
    assert [image["filename"] for image in reply.json["training_images"]] == names
    assert reply.json["total_count"] == 30


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("name", "value"), [("wait", "x"), ("wait", "21"), ("wait", "-1"), ("wait", "nan")])
def test_a_bad_parameter_is_400_and_named(get, actor, route, name, value):
    reply = get(route.format(MAN), **{name: value})
    assert is_problem(reply, 400)
    assert reply.json["parameter"] == name
