"""Hugging Face's loader reads an ImageFolder."""

import json
import os
import subprocess
import sys

import pytest
from client.exports import IMAGES, STAMP, exported, file, of_generations

from s3_manifest_cli.local_stack.pictures import png

pytestmark = pytest.mark.readers

LOAD = """
import json, sys
from datasets import load_dataset

for argument, path in json.load(sys.stdin):
    try:
        loaded = load_dataset("imagefolder", split="train", **{argument: path})
        rows = [dict(row, image=row["image"].size) for row in loaded]
        answer = [rows, {name: str(feature) for name, feature in loaded.features.items()}]
    except Exception as error:
        answer = repr(error)
    print(json.dumps(answer, default=str))
"""


def load_all(tmp_path, *calls):
    """Loads each (argument, path) with Hugging Face's loader, offline; returns rows and features, or an error.

    In one process, since most of its time is its start.
    """
    own = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "huggingface"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        input=json.dumps([(argument, str(path)) for argument, path in calls]),
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def load(folder, tmp_path):
    """Loads a folder."""
    (answer,) = load_all(tmp_path, ("data_dir", folder))
    return answer


def load_file(path, tmp_path):
    """Loads a metadata file and the images that it names."""
    (answer,) = load_all(tmp_path, ("data_files", path))
    return answer


def write_images(folder, names):
    """Writes images of 1, 2, 3 … pixels; returns their entries by name."""
    for size, name in enumerate(sorted(names), 1):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(size, (200, 100, 50)))
    return [file(name, prompt=f"Prompt of {name}") for name in sorted(names)]


FORMATS = {"imagefolder": "metadata.jsonl", "imagefolder-parquet": "metadata.parquet"}
RESERVED = (
    "test shot.png",
    "test.png",
    "a train.png",
    "val-1.png",
    "dev/a.png",
    "best-eval/a.png",
    "a::b.png",
    "$HOME.png",
    "${HOME}.png",
    "notes.eval",
    "task.toml",
    "deep/metadata.jsonl",
    "deep/metadata.csv",
    "bundle.zip",
    "data/x-00000-of-00001.png",
)
"""Filenames that the loader misinterprets."""

UNRESERVED = (
    "contest.png",
    "testament.png",
    "Test.png",
    "devil/a.png",
    "a$.png",
    "a:b.png",
    "evaluated.png",
    "~a.png",
    "%HOME%.png",
)
"""Similar filenames that it reads correctly."""


def file_with_text(prompt):
    """Returns an entry with this text in each column of free text."""
    return file(
        "a.png", prompt=prompt, generation_id=prompt, generation_type=prompt, labels=(prompt,), local_path=prompt
    )


@pytest.mark.parametrize("format_name", FORMATS)
def test_hugging_face_loads_images_of_any_name_with_the_reported_call(format_name, tmp_path):
    folder = tmp_path / "images"
    names = ["plain.png", *(name for name in (*RESERVED, *UNRESERVED) if name.endswith(".png"))]
    entries = write_images(folder, names)
    (folder / "deep").mkdir()
    (folder / "deep/metadata.jsonl").write_text('{"file_name": "../plain.png", "text": "another row"}')
    entries.append(file("deep/metadata.jsonl"))
    body, result = exported(format_name, sorted(entries, key=lambda entry: entry.filename))
    (folder / FORMATS[format_name]).write_bytes(body)
    assert result.files == len(names)
    assert all(f'data_files="…/{FORMATS[format_name]}"' in problem.problem for problem in result.problems)
    rows, _ = load_file(folder / FORMATS[format_name], tmp_path)
    assert [(row["image"], row["text"]) for row in rows] == [
        ([size, size], f"Prompt of {name}") for size, name in enumerate(sorted(names), 1)
    ]


def test_a_name_that_hugging_face_misinterprets_is_a_problem(tmp_path):
    prompts, folders = {}, {}
    for number, name in enumerate(RESERVED):
        folder = folders[name] = tmp_path / f"images{number}"
        entries = write_images(folder, ["a.png", "b.png"])
        (folder / name).parent.mkdir(exist_ok=True)
        is_image = name.endswith(".png")
        (folder / name).write_bytes(png(9, (1, 2, 3)) if is_image else b'{"file_name": "../a.png", "text": "x"}')
        entries.append(file(name, prompt="x"))
        body, result = exported("imagefolder", entries)
        (folder / "metadata.jsonl").write_bytes(body)
        (problem,) = result.problems
        assert name in problem.problem
        prompts[name] = [entry.prompt for entry in (entries if is_image else entries[:2])]
    answers = load_all(tmp_path, *(("data_dir", folder) for folder in folders.values()))
    # Each reported problem is real: the loader does not return the rows with their prompts.
    for name, answer in zip(folders, answers, strict=True):
        assert isinstance(answer, str) or [row.get("text") for row in answer[0]] != prompts[name], name


def test_a_caption_with_a_reserved_name_is_a_problem():
    _, result = exported("imagefolder", [file("a.png")], captions=(file("test notes.txt", caption="x"),))
    assert "'test notes.txt'" in result.problems[0].problem


def test_names_similar_to_reserved_ones_are_no_problem(tmp_path):
    folder = tmp_path / "images"
    entries = write_images(folder, UNRESERVED)
    body, result = exported("imagefolder", entries)
    (folder / "metadata.jsonl").write_bytes(body)
    assert result.problems == ()
    rows, _ = load(folder, tmp_path)
    assert [row["text"] for row in rows] == [entry.prompt for entry in entries]


