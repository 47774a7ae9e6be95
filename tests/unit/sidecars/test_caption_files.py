"""Captions of images and videos: which files are captions, their precedence, and their problems."""

import gzip
import itertools
import json

import pytest
from unit.environments import Harness
from unit.values import PREFIX

from s3_manifest.sidecars.captions import can_have_caption, caption_candidates, caption_targets, read_json_caption

BODIES = {
    "a.txt": b"from the text",
    "a.caption": b"from the caption",
    "a.json": b'{"caption": "from the json", "width": 512}',
}
TEXTS = dict(zip(BODIES, ("from the text", "from the caption", "from the json"), strict=True))


def prompt(harness, name="a.png"):
    return next(entry.prompt for entry in harness.entries() if entry.filename == name)


def problems(harness):
    return {item.s3_key.removeprefix(PREFIX): item.problem for item in harness.head().problems}


@pytest.mark.parametrize("image", ["a.png", "a.JPG", "a.mp4", "a.webm", "a.MOV"])
@pytest.mark.parametrize("caption", [*BODIES, "a.TXT", "a.CAPTION", "a.JSON"])
@pytest.mark.parametrize("caption_first", [True, False])
def test_a_caption_describes_the_file_beside_it_whichever_arrives_first(image, caption, caption_first):
    harness = Harness()
    order = [caption, image] if caption_first else [image, caption]
    for name in order:
        harness.commit(harness.upload(name, body=BODIES.get(caption.lower(), b"x")))
    assert prompt(harness, image) == TEXTS[caption.lower()]
    assert [entry.filename for entry in harness.head().captions] == [caption]
    assert (harness.head().total_files, harness.head().problems) == (1, ())


@pytest.mark.parametrize("order", list(itertools.permutations([*BODIES, "a.png"])), ids="-".join)
def test_the_precedence_of_captions_does_not_depend_on_the_order_of_uploads_and_deletes(order):
    harness = Harness()
    for name in order:
        harness.commit(harness.upload(name, body=BODIES.get(name, b"bytes")))
    assert prompt(harness) == "from the text"
    assert problems(harness) == dict.fromkeys(
        ("a.caption", "a.json"), "it is not used for a.png: a.txt takes precedence and has a different text"
    )
    present = list(BODIES)
    for name in order:
        if name == "a.png":
            continue
        harness.store.remove(PREFIX + name)
        harness.commit([PREFIX + name])
        present.remove(name)
        assert prompt(harness) == (TEXTS[present[0]] if present else None)
    assert (harness.head().captions, harness.head().problems) == ((), ())


def test_an_empty_caption_is_skipped():
    harness = Harness()
    harness.commit(
        [
            *harness.upload("a.png"),
            *harness.upload("a.txt", body=b" \n"),
            *harness.upload("a.json", body=BODIES["a.json"]),
        ]
    )
    assert prompt(harness) == "from the json"


def test_a_sidecar_takes_precedence_over_every_caption():
    harness = Harness()
    for name, body in BODIES.items():
        harness.upload(name, body=body)
    harness.upload("metadata.csv", body=b"file_name,text\na.png,from the table\n")
    harness.commit([*harness.upload("a.png"), *(PREFIX + name for name in (*BODIES, "metadata.csv"))])
    assert prompt(harness) == "from the table"
    harness.commit(harness.upload("prompt_metadata.json", body=b'{"a.png": "edited"}'))
    assert prompt(harness) == "edited"


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["a.png", "metadata.csv", "metadata.jsonl"])), ids="-".join
)
def test_a_csv_is_a_sidecar_and_jsonl_takes_precedence_over_it(order):
    bodies = {
        "metadata.csv": b"file_name,text,labels\na.png,from the table,x\n",
        "metadata.jsonl": b'{"file_name": "a.png", "text": "from the lines"}',
    }
    harness = Harness()
    for name in order:
        harness.commit(harness.upload(name, body=bodies.get(name, b"bytes")))
    (entry,) = harness.head().files
    assert (entry.prompt, entry.labels) == ("from the lines", ("x",))
    assert len(harness.head().sidecars) == 2


NO_DESCRIPTION = {
    "no object": b"[1, 2]",
    "no prompt": b'{"nodes": [], "links": []}',
    "no text": b'{"prompt": {"3": {"inputs": {}}}}',
    "an empty one": b'{"prompt": ""}',
    "no JSON": b"{",
    "no value that JSON can hold": b'{"prompt": "an owl \\ud83e"}',
}


@pytest.mark.parametrize("body", NO_DESCRIPTION.values(), ids=NO_DESCRIPTION)
def test_a_json_without_a_prompt_is_a_file_and_a_problem_if_an_image_has_its_name(body):
    harness = Harness()
    harness.commit([*harness.upload("a.png"), *harness.upload("a.json", "alone.json", body=body)])
    assert [entry.filename for entry in harness.head().files] == ["a.json", "a.png", "alone.json"]
    assert [*problems(harness)] == ["a.json"]
    assert problems(harness)["a.json"].startswith("it is treated as a file, not as a caption")
    assert prompt(harness) is None


@pytest.mark.parametrize("name", ["a.png.json", "A.JSON"])
def test_a_file_named_like_a_caption_of_an_image_is_a_problem(name):
    harness = Harness()
    harness.commit([*harness.upload("a.png", "A.PNG"), *harness.upload(name, body=b'{"n": 1}')])
    assert [*problems(harness)] == [name]


