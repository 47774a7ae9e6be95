import csv
import io
import json
import subprocess
import sys

import pytest
from client.exports import FULL, ODD, PROMPT, STAMP, exported, facts, file
from pydantic_core import from_json

from s3_manifest.manifest.model import Entry
from s3_manifest_cli.client.export import FORMATS
from s3_manifest_cli.errors import Invalid

FORMULAS = ("=1+2", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1")  # noqa: RUF001


def rows(body, encoding="utf-8"):
    return list(csv.DictReader(io.StringIO(body.decode(encoding), newline="")))


def test_a_csv_reader_finds_each_field_of_each_file():
    body, result = exported("csv", [FULL, file("zoo.png")])
    assert (result.files, result.left_out, result.problems) == (2, 0, ())
    fox, zoo = rows(body)
    assert list(fox) == list(Entry.model_fields)
    assert (fox["filename"], fox["prompt"], fox["size_bytes"], fox["good"]) == ("fox.png", PROMPT, "5", "false")
    assert (fox["generation_id"], fox["generated_at"], zoo["generated_at"]) == ("3", STAMP, "")
    assert json.loads(fox["labels"]) == ["blurry", "dark, very"]
    assert json.loads(fox["metadata"]) == {"seed": "7"}
    assert json.loads(fox["checksum"]) == FULL.checksum
    assert json.loads(fox["overridden"]) == {"prompt": None}
    assert zoo["prompt"] == ""


def test_csv_ends_lines_as_in_rfc_4180_and_has_no_byte_order_mark():
    body, _ = exported("csv", [file("a.png")])
    assert body.startswith(b"filename,")
    assert body.count(b"\r\n") == 2
    assert body.endswith(b"\r\n")


@pytest.mark.parametrize("name", [*ODD, *FORMULAS])
def test_a_csv_holds_unusual_text_unchanged(name):
    body, _ = exported("csv", [file(name, prompt=name)])
    assert [(row["filename"], row["prompt"]) for row in rows(body)] == [(name, name)]


@pytest.mark.parametrize("text", FORMULAS)
def test_csv_for_spreadsheets_escapes_formulas_and_has_a_byte_order_mark(text):
    body, _ = exported("csv", [file("ü.png", prompt=text)], for_spreadsheets=True)
    assert body.startswith(b"\xef\xbb\xbf")
    [row] = rows(body, "utf-8-sig")
    assert (row["filename"], row["prompt"]) == ("ü.png", f"'{text}")


def test_json_lines_are_the_entries_of_the_manifest():
    entries = [FULL, *(file(name) for name in ODD)]
    body, result = exported("jsonl", entries)
    assert [Entry.model_validate(from_json(line)) for line in body.splitlines()] == entries
    assert result.files == len(entries)


def test_without_pyarrow_the_error_names_the_command_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Invalid, match=r"pip install .*\[parquet\]'"):
        FORMATS["parquet"].write(facts(), [], io.BytesIO())


def test_no_other_format_needs_pyarrow():
    code = "import sys; sys.modules['pyarrow'] = None; import s3_manifest_cli.client.export"
    subprocess.run([sys.executable, "-c", code], check=True)
