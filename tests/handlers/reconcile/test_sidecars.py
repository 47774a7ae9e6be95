"""The reconcile function: sidecars and captions, through real S3 requests and events."""

import json

import pytest
from handlers.lambda_events import s3_event

PREFIX = "styles/16/"
PROMPTS, FOLDER = f"{PREFIX}prompt_metadata.json", f"{PREFIX}metadata.jsonl"
DESCRIPTION = {"prompt": "a fox 🦊", "good": False, "labels": ["left"], "local_path": "/d/a.png"}


@pytest.fixture
def arrive(account, reconcile):
    """Puts an object and delivers its event."""

    def put(key, body, **facts):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        account.put(key, body, **facts)
        assert reconcile({"1": s3_event(key)}) == []
        return account.manifest(PREFIX)

    return put


@pytest.mark.parametrize("sidecar_first", [True, False])
@pytest.mark.parametrize(
    ("sidecar", "written"),
    [(PROMPTS, {"a.png": DESCRIPTION}), (FOLDER, {"file_name": "a.png"} | DESCRIPTION)],
    ids=["prompt_metadata.json", "metadata.jsonl"],
)
def test_an_image_is_described_by_its_sidecar_whichever_arrives_first(arrive, sidecar, written, sidecar_first):
    arrivals = [(sidecar, written), (f"{PREFIX}a.png", b"bytes")]
    for key, body in arrivals if sidecar_first else reversed(arrivals):
        manifest = arrive(key, body)
    (entry,) = manifest["files"]
    assert {name: entry[name] for name in DESCRIPTION} == DESCRIPTION
    assert entry["overridden"] == {"prompt": None, "local_path": None}
    assert [item["s3_key"] for item in manifest["sidecars"]] == [sidecar]


@pytest.mark.parametrize("caption_first", [True, False])
def test_a_caption_is_listed_separately_and_is_its_images_prompt_whichever_arrives_first(arrive, caption_first):
    arrivals = [(f"{PREFIX}a.txt", b"a fox\n"), (f"{PREFIX}a.png", b"bytes")]
    for key, body in arrivals if caption_first else reversed(arrivals):
        manifest = arrive(key, body)
    assert [(entry["filename"], entry["prompt"]) for entry in manifest["files"]] == [("a.png", "a fox")]
    (caption,) = manifest["captions"]
    assert (caption["filename"], caption["caption"], caption["size_bytes"]) == ("a.txt", "a fox", 6)
    assert (manifest["total_files"], manifest["total_size_bytes"]) == (1, 5)


def test_the_edit_number_of_a_sidecar_is_recorded(arrive):
    manifest = arrive(PROMPTS, {"a.png": "a fox"}, Metadata={"edit": "4711"})
    (sidecar,) = manifest["sidecars"]
    assert (sidecar["s3_key"], sidecar["edit"], len(sidecar["copies"])) == (PROMPTS, 4711, 1)


def test_a_broken_sidecar_is_reported_and_the_message_succeeds(arrive):
    arrive(f"{PREFIX}a.png", b"bytes", Metadata={"prompt": "its own"})
    manifest = arrive(FOLDER, b'{"file_name": "a.png", "text": null, "good": false}\n{')
    assert [problem["s3_key"] for problem in manifest["problems"]] == [FOLDER]
    assert (manifest["files"][0]["prompt"], manifest["files"][0]["good"]) == ("its own", False)


@pytest.mark.parametrize("sidecar_first", [True, False])
def test_title_and_generations_are_from_collection_json_whichever_arrives_first(account, arrive, sidecar_first):
    flux = {"generation_id": 3, "type": "replicate_flux_kontext", "generated_at": "2020-01-01T00:00:00.000Z"}
    fields = {"title": "Snow", "generations": [flux | {"metadata": {"seed": 7}}]}
    sidecar = (f"{PREFIX}collection.json", fields, {})
    image = (f"{PREFIX}a.png", b"x", {"generation-id": "3", "generation-type": flux["type"]})
    for key, body, metadata in (sidecar, image) if sidecar_first else (image, sidecar):
        manifest = arrive(key, body, Metadata=metadata)
    first_at = account.files(PREFIX)["a.png"]["last_modified"]
    assert manifest["style_title"] == "Snow"
    assert manifest["generations"] == [
        flux | {"image_count": 1, "metadata": {"seed": 7}, "declared": True, "first_at": first_at}
    ]


def test_undeclared_files_belong_to_a_generation_with_their_source_and_count(account, arrive):
    for name in ("old.png", "also old.png"):
        account.put(f"{PREFIX}{name}")
        account.antedate(f"{PREFIX}{name}")
    arrive(f"{PREFIX}a.png", b"x")
    account.delete(f"{PREFIX}old.png")
    arrive(f"{PREFIX}old.png", b"overwritten")
    manifest = arrive(f"{PREFIX}b.png", b"x")
    assert {(item["type"], item["image_count"]) for item in manifest["generations"]} == {
        ("s3_event", 3),
        ("s3_scan", 1),
    }
    for generation in manifest["generations"]:
        own = [file for file in manifest["files"] if file["generation_type"] == generation["type"]]
        assert generation["image_count"] == len(own)
        assert generation["generated_at"] == min(file["last_modified"] for file in own)
        assert {file["source"] for file in own} == {generation["type"]}


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        (None, ["b.png", "c.png"]),
        ("captions", ["a.txt", "b.txt", "lost.txt"]),
        ("hidden", ["a.png"]),
        ("orphans", ["lost.txt"]),
        ("uncaptioned", ["c.png"]),
    ],
)
def test_captions_and_hidden_files_can_be_listed(arrive, get, listed, names):
    arrive(f"{PREFIX}a.png", b"a")
    arrive(f"{PREFIX}b.png", b"b")
    for name in ("a.txt", "b.txt", "lost.txt", "c.png"):
        arrive(f"{PREFIX}{name}", b"a hare")
    arrive(PROMPTS, {"a.png": {"hidden": True}})
    reply = get("/api/manifests/style/16", **{"list": listed} if listed else {})
    assert [entry["filename"] for entry in reply.json[listed or "files"]] == names
    assert reply.json["total_files"] == 2


def test_an_unknown_list_is_400(arrive, get):
    arrive(f"{PREFIX}a.png", b"a")
    reply = get("/api/manifests/style/16", list="all")
    assert (reply.status, reply.json["parameter"]) == (400, "list")