def test_a_json_becomes_a_caption_and_a_file_again_when_it_is_replaced():
    harness = Harness()
    harness.commit([*harness.upload("a.png"), *harness.upload("a.json", body=b"{}")])
    harness.commit(harness.upload("a.json", body=b'{"prompt": "a fox"}'))
    assert (prompt(harness), [entry.filename for entry in harness.head().files]) == ("a fox", ["a.png"])
    harness.commit(harness.upload("a.json", body=b"{}"))
    assert (prompt(harness), [entry.filename for entry in harness.head().files]) == (None, ["a.json", "a.png"])
    fresh = Harness()
    fresh.commit([*fresh.upload("a.png"), *fresh.upload("a.json", body=b"{}")])
    assert harness.head().files == fresh.head().files


def test_a_large_json_is_a_file_that_is_not_read():
    harness = Harness()
    body = b'{"prompt": "a fox", "x": "' + b"x" * (64 << 10) + b'"}'
    harness.commit([*harness.upload("a.png"), *harness.upload("a.json", body=body)])
    assert harness.store.requests_for("GET", PREFIX) == []
    assert [entry.filename for entry in harness.head().files] == ["a.json", "a.png"]


def test_an_archived_json_keeps_its_prompt_and_is_a_file_if_it_was_never_read():
    harness = Harness()
    harness.commit([*harness.upload("a.png", "b.png"), *harness.upload("a.json", body=BODIES["a.json"])])
    harness.upload("a.json", body=BODIES["a.json"], archived=True, storage_class="GLACIER")
    harness.upload("b.json", body=BODIES["a.json"], archived=True, storage_class="GLACIER")
    harness.commit([PREFIX + "a.json", PREFIX + "b.json"])
    assert (prompt(harness, "a.png"), prompt(harness, "b.png")) == ("from the json", None)
    assert "archived" in problems(harness)["a.json"]
    assert [entry.filename for entry in harness.head().captions] == ["a.json"]


def test_an_image_is_committed_without_requests_for_its_captions():
    harness = Harness()
    for name, body in BODIES.items():
        harness.upload(name, body=body)
    harness.commit([*harness.upload("a.png"), *(PREFIX + name for name in BODIES)])
    harness.store.requests.clear()
    harness.commit(harness.upload("a.png", body=b"new"))
    assert harness.store.requests_for("HEAD") == [PREFIX + "a.png"]
    assert harness.store.requests_for("GET", PREFIX) == []
    assert prompt(harness) == "from the text"


@pytest.mark.usefixtures("small_pages")
def test_an_image_without_captions_reads_only_its_own_page():
    harness = Harness()
    harness.commit(harness.upload(*(f"{number:02}.png" for number in range(40))))
    pages = harness.head().pages
    assert len(pages) > 3
    for page in pages:
        harness.store.requests.clear()
        harness.commit(harness.upload(page.first, body=page.key.encode()))
        assert len(harness.store.requests_for("GET", "_manifests/styles/16/pages/")) == 1


@pytest.mark.usefixtures("small_pages")
def test_a_caption_describes_an_image_of_another_page():
    harness = Harness()
    names = [f"{number:02}.png" for number in range(40)]
    harness.commit(harness.upload(*names))
    first = harness.head().pages[2].first
    caption = first.replace(".png", ".caption")
    harness.commit(harness.upload(caption, body=b"a fox"))
    assert prompt(harness, first) == "a fox"
    (page,) = [page for page in harness.head().pages if page.first <= caption <= page.last]
    assert page.last < first or page.first == caption
    harness.commit(harness.upload(first, body=b"new"))
    assert prompt(harness, first) == "a fox"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
@pytest.mark.parametrize("name", BODIES)
def test_captions_are_read_in_every_encoding(name, packed, encoding):
    text = json.dumps({"prompt": "a füchs"}) if name.endswith(".json") else "a füchs"
    harness = Harness()
    harness.commit([*harness.upload("a.png"), *harness.upload(name, body=packed(text.encode(encoding)))])
    assert prompt(harness) == "a füchs"


def test_all_lines_of_a_caption_are_the_prompt_and_one_problem_reports_it():
    harness = Harness()
    harness.commit([*harness.upload("a.png", "b.png"), *harness.upload("a.txt", "b.txt", body=b"a fox\na hare\n")])
    assert prompt(harness) == "a fox\na hare"
    assert problems(harness) == {"": "captions with several lines: 2; all lines are used as one prompt"}


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "metadata.parquet", "prompt_metadata.json"])
def test_a_sidecar_in_a_subfolder_is_a_file_and_a_problem(name):
    harness = Harness()
    harness.commit([*harness.upload("sub/a.png"), *harness.upload(f"sub/{name}", body=b"{}")])
    assert harness.head().total_files == 2
    assert problems(harness) == {
        f"sub/{name}": f"it is treated as a file: {name} is only read at the top of the collection"
    }


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"prompt": "p", "text": "t", "caption": "c"}', "p"),
        (b'{"caption": "c", "text": "t"}', "t"),
        (b'{"prompt": null, "caption": " c "}', "c"),
        (b'{"caption": ["c", "d"]}', "c"),
        (b'{"caption": 7}', "7"),
        (b'{"prompt": {"x": 1}, "caption": "c", "cfg": NaN}', "c"),
        (b'{"tags": "1girl"}', None),
        (b'"text"', None),
    ],
)
def test_a_json_caption_has_its_first_usable_text_as_the_prompt(body, text):
    assert read_json_caption(body) == text


@pytest.mark.parametrize("name", ["a.png", "a.MP4", "deep/a.b.jpeg", "collection.png"])
def test_caption_candidates_and_caption_targets_are_inverse(name):
    assert can_have_caption(name)
    assert all(name in caption_targets(caption) for caption in caption_candidates(name))
    assert "collection.json" not in caption_candidates(name)
