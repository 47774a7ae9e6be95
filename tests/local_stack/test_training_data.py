"""The Python API has the same results over HTTP and directly in S3."""

import itertools
import json

import pytest

from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, STACK
from s3_manifest_cli.training_data import (
    Invalid,
    LocalImage,
    NotFound,
    Refused,
    TrainingDataManifest,
    TrainingDataSync,
    get_training_data_api,
)

ACTORS = "system_actors/training_data/"
NUMBERS = itertools.count(301)


@pytest.fixture(params=["http", "s3"])
def through(request):
    return request.param


@pytest.fixture
def api(through, stack, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.platform.endpoint)
    if through == "http":
        return get_training_data_api(stack.api_url)
    return get_training_data_api(stack=STACK)


@pytest.fixture
def actor(through):
    """Returns an actor that no other test uses."""
    return f"{next(NUMBERS):04}_{through}_30_male"


@pytest.fixture
def pictures(tmp_path):
    for index, name in enumerate(("a.png", "b c.png", "deep/ü 🎨.png")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(16, (index, 7, 9)))
    (tmp_path / "a.txt").write_text("a man in the rain\n")
    return tmp_path


def test_training_data_is_uploaded_read_described_hidden_and_deleted(api, actor, pictures, eventually):
    manifest = TrainingDataManifest(actor, api=api)
    flux = manifest.add_generation("replicate_flux_kontext", metadata={"steps": 28, "model": "flux-dev"})
    manifest.add_image(pictures / "a.png", prompt="a man 🎭 smiling, größer", generation=flux)
    manifest.add_image(pictures / "b c.png", prompt="x" * 5000, generation=flux)
    manifest.add_image(pictures / "deep/ü 🎨.png", filename="deep/ü 🎨.png")
    manifest.update_image("a.png", good=False, labels=["blurry"])
    assert [(image["filename"], image["good"], image["staged"]) for image in manifest.get_all_images()] == [
        ("a.png", False, "added"),
        ("b c.png", True, "added"),
        ("deep/ü 🎨.png", True, "added"),
    ]
    saved = manifest.save()
    assert (sorted(saved["uploaded"]), saved["failed"]) == (["a.png", "b c.png", "deep/ü 🎨.png"], {})
    (generation,) = saved["generations"]

    def images():
        try:
            return api.get_training_data(actor)
        except NotFound:
            return None

    data = eventually(
        images,
        lambda now: (
            now is not None
            and any(generation.get("declared") for generation in now["generations"])
            and [(image["filename"], image["good"], image["prompt"]) for image in now["images"]]
            == [
                ("a.png", False, "a man 🎭 smiling, größer"),
                ("b c.png", True, "x" * 5000),
                ("deep/ü 🎨.png", True, None),
            ]
        ),
    )
    assert data["images"][0]["generation_id"] == generation["generation_id"]
    (declared,) = (generation for generation in data["generations"] if generation.get("declared"))
    assert (declared["type"], declared["image_count"]) == ("replicate_flux_kontext", 2)
    assert declared["metadata"] == {"steps": 28, "model": "flux-dev"}
    for spelling in (actor[:4], int(actor[:4])):
        assert api.get_training_data(spelling)["images"] == data["images"]

    lists: dict[str, list[str]] = {name: [] for name in ("uploaded", "unchanged", "updated", "removed", "generations")}
    assert manifest.save() == {**lists, "failed": {}}
    hidden = api.delete_training_image(actor, "a.png")
    assert api.wait_for(actor, hidden)
    assert [image["filename"] for image in api.get_training_data(actor)["images"]] == ["b c.png", "deep/ü 🎨.png"]
    shown = api.update_training_image(actor, "a.png", hidden=None)
    assert api.wait_for(actor, shown)
    assert len(api.get_training_data(actor)["images"]) == 3
    manifest.remove_image("deep/ü 🎨.png", delete_from_s3=True)
    manifest.remove_image("b c.png")
    assert sorted(manifest.save()["removed"]) == ["b c.png", "deep/ü 🎨.png"]

    eventually(images, lambda now: [image["filename"] for image in now["images"]] == ["a.png"])


def test_a_repeated_upload_sends_nothing_and_other_bytes_are_rejected(api, actor, pictures):
    images = [LocalImage(pictures / "a.png", f"again/{actor}.png", prompt="x")]
    first = api.upload_training_images(actor, images)
    assert first["uploaded"] == [f"again/{actor}.png"]
    assert api.wait_for(actor, first)
    assert api.upload_training_images(actor, images)["unchanged"] == first["uploaded"]
    (pictures / "a.png").write_bytes(png(16, (200, 0, 0)))
    again = api.upload_training_images(actor, images)
    assert list(again["failed"]) == [f"again/{actor}.png"]
    assert "overwrite" in again["failed"][f"again/{actor}.png"]
    assert api.upload_training_images(actor, images, overwrite=True)["uploaded"] == first["uploaded"]


