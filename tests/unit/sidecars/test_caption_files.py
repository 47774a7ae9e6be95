"""Captions beside images and videos: which files are some, which of several counts, and what is said of the others."""

import gzip
import itertools
import json

import pytest
from unit.environments import Hand
from unit.values import PREFIX

from s3_manifest.sidecars.formats import captioned_by, captions_of, is_captioned, read_json_caption

BODIES = {
    "a.txt": b"from the text",
    "a.caption": b"from the caption",
    "a.json": b'{"caption": "from the json", "width": 512}',
}
TEXTS = dict(zip(BODIES, ("from the text", "from the caption", "from the json"), strict=True))


def prompt(hand, name="a.png"):
    return next(entry.prompt for entry in hand.entries() if entry.filename == name)


def problems(hand):
    return {one.s3_key.removeprefix(PREFIX): one.problem for one in hand.head().problems}


@pytest.mark.parametrize("image", ["a.png", "a.JPG", "a.mp4", "a.webm", "a.MOV"])
@pytest.mark.parametrize("caption", [*BODIES, "a.TXT", "a.CAPTION", "a.JSON"])
@pytest.mark.parametrize("caption_first", [True, False])
def test_a_caption_describes_the_file_beside_it_whichever_arrives_first(image, caption, caption_first):
    hand = Hand()
    order = [caption, image] if caption_first else [image, caption]
    for name in order:
        hand.commit(hand.upload(name, body=BODIES.get(caption.lower(), b"x")))
    assert prompt(hand, image) == TEXTS[caption.lower()]
    assert [entry.filename for entry in hand.head().captions] == [caption]
    assert (hand.head().total_files, hand.head().problems) == (1, ())


@pytest.mark.parametrize("order", list(itertools.permutations([*BODIES, "a.png"])), ids="-".join)
def test_of_several_captions_the_same_counts_in_whatever_order_they_arrive_and_go(order):
    hand = Hand()
    for name in order:
        hand.commit(hand.upload(name, body=BODIES.get(name, b"bytes")))
    assert prompt(hand) == "from the text"
    assert problems(hand) == dict.fromkeys(
        ("a.caption", "a.json"), "it is not used for a.png: a.txt counts first, and says something else"
    )
    there = list(BODIES)
    for name in order:
        if name == "a.png":
            continue
        hand.store.remove(PREFIX + name)
        hand.commit([PREFIX + name])
        there.remove(name)
        assert prompt(hand) == (TEXTS[there[0]] if there else None)
    assert (hand.head().captions, hand.head().problems) == ((), ())


def test_an_empty_caption_leaves_the_word_to_the_next():
    hand = Hand()
    hand.commit(
        [*hand.upload("a.png"), *hand.upload("a.txt", body=b" \n"), *hand.upload("a.json", body=BODIES["a.json"])]
    )
    assert prompt(hand) == "from the json"


def test_a_sidecar_of_the_whole_collection_counts_before_any_caption():
    hand = Hand()
    for name, body in BODIES.items():
        hand.upload(name, body=body)
    hand.upload("metadata.csv", body=b"file_name,text\na.png,from the table\n")
    hand.commit([*hand.upload("a.png"), *(PREFIX + name for name in (*BODIES, "metadata.csv"))])
    assert prompt(hand) == "from the table"
    hand.commit(hand.upload("prompt_metadata.json", body=b'{"a.png": "edited"}'))
    assert prompt(hand) == "edited"


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["a.png", "metadata.csv", "metadata.jsonl"])), ids="-".join
)
def test_a_csv_is_a_sidecar_and_the_lines_count_before_it(order):
    bodies = {
        "metadata.csv": b"file_name,text,labels\na.png,from the table,x\n",
        "metadata.jsonl": b'{"file_name": "a.png", "text": "from the lines"}',
    }
    hand = Hand()
    for name in order:
        hand.commit(hand.upload(name, body=bodies.get(name, b"bytes")))
    (entry,) = hand.head().files
    assert (entry.prompt, entry.labels) == ("from the lines", ("x",))
    assert len(hand.head().sidecars) == 2


NO_DESCRIPTION = {
    "no object": b"[1, 2]",
    "no prompt": b'{"nodes": [], "links": []}',
    "no text": b'{"prompt": {"3": {"inputs": {}}}}',
    "an empty one": b'{"prompt": ""}',
    "no JSON": b"{",
    "no value that JSON can hold": b'{"prompt": "an owl \\ud83e"}',
}


@pytest.mark.parametrize("body", NO_DESCRIPTION.values(), ids=NO_DESCRIPTION)
def test_a_json_that_says_no_prompt_is_a_file_and_beside_an_image_that_is_said(body):
    hand = Hand()
    hand.commit([*hand.upload("a.png"), *hand.upload("a.json", "alone.json", body=body)])
    assert [entry.filename for entry in hand.head().files] == ["a.json", "a.png", "alone.json"]
    assert [*problems(hand)] == ["a.json"]
    assert problems(hand)["a.json"].startswith("it is a file, though it lies beside an image")
    assert prompt(hand) is None


@pytest.mark.parametrize("name", ["a.png.json", "A.JSON"])
def test_a_file_that_may_be_meant_for_an_image_is_named(name):
    hand = Hand()
    hand.commit([*hand.upload("a.png", "A.PNG"), *hand.upload(name, body=b'{"n": 1}')])
    assert [*problems(hand)] == [name]


