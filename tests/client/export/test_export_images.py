import io
import json

import pytest
from client.exports import IMAGES, NO_FILES, STAMP, exported, facts, file, of_generations, problems

from s3_manifest.sidecars.captions import is_image, read_caption
from s3_manifest.sidecars.formats import METADATA_JSONL, read_sidecar
from s3_manifest_cli.client.export import FORMATS
from s3_manifest_cli.client.export.cvat import image_sizes
from s3_manifest_cli.errors import Invalid
from s3_manifest_cli.local_stack.pictures import png


def test_an_imagefolder_export_can_be_read_as_a_sidecar():
    image = file("a.png", prompt="a fox", good=False, labels=("dark",), generation_id=3, generated_at=STAMP)
    body, _ = exported("imagefolder", [image], of_generations(3))
    described = read_sidecar(METADATA_JSONL, body)
    assert described.problems == ()
    for name, value in described.files["a.png"].model_dump(exclude_none=True).items():
        assert value == getattr(image, name)


@pytest.mark.parametrize(
    ("ids", "written"), [((3, 4), 3), ((3, "four"), "3"), ((3, 1 << 63), "3"), ((3, -(1 << 63) - 1), "3")]
)
def test_the_ids_of_generations_are_all_numbers_or_all_text(ids, written):
    body, _ = exported("imagefolder", [file("a.png", generation_id=3)], of_generations(*ids))
    assert json.loads(body)["generation_id"] == written


@pytest.mark.parametrize("format_name", ["imagefolder", "cvat"])
@pytest.mark.parametrize("name", [name for name in NO_FILES if is_image(name)])
def test_a_key_that_is_not_an_image_filename_is_a_problem(format_name, name):
    options = {"size_of": lambda _: (1, 1)} if format_name == "cvat" else {}
    body, result = exported(format_name, [file(name), file("z.png")], **options)
    assert list(problems(result)) == [name]
    assert result.files == 1
    assert name.encode() not in body


def test_a_name_that_the_loader_would_misread_is_a_problem():
    body, result = exported("imagefolder", [file("back\\slash.png")])
    assert (body, result.files) == (b"", 0)
    assert "backslash" in problems(result)["back\\slash.png"]


def captions(*entries):
    """The written captions by filename, and the result."""
    folder = {}
    result = FORMATS["kohya"].write(
        facts(), iter(sorted(entries, key=lambda entry: entry.filename)), folder.__setitem__
    )
    return folder, result


def test_each_image_with_a_prompt_has_a_caption_beside_it():
    prompts = {name: f"the prompt of {name.encode()!r}, föx" for name in IMAGES}
    folder, result = captions(*(file(name, prompt=prompt) for name, prompt in prompts.items()))
    expected = {name.removesuffix("png") + "txt": (prompt, None) for name, prompt in prompts.items()}
    assert {name: read_caption(body) for name, body in folder.items()} == expected
    assert (result.files, result.left_out, result.problems) == (len(IMAGES), 0, ())


@pytest.mark.parametrize("prompt", [None, "", " \n "])
def test_an_image_without_a_prompt_has_no_caption_and_is_no_problem(prompt):
    folder, result = captions(file("a.png", prompt=prompt), file("notes.json", prompt="not an image"))
    assert (folder, result.files, result.left_out, result.problems) == ({}, 0, 2, ())


def test_a_caption_is_written_as_one_line():
    folder, _ = captions(file("a.png", prompt=" a fox,\r\n\n  at dawn\rin\u2028fog\n"))
    assert folder == {"a.txt": "a fox, at dawn in\u2028fog\n".encode()}


def test_images_that_share_a_name_share_a_caption_if_they_have_the_same_prompt():
    between = [file(f"a.{n}.png", prompt=f"number {n}") for n in (1, 2)]
    folder, result = captions(file("a.jpg", prompt="a fox"), *between, file("a.png", prompt="a fox\n"))
    assert folder == {"a.txt": b"a fox\n", "a.1.txt": b"number 1\n", "a.2.txt": b"number 2\n"}
    assert (result.files, result.problems) == (4, ())


