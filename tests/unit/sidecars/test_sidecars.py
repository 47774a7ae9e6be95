"""The content of sidecars from their bytes, and the overrides that it makes in entries."""

import gzip
import json

import pytest
from unit.values import MORNING, NOON, entry, present_with_metadata

from s3_manifest.reconcile.entries import entry_of
from s3_manifest.sidecars.applied import apply_overrides, merge_descriptions, strip_overrides
from s3_manifest.sidecars.captions import caption_filename, caption_targets, is_caption, is_image, read_caption
from s3_manifest.sidecars.content import (
    MAX_LABELS,
    MAX_PROMPT_BYTES,
    MAX_TEXT_BYTES,
    NO_DESCRIPTION,
    FileDescription,
    GenerationDeclaration,
    SidecarContent,
    decode_content,
    encode_content,
    oversized_fields,
)
from s3_manifest.sidecars.formats import (
    COLLECTION_JSON,
    MAX_TITLE,
    METADATA_CSV,
    METADATA_JSONL,
    METADATA_PARQUET,
    PROMPT_METADATA_JSON,
    edit_number,
    read_sidecar,
)

from unit.values import LOCATION, STYLE  # isort: skip

FULL = {
    "prompt": "a fox",
    "good": False,
    "hidden": True,
    "labels": ["blurry", "left"],
    "generation_id": 7,
    "generation_type": "replicate_flux_kontext",
    "generated_at": "2026-03-01T13:00:00+01:00",
    "local_path": "/d/a.jpg",
}
LORA = {"generation_id": 7, "type": "lora", "generated_at": NOON}


def prompts(document):
    return read_sidecar(PROMPT_METADATA_JSON, json.dumps(document).encode())


def lines(*rows):
    return read_sidecar(METADATA_JSONL, b"\n".join(r if isinstance(r, bytes) else json.dumps(r).encode() for r in rows))


def collection_json(document):
    return read_sidecar(COLLECTION_JSON, json.dumps(document).encode())


def test_prompt_metadata_describes_each_file():
    content = prompts({"a.jpg": FULL, "deep/b.jpg": {"good": True, "seed": 4711}, "c.jpg": "a hare"})
    assert content.problems == ()
    assert content.files == {
        "a.jpg": FileDescription(**FULL | {"generated_at": NOON}),
        "deep/b.jpg": FileDescription(good=True),
        "c.jpg": FileDescription(prompt="a hare"),
    }


@pytest.mark.parametrize("fields", [{}, {"seed": 1}, {"prompt": None}, {"good": None, "labels": None}])
def test_an_empty_description_is_ignored(fields):
    assert prompts({"a.jpg": fields}) == SidecarContent()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("good", "no", "a.jpg.good: Input should be a valid boolean"),
        ("good", 0, "a.jpg.good: "),
        ("prompt", 7, "a.jpg.prompt: Input should be a valid string"),
        ("prompt", ["x"], "a.jpg.prompt: "),
        ("labels", "blurry", "a.jpg.labels: "),
        ("labels", [1], "a.jpg.labels: "),
        ("generation_id", 1.5, "a.jpg.generation_id: "),
        ("generated_at", "yesterday", "a.jpg.generated_at: "),
        ("generated_at", "0001-01-01T00:00:00+14:00", "a.jpg.generated_at: "),
    ],
)
def test_an_invalid_field_is_a_problem_and_the_other_fields_are_used(field, value, words):
    content = prompts({"a.jpg": {"local_path": "/x", field: value}, "b.jpg": {"good": False}})
    assert content.problems[0].startswith(words)
    assert content.files == {"a.jpg": FileDescription(local_path="/x"), "b.jpg": FileDescription(good=False)}


@pytest.mark.parametrize("description", [7, ["a fox"], True])
def test_a_description_must_be_an_object_or_a_prompt(description):
    content = prompts({"a.jpg": description, "b.jpg": "a hare"})
    assert content.problems == ("a.jpg: it must be an object or the prompt",)
    assert content.files == {"b.jpg": FileDescription(prompt="a hare")}


@pytest.mark.parametrize("filename", [PROMPT_METADATA_JSON, COLLECTION_JSON])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 10_000, "not JSON"),
        (b"[]", "not a JSON object"),
    ],
)
def test_a_broken_sidecar_has_a_problem_and_no_content(filename, body, words):
    content = read_sidecar(filename, body)
    assert content == SidecarContent(problems=content.problems)
    (problem,) = content.problems
    assert words in problem


