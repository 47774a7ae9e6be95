import json

import pytest
from unit.environments import serial_map
from unit.values import ACTOR, BUCKET, EVENING, MORNING, NOON, ROOT, entry, file_observation, head_after, head_of

from s3_manifest.manifest.collections import Collection
from s3_manifest.query import training
from s3_manifest.query.answers import AnswerTooLarge, escaped_size
from s3_manifest.query.training import TrainingImage, actor_manifest, base_image, size_mb, statistics, training_data
from s3_manifest.sidecars.applied import Observation
from s3_manifest.storage import heads
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.snapshot import Snapshot

MAN = Collection("actor", "0042_european_30_male", "actors/0042_european_30_male/", ROOT, BUCKET)
MEBIBYTE = 1 << 20


def entries(*names, **facts):
    return [entry(name, **facts) for name in names]


def shown(files):
    return [image.filename for image in training_data(MAN, HEAD, files).training_images]


def actors_file(filename):
    key = ACTOR.prefix + filename
    return Observation(key, entry(filename).model_copy(update={"s3_key": key}))


HEAD = head_of(file_observation("a.jpg"))


def test_an_actor_has_its_number_and_its_name():
    for view in (training_data(MAN, HEAD, []), actor_manifest(MAN, HEAD, [])):
        assert (view.actor_id, view.actor_name) == (42, "0042_european_30_male")


def test_an_actor_without_a_number_has_its_name_as_id():
    nameless = Collection("actor", "somebody", "actors/somebody/", ROOT, BUCKET)
    assert training_data(nameless, HEAD, []).actor_id == "somebody"


def test_a_training_image_has_its_key_its_url_its_size_and_its_rating():
    observations = entry("b.jpg", size=3 * MEBIBYTE // 2, last_modified=EVENING)
    files = [entry("a.jpg"), observations.model_copy(update={"good": False})]
    first, second = training_data(MAN, HEAD, files).training_images
    assert first.index == 0
    assert second == TrainingImage(
        index=1, filename="b.jpg", s3_url=observations.s3_url, size_mb=1.5, modified_date=EVENING, good=False
    )


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.JPG", "a.jpeg", "a.png", "a.webp", "deep/a.gif", "a.tiff", "a.avif", "a.heic", "a.bmp"]
)
def test_a_file_with_an_image_suffix_is_a_training_image(name):
    assert shown(entries(name)) == [name]


@pytest.mark.parametrize("name", ["a.txt", "a.json", "model.safetensors", "a.mp4", "a", "jpg", "a.jpg.bak"])
def test_a_file_without_an_image_suffix_is_not_a_training_image(name):
    assert shown(entries("a.jpg", name)) == ["a.jpg"]


@pytest.mark.parametrize("facts", [{"hidden": True}, {"caption": "a lighthouse"}])
def test_a_hidden_file_or_caption_is_not_a_training_image(facts):
    other = entry("b.jpg").model_copy(update=facts)
    assert shown([entry("a.jpg"), other]) == ["a.jpg"]
    assert actor_manifest(MAN, HEAD, [other]).total_images == 0


@pytest.mark.parametrize(
    ("names", "base"),
    [
        (["a.jpg", "base_image.png"], "base_image.png"),
        (["a.jpg", "base.jpg"], "base.jpg"),
        (["base.jpg", "base_image.png"], "base_image.png"),
        (["BASE.PNG"], "BASE.PNG"),
        (["base_image.jpg", "base_image.png"], "base_image.jpg"),
        (["deep/base_image.png", "my_base.png", "base_image_2.png", "base"], None),
        ([], None),
    ],
)
def test_the_base_image_is_the_top_level_image_with_that_name(names, base):
    image = base_image(entries(*names))
    assert (image and image.filename) == base
    url = training_data(MAN, HEAD, [item for item in entries(*names) if item.filename != "base"]).base_image_path
    assert url == (image and image.s3_url)


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 0.0), (MEBIBYTE, 1.0), (MEBIBYTE + MEBIBYTE // 3, 1.33), (5242, 0.0), (5243, 0.01)]
)
def test_sizes_are_in_mebibytes_rounded_to_two_digits(size, expected):
    assert size_mb(size) == expected


