import csv
import io
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from client.exports import ODD, STAMP, exported, facts, file
from pydantic_core import from_json

from s3_manifest.model import Entry, facts_json
from s3_manifest_cli.client.export import FORMATS
from s3_manifest_cli.client.export.parquet import ROW_GROUP
from s3_manifest_cli.errors import Invalid

PROMPT = 'a "fox", at\r\ndawn; 100 €\n'
FULL = file(
    "fox.png",
    prompt=PROMPT,
    labels=("blurry", "dark, very"),
    metadata={"seed": "7"},
    generated_at=STAMP,
    generation_id=3,
    good=False,
    overridden={"prompt": None},
)
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


def test_csv_has_lines_as_rfc_4180_wants_them_and_no_byte_order_mark():
    body, _ = exported("csv", [file("a.png")])
    assert body.startswith(b"filename,")
    assert body.count(b"\r\n") == 2
    assert body.endswith(b"\r\n")


@pytest.mark.parametrize("name", [*ODD, *FORMULAS])
def test_a_csv_is_exact(name):
    body, _ = exported("csv", [file(name, prompt=name)])
    assert [(row["filename"], row["prompt"]) for row in rows(body)] == [(name, name)]


@pytest.mark.parametrize("text", FORMULAS)
def test_for_spreadsheets_no_text_is_a_formula_and_it_is_known_for_utf_8(text):
    body, _ = exported("csv", [file("ü.png", prompt=text)], for_spreadsheets=True)
    assert body.startswith(b"\xef\xbb\xbf")
    [row] = rows(body, "utf-8-sig")
    assert (row["filename"], row["prompt"]) == ("ü.png", f"'{text}")


def test_json_lines_are_the_entries_of_the_manifest():
    entries = [FULL, *(file(name) for name in ODD)]
    body, result = exported("jsonl", entries)
    assert [Entry.model_validate(from_json(line)) for line in body.splitlines()] == entries
    assert result.files == len(entries)


def test_parquet_has_types():
    body, result = exported("parquet", [FULL, file("zoo.png", checksum=None)])
    table = pq.read_table(io.BytesIO(body))
    assert table.schema.names == list(Entry.model_fields)
    assert table.schema.field("size_bytes").type == pa.int64()
    assert table.schema.field("last_modified").type == pa.timestamp("ms", tz="UTC")
    fox, zoo = table.to_pylist()
    assert fox["generated_at"] == datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
    assert (fox["prompt"], fox["size_bytes"], fox["good"], fox["generation_id"]) == (PROMPT, 5, False, "3")
    assert (fox["labels"], dict(fox["metadata"])) == (["blurry", "dark, very"], {"seed": "7"})
    assert dict(fox["checksum"]) == FULL.checksum
    assert json.loads(fox["overridden"]) == {"prompt": None}
    assert (zoo["generated_at"], zoo["prompt"], zoo["checksum"], zoo["labels"]) == (None, None, None, [])
    assert result.files == 2


def test_parquet_says_which_collection_and_revision_it_is_of():
    body, _ = exported("parquet", [])
    of = pq.read_schema(io.BytesIO(body)).metadata[b"s3_manifest"]
    assert json.loads(of) == json.loads(json.dumps(facts_json(facts()), default=lambda one: one.model_dump()))


def test_parquet_holds_one_row_group_in_memory():
    taken = 0
    written = []

    class Out(io.BytesIO):
        def write(self, data):
            written.append(taken)
            return super().write(data)

    def entries():
        nonlocal taken
        for _ in range(2 * ROW_GROUP + 1):
            taken += 1
            yield FULL

    out = Out()
    assert FORMATS["parquet"].write(facts(), entries(), out).files == 2 * ROW_GROUP + 1
    assert any(0 < so_far <= ROW_GROUP for so_far in written)
    groups = pq.ParquetFile(io.BytesIO(out.getvalue())).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [ROW_GROUP, ROW_GROUP, 1]


def test_parquet_goes_through_a_pipe_and_leaves_it_open():
    reading, writing = os.pipe()
    body = []
    with os.fdopen(reading, "rb") as source:
        reader = threading.Thread(target=lambda: body.append(source.read()))
        reader.start()
        with os.fdopen(writing, "wb", buffering=0) as out:
            FORMATS["parquet"].write(facts(), [FULL], out)
            assert not out.closed
        reader.join(10)
    assert body == [exported("parquet", [FULL])[0]]


def test_without_pyarrow_parquet_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Invalid, match=r"pip install 's3-manifest\[parquet\]'"):
        FORMATS["parquet"].write(facts(), [], io.BytesIO())


def test_no_other_format_needs_pyarrow():
    code = "import sys; sys.modules['pyarrow'] = None; import s3_manifest_cli.client.export"
    subprocess.run([sys.executable, "-c", code], check=True)