def test_the_first_problems_are_listed_and_the_others_counted():
    content = prompts({f"{number}.jpg": 7 for number in range(25)})
    assert (len(content.problems), content.problems[-1]) == (21, "and 5 more")


@pytest.mark.parametrize("column", ["prompt", "text", "caption"])
def test_an_image_folder_has_a_line_for_each_file(column):
    content = lines(
        {"file_name": "a.jpg", column: "a fox", "split": "train"}, b"", {"file_name": "b.jpg", "good": False}
    )
    assert content == SidecarContent(
        files={"a.jpg": FileDescription(prompt="a fox"), "b.jpg": FileDescription(good=False)}
    )


def test_a_broken_line_is_a_problem_and_the_other_lines_are_used():
    content = lines({"file_name": "a.jpg", "text": "a"}, b"{", {"text": "b"}, [], {"file_name": "a.jpg", "text": "c"})
    assert content.files == {"a.jpg": FileDescription(prompt="a")}
    assert [problem.partition(":")[0] for problem in content.problems] == [
        "line 2",
        "line 3 has no file_name",
        "line 4 is not a JSON object",
        "line 5",
    ]


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
COMPRESSIONS = pytest.mark.parametrize("packed", [bytes, gzip.compress])
FOX, FLAT = {"a.jpg": FileDescription(prompt="a füchs")}, '{"a.jpg": "a füchs"}'


@COMPRESSIONS
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("filename", "text", "content"),
    [
        (PROMPT_METADATA_JSON, FLAT, SidecarContent(files=FOX)),
        (COLLECTION_JSON, '{"title": "füchse"}', SidecarContent(title="füchse")),
        (METADATA_JSONL, '{"file_name": "a.jpg", "text": "a füchs"}\n', SidecarContent(files=FOX)),
        (METADATA_CSV, "file_name,text\na.jpg,a füchs\n", SidecarContent(files=FOX)),
    ],
)
def test_every_sidecar_is_read_in_every_encoding(filename, text, content, encoding, packed):
    assert read_sidecar(filename, packed(text.encode(encoding))) == content


@COMPRESSIONS
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_caption_is_read_in_every_encoding(encoding, packed):
    assert read_caption(packed("a füchs\n".encode(encoding))) == ("a füchs", None)


def test_a_sidecar_that_decompresses_to_too_much_is_not_read():
    bomb = gzip.compress(b" " * 100_000_000)
    for filename in (PROMPT_METADATA_JSON, COLLECTION_JSON, METADATA_JSONL, METADATA_CSV):
        content = read_sidecar(filename, bomb)
        assert content == SidecarContent(problems=content.problems)
        assert "decompresses to more than" in content.problems[0]
    assert "decompresses to more than" in read_caption(bomb)[1]


@pytest.mark.parametrize(
    "bad",
    ['"an owl \\ud83e"', "1e999", "NaN", "-Infinity", "[" * 300 + "]" * 300, "[" * 50_000 + "]" * 50_000, "9" * 5000],
)
def test_a_bad_value_is_the_only_value_that_a_sidecar_loses(bad):
    content = read_sidecar(
        PROMPT_METADATA_JSON, f'{{"a.jpg": {{"prompt": {bad}, "good": false}}, "b.jpg": "a fox"}}'.encode()
    )
    assert content.files == {"a.jpg": FileDescription(good=False), "b.jpg": FileDescription(prompt="a fox")}
    assert content.problems[0].startswith("a.jpg.prompt")

    generation = f'{{"generation_id": 1, "generated_at": "2026-03-01", "metadata": {{"x": {bad}, "y": 1}}}}'
    content = read_sidecar(COLLECTION_JSON, f'{{"title": "Foxes", "generations": [{generation}]}}'.encode())
    assert (content.title, content.generations[0].metadata["y"]) == ("Foxes", 1)
    assert ("x" in content.generations[0].metadata) == bad.startswith("[")  # its nesting is within the limit
    assert content.problems[0].startswith("generations.0.metadata.x")
    json.dumps(content.generations[0].model_dump(mode="json"), allow_nan=False).encode()

    rows = [f'{{"file_name": "a.jpg", "text": {bad}, "good": false}}', '{"file_name": "b.jpg", "text": "a fox"}']
    content = read_sidecar(METADATA_JSONL, "\n".join(rows).encode())
    assert content.files == {"a.jpg": FileDescription(good=False), "b.jpg": FileDescription(prompt="a fox")}
    assert content.problems[0].startswith("line 1: text")


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"file_name": "./a.png"}, ["./a.png", "a.png"]),
        ({"file_name": "sub\\b.png"}, ["sub/b.png", "sub\\b.png"]),
        ({"file_name": ".\\sub\\b.png"}, [".\\sub\\b.png", "sub/b.png"]),
        ({"file_name": "sub//b.png"}, ["sub//b.png", "sub/b.png"]),
        ({"file_name": "sub/../a.png"}, ["a.png", "sub/../a.png"]),
        ({"image_file_name": "a.png"}, ["a.png"]),
        ({"file_names": ["a.png", "b.png"]}, ["a.png", "b.png"]),
    ],
)
def test_names_are_resolved_as_the_loader_resolves_them(row, names):
    content = lines(row | {"text": "a fox"})
    assert content == SidecarContent(files=dict.fromkeys(names, FileDescription(prompt="a fox")))