def linked(folder):
    """A symlink to the folder; symlinks in the folder lead outside."""
    (folder.parent / f"{folder.name} elsewhere").mkdir(exist_ok=True)
    (folder.parent / f"{folder.name} elsewhere/secret.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to(folder.parent / f"{folder.name} elsewhere/secret.png")
    (folder / "linked").symlink_to(folder.parent / f"{folder.name} elsewhere")
    link = folder.parent / f"{folder.name} link"
    link.symlink_to(folder)
    return link


def test_a_sync_uploads_missing_files_to_an_actor_whose_objects_have_no_events_yet(
    api, actor, stack, s3, pictures, eventually
):
    s3.put_object(Bucket=ACTOR_BUCKET, Key=f"{ACTORS}{actor}/only-s3.png", Body=b"s3")
    s3.put_object(Bucket=ACTOR_BUCKET, Key=f"{ACTORS}{actor}/b c.png", Body=b"other bytes")
    pictures = linked(pictures)
    sync = TrainingDataSync(api)
    # The first event may be processed before the second upload.
    eventually(
        lambda: [image["filename"] for image in sync.auto_initialize_manifest(actor)["images"]],
        lambda filenames: filenames == ["b c.png", "only-s3.png"],
    )
    synced = sync.sync_actor_training_data(actor, pictures)
    assert (synced["out_of_sync"], synced["s3_only"], synced["synced"]) == (["b c.png"], ["only-s3.png"], [])
    assert sorted(synced["uploaded"]["uploaded"]) == ["a.png", "deep/ü 🎨.png"]
    again = sync.sync_actor_training_data(actor, pictures)
    assert (sorted(again["synced"]), again["local_only"]) == (["a.png", "deep/ü 🎨.png"], [])
    prompts = {image["filename"]: image["prompt"] for image in api.get_training_data(actor)["images"]}
    assert prompts["a.png"] == "a man in the rain"


def test_invalid_requests_are_rejected_with_the_same_text_over_http_and_s3(api, actor, pictures):
    with pytest.raises(NotFound, match="no actor"):
        api.get_training_data("0999_nobody")
    with pytest.raises(NotFound, match=r"there is no never\.png"):
        api.update_training_image(actor, "never.png", good=False)
    with pytest.raises(Invalid, match=r"a\.png\.good"):
        api.update_training_image(actor, "a.png", good="no")
    with pytest.raises(Invalid, match="empty parts"):
        api.upload_training_images(actor, [LocalImage(pictures / "a.png", "../../x.png")])
    uploaded = api.upload_training_images(actor, [LocalImage(pictures / "a.png", f"refused/{actor}.png")])
    assert uploaded["uploaded"]
    with pytest.raises(Refused, match="another object"):
        api.delete_training_image(actor, f"refused/{actor}.png", delete_from_s3=True, etag="0" * 32)


def test_without_a_deployment_the_error_names_the_arguments(monkeypatch):
    with pytest.raises(Invalid, match="S3_MANIFEST_API_URL"):
        get_training_data_api()


def test_environment_variables_name_the_deployment(api, through, stack, monkeypatch):
    environment = {
        "http": {"S3_MANIFEST_API_URL": stack.api_url},
        "s3": {"S3_MANIFEST_BUCKET": stack.bucket, "S3_MANIFEST_SWEEP_QUEUE_URL": stack.outputs["SweepQueueUrl"]},
    }
    for name, value in environment[through].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotFound, match="no actor 0999_nobody"):
        get_training_data_api().get_training_data("0999_nobody")


def test_staged_changes_are_listed_and_failed_ones_stay_staged(api, actor, pictures, stack, s3):
    names = [f"staged/{name}.png" for name in ("described", "hidden", "removed", "replaced")]
    images = [LocalImage(pictures / "a.png", name, prompt="old") for name in names]
    assert api.wait_for(actor, api.upload_training_images(actor, images))
    manifest = TrainingDataManifest(actor, api=api)

    def rows():
        images = manifest.get_all_images()
        return [(image["filename"], image["prompt"], image["staged"]) for image in images if image["filename"] in names]

    assert rows() == [(name, "old", "no") for name in names]
    described, hidden, removed, replaced = names
    manifest.update_image(described, prompt="new")
    manifest.remove_image(hidden)
    manifest.update_image(hidden, labels=["blurry"])
    manifest.remove_image(removed, delete_from_s3=True)
    manifest.add_image(pictures / "b c.png", filename=replaced)
    after = [(described, "new", "updated"), (replaced, None, "added")]
    assert rows() == after
    saved = api.get_training_data(actor)["images"]
    assert {image["prompt"] for image in saved if image["filename"] in names} == {"old"}
    saved = manifest.save()
    assert (saved["updated"], set(saved["removed"]), list(saved["failed"])) == (
        [described],
        {hidden, removed},
        [replaced],
    )
    assert [image for image in rows() if image[2] == "added"] == [(replaced, None, "added")]
    manifest.add_image(pictures / "b c.png", filename=replaced, overwrite=True)
    saved = manifest.save()
    assert (saved["uploaded"], saved["updated"], saved["removed"], saved["failed"]) == ([replaced], [], [], {})
    prefix = f"{ACTORS}{actor}/"
    stored = s3.list_objects_v2(Bucket=ACTOR_BUCKET, Prefix=f"{prefix}staged/")["Contents"]
    assert [image["Key"].removeprefix(prefix) for image in stored] == [described, hidden, replaced]
    sidecar = json.loads(s3.get_object(Bucket=ACTOR_BUCKET, Key=f"{prefix}prompt_metadata.json")["Body"].read())
    assert sidecar[hidden] == {"hidden": True, "labels": ["blurry"]}
    body = s3.get_object(Bucket=ACTOR_BUCKET, Key=prefix + replaced)["Body"].read()
    assert body == (pictures / "b c.png").read_bytes()


def test_a_rescan_compares_with_s3_again(api, actor, pictures):
    api.upload_training_images(actor, [LocalImage(pictures / "a.png", f"rescan/{actor}.png")], overwrite=True)
    before = api.get_training_data(actor)["last_verified_at"]
    after = api.rescan_s3(actor)
    assert after["last_verified_at"] > before
    assert f"rescan/{actor}.png" in [image["filename"] for image in after["images"]]
