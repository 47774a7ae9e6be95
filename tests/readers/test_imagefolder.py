"""What Hugging Face's loader makes of an ImageFolder."""

import json
import os
import subprocess
import sys

import pytest
from client.exports import IMAGES, STAMP, exported, file

from s3_manifest_cli.pictures import png

pytestmark = pytest.mark.readers

LOAD = """
import json, sys
from datasets import load_dataset

loaded = load_dataset("imagefolder", data_dir=sys.argv[1], split="train")
rows = [dict(row, image=row["image"].size) for row in loaded]
print(json.dumps([rows, {name: str(feature) for name, feature in loaded.features.items()}]))
"""


def load(folder, tmp_path):
    """What Hugging Face's loader makes of a folder, without a network."""
    own = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "huggingface"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", LOAD, str(folder)]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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


def test_hugging_face_loads_what_is_first_said_far_down(tmp_path):
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