def test_an_exact_name_takes_precedence_over_a_resolved_name():
    content = lines({"file_name": "./a.png", "text": "a fox"}, {"file_name": "a.png", "text": "a hare"})
    assert content.files["a.png"] == FileDescription(prompt="a hare")


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "C:\\a.png", "https://x/a.png", "..", ""])
def test_a_name_that_the_loader_refuses_is_a_problem(name):
    content = lines({"file_name": name, "text": "a fox"})
    assert not content.files
    assert content.problems[0].startswith("line 1")


@pytest.mark.parametrize(
    ("fields", "prompt", "problems"),
    [
        ({"text": 1984}, "1984", 0),
        ({"text": 0}, "0", 0),
        ({"text": 1.5}, "1.5", 0),
        ({"text": ["a fox", "a red fox"]}, "a fox", 1),
        ({"text": ["a fox"]}, "a fox", 0),
        ({"text": []}, None, 0),
        ({"prompt": None, "text": "a fox"}, "a fox", 0),
        ({"prompt": {"x": 1}, "text": "a fox"}, "a fox", 1),
        ({"prompt": True}, None, 1),
        ({"prompt": [[1]]}, None, 1),
    ],
)
def test_a_prompt_can_be_a_number_or_a_list_and_unused_values_are_a_problem(fields, prompt, problems):
    content = lines({"file_name": "a.png"} | fields)
    assert content.files == ({"a.png": FileDescription(prompt=prompt)} if prompt is not None else {})
    assert len(content.problems) == problems


ROWS = [{"file_name": "a.png", "text": "a fox"}, {"file_name": "b.png", "text": "a hare"}]


@pytest.mark.parametrize(
    "body",
    [
        "\r".join(json.dumps(row) for row in ROWS),
        "\r\n".join(json.dumps(row) for row in ROWS),
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        ",\n".join(json.dumps(row) for row in ROWS),
    ],
)
def test_a_jsonl_can_have_any_line_ends_and_layout(body):
    assert lines(body.encode()) == SidecarContent(
        files={"a.png": FileDescription(prompt="a fox"), "b.png": FileDescription(prompt="a hare")}
    )


def table(text):
    return read_sidecar(METADATA_CSV, text if isinstance(text, bytes) else text.encode())


def test_a_csv_has_the_same_content_as_a_jsonl():
    content = table(
        "file_name,text,good,hidden,labels,generation_id,split\r\n"
        'a.png,"a fox, ""red""\nat night",false,,"[""blurry"", ""left""]",7,train\r\n'
        "\r\n"
        "sub\\b.png,1984,TRUE,1,left,run 7\r\n"
    )
    second = FileDescription(prompt="1984", good=True, hidden=True, labels=("left",), generation_id="run 7")
    assert content == SidecarContent(
        files={
            "a.png": FileDescription(
                prompt='a fox, "red"\nat night', good=False, labels=("blurry", "left"), generation_id=7
            ),
            "sub/b.png": second,
            "sub\\b.png": second,
        }
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_csv_can_have_any_line_ends(end):
    assert table(end.join(["file_name,text", "a.png,a fox"])).files == {"a.png": FileDescription(prompt="a fox")}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("a.png,a fox\n", "has no column file_name"),
        ("file_name;text\na.png;a fox\n", "separate the columns with commas"),
        ("file_name,text\na.png,a fox,more\n", "line 2: it has 3 fields"),
        ("file_name,text\n,a fox\n", "line 2 has no file_name"),
        ("file_name,good\na.png,perhaps\n", "line 2.good"),
        ("file_name,text\na.png,Z\xfcrich\n".encode("latin-1"), "line 2.text: it is not UTF-8"),
    ],
)
def test_problems_of_a_csv_are_reported(body, words):
    assert words in table(body).problems[0]