def test_statistics_count_all_images_and_those_of_each_generation():
    observations = [
        file_observation("a.jpg", size=MEBIBYTE),
        file_observation("b.jpg", size=MEBIBYTE),
        file_observation("c.jpg", size=MEBIBYTE, metadata={"generation-id": "7"}),
        file_observation("notes.pdf", size=MEBIBYTE),
    ]
    head = head_of(*observations)
    result = statistics(head, [item.state for item in observations if item.key.endswith(".jpg")])
    assert (result.training_images_count, result.training_data_size_mb) == (3, 3.0)
    expected = {(item.generation_id, item.type): (item.image_count, item.size_mb) for item in result.generations}
    assert expected == {(1, "s3_event"): (2, 2.0), (7, "declared"): (1, 1.0)}
    assert list(expected) == [(item.generation_id, item.type) for item in head.generations]


def test_sizes_are_summed_before_they_are_rounded():
    result = statistics(HEAD, entries(*(f"{n}.jpg" for n in range(100)), size=5000))
    assert result.training_data_size_mb == 0.48


def test_a_view_names_the_revision_of_its_manifest():
    head = head_after(
        head_of(file_observation("a.jpg"), complete=False), file_observation("b.jpg"), commit="c2", now=EVENING
    )
    view = training_data(MAN, head, head.files)
    assert (view.manifest_updated, view.revision, view.complete) == (EVENING, 2, False)
    whole = actor_manifest(MAN, head, head.files)
    assert (whole.created_at, whole.updated_at, whole.revision) == (NOON, EVENING, 2)
    assert whole.manifest_path == "_manifests/actors/0042_european_30_male/manifest.json"
    assert whole.total_generations == len(whole.generations) == 1
    assert whole.generations == head.generations


@pytest.mark.parametrize(
    ("prompt", "preview"),
    [(None, None), ("", ""), ("short", "short"), ("é" * 100, "é" * 100), ("🎨" * 101, "🎨" * 100)],
)
def test_a_prompts_preview_is_its_first_hundred_characters(prompt, preview):
    expected = entry("a.jpg").model_copy(update={"prompt": prompt})
    (image,) = actor_manifest(MAN, HEAD, [expected]).images
    assert (image.prompt, image.prompt_preview) == (prompt, preview)


def test_an_image_has_everything_that_training_needs():
    expected = entry(
        "a.jpg", size=5, metadata={"generation-id": "7", "generated-at": MORNING, "prompt": "a lighthouse"}
    )
    (image,) = json.loads(actor_manifest(MAN, HEAD, [expected]).model_dump_json())["images"]
    assert image == {
        "index": 0,
        "filename": "a.jpg",
        "s3_url": f"https://{BUCKET}.s3.us-east-1.amazonaws.com/styles/16/a.jpg",
        "s3_key": "styles/16/a.jpg",
        "prompt": "a lighthouse",
        "prompt_preview": "a lighthouse",
        "generated_at": MORNING,
        "last_modified": expected.last_modified,
        "size": 5,
        "etag": expected.etag,
        "md5_hash": expected.md5_hash,
        "generation_id": 7,
        "generation_type": "declared",
        "source": "s3_event",
        "good": True,
        "labels": [],
    }


def read(head):
    store = MemoryStore()
    heads.save(store, ACTOR, head, None)
    return training.read(Snapshot.load(store, serial_map, ACTOR), training_data)


def test_a_view_is_json_with_the_etag_of_its_head():
    head = head_of(actors_file("a.jpg"), collection=ACTOR)
    answer = read(head)
    assert json.loads(answer.json)["total_count"] == 1
    assert answer.etag


def test_a_view_that_exceeds_a_response_raises_answer_too_large(monkeypatch):
    head = head_of(*(actors_file(f"{n}.jpg") for n in range(50)), collection=ACTOR)
    size = escaped_size(read(head).json)
    monkeypatch.setattr(training, "MAX_ANSWER_BYTES", size)
    assert read(head)
    monkeypatch.setattr(training, "MAX_ANSWER_BYTES", size - 1)
    with pytest.raises(AnswerTooLarge):
        read(head)


def test_a_view_of_too_many_files_raises_answer_too_large(monkeypatch):
    monkeypatch.setattr(training, "MAX_FILES", 1)
    with pytest.raises(AnswerTooLarge):
        read(head_of(actors_file("a.jpg"), actors_file("b.jpg"), collection=ACTOR))