@pytest.mark.parametrize("other", ["a hare", None])
def test_images_that_share_a_caption_but_not_a_prompt_are_problems(other):
    folder, result = captions(
        file("a.jpg", prompt="a fox"), file("a.more.png", prompt="more"), file("a.png", prompt=other)
    )
    assert folder == {"a.more.txt": b"more\n"}
    assert list(problems(result)) == ["a.jpg", "a.png"]
    for problem in problems(result).values():
        assert "a.jpg, a.png share the caption a.txt" in problem
    assert result.files == 1


@pytest.mark.parametrize("name", [name for name in NO_FILES if is_image(name)])
def test_no_caption_lies_outside_of_the_folder(name):
    folder, result = captions(file(name, prompt="a fox"))
    assert (folder, list(problems(result))) == ({}, [name])


def test_captions_are_written_as_soon_as_no_other_image_can_share_them():
    put = []

    def entries():
        for number in range(1000):
            assert len(put) >= number - 1
            yield file(f"{number:04}.png", prompt="a fox")

    FORMATS["kohya"].write(facts(), entries(), lambda name, _: put.append(name))
    assert len(put) == 1000


def test_cvat_reads_each_image_with_its_size(tmp_path):
    (tmp_path / "deep").mkdir()
    for size, name in enumerate(("a.b.png", "deep/föx.png"), 3):
        (tmp_path / name).write_bytes(png(size, (1, 2, 3)))

    with image_sizes(tmp_path) as size_of:
        body, result = exported("cvat", [file("a.b.png"), file("deep/föx.png"), file("notes.json")], size_of=size_of)
    assert body.isascii()
    version, kind, *images = [json.loads(line) for line in io.BytesIO(body)]
    assert (version, kind) == ({"version": "1.1"}, {"type": "images"})
    assert images == [
        {"name": "a.b", "extension": ".png", "width": 3, "height": 3, "meta": {"related_images": []}},
        {"name": "deep/föx", "extension": ".png", "width": 4, "height": 4, "meta": {"related_images": []}},
    ]
    assert (result.files, result.left_out, result.problems) == (2, 1, ())


def test_an_image_without_a_size_is_a_problem_for_cvat():
    sizes = {"a.png": (640, 480)}
    body, result = exported("cvat", [file("a.png"), file("b.png")], size_of=sizes.get)
    assert (body.count(b'"name"'), result.files) == (1, 1)
    assert problems(result) == {"b.png": "its width and height are not known"}


def test_a_cvat_export_without_image_sizes_is_an_error():
    out = io.BytesIO()
    with pytest.raises(Invalid, match="width and height"):
        FORMATS["cvat"].write(facts(), [file("a.png")], out)
    assert out.getvalue() == b""


@pytest.mark.parametrize(
    "name",
    ["test shot.png", "a dev.png", "val/a.png", "a::b.png", "$HOME.png", "deep/metadata.jsonl", "a.eval", "a.zip"],
)
def test_names_that_hugging_face_misreads_are_problems_with_the_call_that_loads_them(name):
    body, result = exported("imagefolder", [file("a.png"), file(name)])
    (problem,) = result.problems
    assert repr(name) in problem.problem
    assert 'load_dataset("imagefolder", data_files="…/metadata.jsonl", split="train")' in problem.problem
    assert body.count(b"\n") == 1 + is_image(name)


def test_a_problem_with_many_misread_names_lists_a_few():
    _, result = exported("imagefolder", [file(f"test {number}.png") for number in range(10)])
    (problem,) = result.problems
    assert "'test 0.png', 'test 1.png', 'test 2.png', …" in problem.problem


@pytest.mark.parametrize(
    ("prompts", "is_problem"),
    [
        (["2024-01-01"], True),
        (["2024-01-01T10:00:00Z", "2024-01-02"], True),
        (["2024-01-01", None], False),
        (["2024-01-01", "a fox"], False),
        (["2024-01-01 a fox"], False),
        (["2024-01", "7", "true"], False),
    ],
)
def test_prompts_that_are_all_dates_are_a_problem(prompts, is_problem):
    _, result = exported("imagefolder", [file("a.png", prompt=prompt) for prompt in prompts])
    assert ["text as timestamps" in problem.problem for problem in result.problems] == [True] * is_problem