def test_a_field_of_a_csv_above_its_limit_is_left_out():
    content = table(f"file_name,text\na.png,{'x' * 200_000}\nb.png,a fox\n")
    assert content.files == {"b.png": FileDescription(prompt="a fox")}
    assert content.problems == (f"line 2.prompt: it has 200000 bytes; the limit is {MAX_PROMPT_BYTES}",)


def test_parquet_is_not_supported():
    content = read_sidecar(METADATA_PARQUET, b"PAR1")
    assert content == SidecarContent(problems=("Parquet is not supported; provide metadata.jsonl instead",))


@pytest.mark.parametrize(
    ("field", "most", "too_much"),
    [
        ("prompt", "ü" * (MAX_PROMPT_BYTES // 2), "ü" * (MAX_PROMPT_BYTES // 2) + "x"),
        ("local_path", "x" * MAX_TEXT_BYTES, "x" * (MAX_TEXT_BYTES + 1)),
        ("generation_type", "x" * MAX_TEXT_BYTES, "x" * (MAX_TEXT_BYTES + 1)),
        ("generation_id", "x" * MAX_TEXT_BYTES, "x" * (MAX_TEXT_BYTES + 1)),
        ("labels", ["x" * MAX_TEXT_BYTES], ["x" * (MAX_TEXT_BYTES + 1)]),
        ("labels", ["x"] * MAX_LABELS, ["x"] * (MAX_LABELS + 1)),
    ],
)
def test_a_field_above_its_limit_is_left_out_with_a_problem_that_names_file_and_limit(field, most, too_much):
    assert prompts({"a.jpg": {field: most, "good": False}}).problems == ()
    content = prompts({"a.jpg": {field: too_much, "good": False}, "b.jpg": "a fox"})
    assert content.files == {"a.jpg": FileDescription(good=False), "b.jpg": FileDescription(prompt="a fox")}
    (problem,) = content.problems
    assert problem.startswith(f"a.jpg.{field}: ")
    assert (
        problem.endswith(f"the limit is {MAX_PROMPT_BYTES if field == 'prompt' else MAX_TEXT_BYTES}")
        or str(MAX_LABELS) in problem
    )
    assert not list(oversized_fields(FileDescription(**{field: most})))


def test_a_name_that_is_too_long_for_a_key_is_a_short_problem():
    content = prompts({"n" * 5000: "a fox", "b.jpg": "a hare"})
    assert content.files == {"b.jpg": FileDescription(prompt="a hare")}
    assert len(content.problems[0]) < 600


def test_collection_json_gives_the_title_and_declares_generations():
    content = collection_json(
        {"title": "Snow", "generations": [LORA | {"metadata": {"steps": [1, {"x": None}]}}], "more": 1}
    )
    declared = GenerationDeclaration(**LORA, metadata={"steps": [1, {"x": None}]})
    assert content == SidecarContent(title="Snow", generations=(declared,))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"title": 7}, "title: it must be text"),
        ({"title": "x" * (MAX_TITLE + 1)}, "title: it has 1001 characters"),
        ({"generations": {}}, "generations: it must be a list"),
        ({"generations": [LORA | {"generated_at": None}]}, "generations.0.generated_at: "),
        ({"generations": [{"generation_id": 7}]}, "generations.0.generated_at: Field required"),
        ({"generations": [7]}, "generations.0."),
        ({"generations": [LORA, LORA]}, "generations.1: lora 7 is already declared"),
    ],
)
def test_problems_of_a_collection_json_are_reported(document, words):
    (problem,) = collection_json(document).problems
    assert problem.startswith(words)


@pytest.mark.parametrize(
    ("body", "text"),
    [(b" a fox\n", "a fox"), ("\ufeffa hare".encode(), "a hare"), ("狐".encode(), "狐"), (b"\n", ""), (b"", "")],
)
def test_a_caption_is_its_text_without_blanks_around_it(body, text):
    assert read_caption(body) == (text, None)


def test_a_caption_that_is_not_utf_8_has_no_text():
    text, problem = read_caption(b"Z\xfcrich")
    assert text == ""
    assert "not UTF-8" in problem