def test_a_json_becomes_a_caption_and_a_file_again_as_it_is_replaced():
    hand = Hand()
    hand.commit([*hand.upload("a.png"), *hand.upload("a.json", body=b"{}")])
    hand.commit(hand.upload("a.json", body=b'{"prompt": "a fox"}'))
    assert (prompt(hand), [entry.filename for entry in hand.head().files]) == ("a fox", ["a.png"])
    hand.commit(hand.upload("a.json", body=b"{}"))
    assert (prompt(hand), [entry.filename for entry in hand.head().files]) == (None, ["a.json", "a.png"])
    fresh = Hand()
    fresh.commit([*fresh.upload("a.png"), *fresh.upload("a.json", body=b"{}")])
    assert hand.head().files == fresh.head().files


def test_a_large_json_is_a_file_that_is_not_read():
    hand = Hand()
    body = b'{"prompt": "a fox", "x": "' + b"x" * (64 << 10) + b'"}'
    hand.commit([*hand.upload("a.png"), *hand.upload("a.json", body=body)])
    assert hand.store.asked_for("GET", PREFIX) == []
    assert [entry.filename for entry in hand.head().files] == ["a.json", "a.png"]


def test_an_archived_json_keeps_what_it_said_and_one_that_was_never_read_is_a_file():
    hand = Hand()
    hand.commit([*hand.upload("a.png", "b.png"), *hand.upload("a.json", body=BODIES["a.json"])])
    hand.upload("a.json", body=BODIES["a.json"], archived=True, storage_class="GLACIER")
    hand.upload("b.json", body=BODIES["a.json"], archived=True, storage_class="GLACIER")
    hand.commit([PREFIX + "a.json", PREFIX + "b.json"])
    assert (prompt(hand, "a.png"), prompt(hand, "b.png")) == ("from the json", None)
    assert "archived" in problems(hand)["a.json"]
    assert [entry.filename for entry in hand.head().captions] == ["a.json"]


def test_an_image_costs_no_look_at_its_captions():
    hand = Hand()
    for name, body in BODIES.items():
        hand.upload(name, body=body)
    hand.commit([*hand.upload("a.png"), *(PREFIX + name for name in BODIES)])
    hand.store.requests.clear()
    hand.commit(hand.upload("a.png", body=b"new"))
    assert hand.store.asked_for("HEAD") == [PREFIX + "a.png"]
    assert hand.store.asked_for("GET", PREFIX) == []
    assert prompt(hand) == "from the text"


@pytest.mark.usefixtures("small_pages")
def test_an_image_in_a_page_costs_no_other_page_for_captions_that_are_not_there():
    hand = Hand()
    hand.commit(hand.upload(*(f"{number:02}.png" for number in range(40))))
    pages = hand.head().pages
    assert len(pages) > 3
    for page in pages:
        hand.store.requests.clear()
        hand.commit(hand.upload(page.first, body=page.key.encode()))
        assert len(hand.store.asked_for("GET", "_manifests/styles/16/pages/")) == 1


@pytest.mark.usefixtures("small_pages")
def test_a_caption_in_another_page_than_its_image_counts_too():
    hand = Hand()
    names = [f"{number:02}.png" for number in range(40)]
    hand.commit(hand.upload(*names))
    first = hand.head().pages[2].first
    caption = first.replace(".png", ".caption")
    hand.commit(hand.upload(caption, body=b"a fox"))
    assert prompt(hand, first) == "a fox"
    (page,) = [page for page in hand.head().pages if page.first <= caption <= page.last]
    assert page.last < first or page.first == caption
    hand.commit(hand.upload(first, body=b"new"))
    assert prompt(hand, first) == "a fox"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
@pytest.mark.parametrize("name", BODIES)
def test_captions_are_read_however_they_are_encoded(name, packed, encoding):
    text = json.dumps({"prompt": "a füchs"}) if name.endswith(".json") else "a füchs"
    hand = Hand()
    hand.commit([*hand.upload("a.png"), *hand.upload(name, body=packed(text.encode(encoding)))])
    assert prompt(hand) == "a füchs"


def test_all_lines_of_a_caption_are_the_prompt_and_that_is_said_once():
    hand = Hand()
    hand.commit([*hand.upload("a.png", "b.png"), *hand.upload("a.txt", "b.txt", body=b"a fox\na hare\n")])
    assert prompt(hand) == "a fox\na hare"
    assert problems(hand) == {
        "": "captions of several lines: 2; all lines of each are the prompt, also if they are alternatives"
    }


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "metadata.parquet", "prompt_metadata.json"])
def test_a_sidecar_in_a_folder_is_a_file_and_that_is_said(name):
    hand = Hand()
    hand.commit([*hand.upload("sub/a.png"), *hand.upload(f"sub/{name}", body=b"{}")])
    assert hand.head().total_files == 2
    assert problems(hand) == {f"sub/{name}": f"it is a file: {name} is read at the top of the collection only"}


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
def test_the_prompt_in_a_json_beside_an_image(body, text):
    assert read_json_caption(body) == text


@pytest.mark.parametrize("name", ["a.png", "a.MP4", "deep/a.b.jpeg", "collection.png"])
def test_files_and_their_captions_know_each_other(name):
    assert is_captioned(name)
    assert all(name in captioned_by(caption) for caption in captions_of(name))
    assert "collection.json" not in captions_of(name)