DATES = ["2024-01-01", "2024-01-01 10:00", "2024-01-01T10", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00+01:00"]
NON_DATES = ["2024", "2024-01", "20240101", "12:30", "1", "1e5", "true", "null", "NaN", " 2024-01-01", "2024-1-1", ""]


def load_prompts(format_name, tmp_path):
    """Yields each prompt with its loaded row, its features and its problems."""
    results, paths = {}, []
    for number, prompt in enumerate([*DATES, *NON_DATES]):
        folder = tmp_path / str(number)
        write_images(folder, ["a.png"])
        body, results[prompt] = exported(format_name, [file_with_text(prompt)], of_generations("x"))
        paths.append(folder / FORMATS[format_name])
        paths[-1].write_bytes(body)
    answers = load_all(tmp_path, *(("data_files", path) for path in paths))
    for (prompt, result), ((row,), features) in zip(results.items(), answers, strict=True):
        yield prompt, row, features, result.problems


def test_parquet_preserves_strings_that_resemble_other_types(tmp_path):
    for prompt, row, features, problems in load_prompts("imagefolder-parquet", tmp_path):
        columns = ("text", "generation_id", "generation_type", "local_path")
        assert [row[name] for name in columns] == [prompt] * 4
        assert (row["labels"], features["text"], problems) == ([prompt], "Value('string')", ())


def test_strings_that_json_lines_cannot_preserve_are_a_problem(tmp_path):
    for prompt, row, _, problems in load_prompts("imagefolder", tmp_path):
        assert (row["text"] == prompt) is (row["labels"] == [prompt]) is (problems == ()) is (prompt not in DATES)
        if problems:
            assert "generation_id and generation_type and labels and local_path and text" in problems[0].problem
            assert "imagefolder-parquet" in problems[0].problem


def test_dates_among_other_prompts_are_read_as_strings(tmp_path):
    write_images(tmp_path, ["a.png"])
    body, result = exported("imagefolder", [file("a.png", prompt=prompt) for prompt in (DATES[0], None)])
    (tmp_path / "metadata.jsonl").write_bytes(body)
    rows, _ = load_file(tmp_path / "metadata.jsonl", tmp_path)
    assert ([row["text"] for row in rows], result.problems) == ([DATES[0], ""], ())


def test_a_later_batch_with_only_dates_is_a_problem(tmp_path):
    write_images(tmp_path, ["a.png"])
    long = [file("a.png", prompt="long " * 30_000) for _ in range(70)]
    dates = [file("a.png", prompt=DATES[0], local_path="x" * 200_000) for _ in range(60)]
    body, result = exported("imagefolder", [*long, *dates])
    (tmp_path / "metadata.jsonl").write_bytes(body)
    rows, _ = load_file(tmp_path / "metadata.jsonl", tmp_path)
    assert rows[-1]["text"] != DATES[0]
    assert "datasets reads text as timestamps" in result.problems[0].problem


def test_hugging_face_loads_the_images_with_their_prompts(tmp_path):
    folder = tmp_path / "images"
    names = [name for name in IMAGES if "\\" not in name]
    entries = []
    for size, name in enumerate(names, 1):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(size, (200, 100, 50)))
        prompt = None if size == 1 else f"Prompt of\n{name}"
        entries.append(
            file(name, prompt=prompt, labels=("a", "b")[: size % 3], metadata={"seed": str(size)} if size > 2 else {})
        )
    entries += [file("notes.json"), file("zoo.txt")]
    body, result = exported("imagefolder", entries)
    (folder / "metadata.jsonl").write_bytes(body)
    assert (result.files, result.left_out, result.problems) == (len(names), 2, ())
    rows, features = load(folder, tmp_path)
    assert [tuple(row["image"]) for row in rows] == [(size, size) for size in range(1, len(names) + 1)]
    assert [row["text"] for row in rows] == [entry.prompt or "" for entry in entries[: len(names)]]
    assert [row["labels"] for row in rows] == [list(entry.labels) for entry in entries[: len(names)]]
    assert [json.loads(row["metadata"]) for row in rows] == [entry.metadata for entry in entries[: len(names)]]
    assert rows[0]["md5_hash"] == entries[0].md5_hash
    assert features["size_bytes"] == "Value('int64')"


def test_hugging_face_loads_a_column_whose_first_value_comes_late(tmp_path):
    (tmp_path / "a.png").write_bytes(png(2, (1, 2, 3)))
    entries = [file("a.png", prompt="long " * 20_000) for _ in range(130)]
    for number, late in {20: {"generated_at": STAMP}, 90: {"labels": ("dark",)}, 120: {"local_path": "a"}}.items():
        entries[number] = file("a.png", prompt=str(number), **late)
    entries[125] = file("a.png", labels=("light",))
    body, result = exported("imagefolder", entries)
    (tmp_path / "metadata.jsonl").write_bytes(body)
    assert (result.files, body.count(b"\n")) == (130, 130)
    rows, _ = load(tmp_path, tmp_path)
    expected = [entries[90], entries[120], *entries[:90], *entries[91:120], *entries[121:]]
    assert [(row["text"], row["labels"], row["local_path"]) for row in rows] == [
        (entry.prompt or "", list(entry.labels), entry.local_path) for entry in expected
    ]
