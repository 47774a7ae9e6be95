"""MLCommons' mlcroissant reads the Croissant export."""

import json
import subprocess
import sys

import pytest
from client.exports import FOR_CROISSANT, ODD, exported, file

pytestmark = pytest.mark.readers

READ = """
import json, sys
import mlcroissant

dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = dataset.metadata.ctx.issues
files = [[file.name, file.content_url, file.md5, file.sha256] for file in dataset.metadata.distribution]
text = lambda value: value.decode() if isinstance(value, bytes) else value
records = [
    {name: [text(entry) for entry in value] if isinstance(value, list) else text(value) for name, value in row.items()}
    for row in dataset.records("records")
]
print(json.dumps([sorted(issues.errors), sorted(issues.warnings), files, records], default=str))
"""


def test_mlcroissant_reads_the_croissant_export(tmp_path):
    description = {"prompt": "a fox,\nat dawn", "labels": ("dark", "blurry"), "good": False, "generation_id": 3}
    names = sorted(ODD)
    entries = [file(name, **(description if name == "a b.png" else {})) for name in names]
    body, _ = exported("croissant", entries, **FOR_CROISSANT)
    (tmp_path / "croissant.json").write_bytes(body)
    command = [sys.executable, "-c", READ, str(tmp_path / "croissant.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "not standard" not in done.stderr
    errors, warnings, files, records = json.loads(done.stdout)
    assert errors == []
    assert all("citeAs" in warning for warning in warnings), warnings
    assert [file[:2] for file in files] == [[entry.filename, entry.s3_url] for entry in entries]
    assert all(
        md5 == entry.md5_hash and len(sha256) == 64 for (*_, md5, sha256), entry in zip(files, entries, strict=True)
    )
    assert [record["records/file"] for record in records] == names
    fox = records[names.index("a b.png")]
    assert (fox["records/prompt"], fox["records/good"], fox["records/labels"]) == (
        description["prompt"],
        False,
        ["dark", "blurry"],
    )
    assert (fox["records/size_bytes"], fox["records/generation_id"]) == (5, "3")