@pytest.mark.parametrize("name", ["a.jpg", "a.PNG", "deep/a b.jpeg", "a.b.webp", ".jpg", "a.txt.png"])
def test_an_image_is_a_target_of_its_caption(name):
    assert is_image(name)
    assert is_caption(caption_filename(name))
    assert name in caption_targets(caption_filename(name))


@pytest.mark.parametrize("name", ["a.txt", "txt", "a.TXT", "a.json", "a", "a.jpg/", "jpg"])
def test_other_files_have_no_caption(name):
    assert not is_image(name)


DESCRIPTIONS = [
    NO_DESCRIPTION,
    FileDescription(prompt="x"),
    FileDescription(prompt="own"),
    FileDescription(good=False),
    FileDescription(good=True, hidden=False, labels=()),
    FileDescription(hidden=True, labels=("a",)),
    FileDescription(generation_id=9),
    FileDescription(generation_type="lora"),
    FileDescription(generation_id=7, generation_type="lora", generated_at=MORNING, local_path="/x"),
]
OWN = [
    entry(),
    entry(metadata={"prompt": "own", "generation-id": "7", "local-path": "/own"}),
    entry_of(present_with_metadata(prompt="own", generated_at=NOON, generation_type="run"), STYLE, LOCATION, "s3_scan"),
]


@pytest.mark.parametrize("own", OWN, ids=["bare", "with an id", "with a type"])
@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_strip_overrides_undoes_apply_overrides(own, description):
    assert strip_overrides(apply_overrides(own, description)) == own
    for other in DESCRIPTIONS:
        assert apply_overrides(strip_overrides(apply_overrides(own, description)), other) == apply_overrides(own, other)


@pytest.mark.parametrize("own", OWN)
def test_a_sidecar_overrides_the_metadata_of_the_object_and_keeps_it(own):
    described = apply_overrides(own, FileDescription(prompt="x", good=False, labels=("a",), generation_id=9))
    assert (described.prompt, described.good, described.labels, described.is_file) == ("x", False, ("a",), True)
    assert (described.generation_id, described.generation_type) == (9, "declared")
    assert described.overridden["prompt"] == own.prompt
    assert described.overridden["generation_id"] == own.generation_id


def test_a_hidden_entry_is_no_file():
    assert not apply_overrides(entry(), FileDescription(hidden=True)).is_file
    assert apply_overrides(entry(), FileDescription(hidden=False)) == entry()


FIRST, SECOND = (
    SidecarContent(files={"a.jpg": FileDescription(prompt="1")}),
    SidecarContent(files={"a.jpg": FileDescription(prompt="2")}),
)


@pytest.mark.parametrize(
    ("contents", "caption", "prompt"),
    [
        ((), None, None),
        ((), "c", "c"),
        ((), "", None),
        ((FIRST,), "c", "1"),
        ((FIRST, SECOND), "c", "1"),
        ((SECOND, FIRST), None, "2"),
        ((SidecarContent(files={"a.jpg": FileDescription(good=False)}), SECOND), "c", "2"),
        ((SidecarContent(files={"b.jpg": FileDescription(prompt="b")}),), "c", "c"),
    ],
)
def test_the_first_sidecar_with_a_value_takes_precedence_and_a_caption_is_last(contents, caption, prompt):
    assert merge_descriptions("a.jpg", contents, caption).prompt == prompt


def test_a_generation_id_keeps_its_own_type():
    untyped = SidecarContent(files={"a.jpg": FileDescription(generation_id=1)})
    typed = SidecarContent(files={"a.jpg": FileDescription(generation_id=2, generation_type="lora", good=False)})
    assert merge_descriptions("a.jpg", (untyped, typed)) == FileDescription(generation_id=1, good=False)
    assert merge_descriptions("a.jpg", (typed, untyped)) == FileDescription(
        generation_id=2, generation_type="lora", good=False
    )


def test_a_copy_has_the_descriptions_of_files_only():
    content = prompts({"a.jpg": FULL, "b.jpg": "a hare"})
    assert decode_content(encode_content(content)) == content
    assert decode_content(encode_content(collection_json({"title": "Snow"}))) == SidecarContent()


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("7", 7),
        ("", None),
        ("-1", None),
        ("7.0", None),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", None),
        ("9" * 18, None),
        ("9" * 17, 10**17 - 1),
    ],
)
def test_the_number_of_an_edit_is_a_plain_number(text, edit):
    assert edit_number({"edit": text}) == edit
    assert edit_number({}) is None
