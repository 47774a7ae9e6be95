"""pyarrow reads the Parquet exports."""

import io
import json
import os
import threading
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from client.exports import FULL, PROMPT, exported, facts, file

from s3_manifest.manifest.encoding import facts_json
from s3_manifest.manifest.model import Entry
from s3_manifest_cli.client.export import FORMATS
from s3_manifest_cli.client.export.tables import ROW_GROUP

pytestmark = pytest.mark.readers


def test_parquet_columns_have_types():
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


def test_parquet_contains_the_facts_of_the_collection():
    body, _ = exported("parquet", [])
    stored_facts = pq.read_schema(io.BytesIO(body)).metadata[b"s3_manifest"]
    assert json.loads(stored_facts) == json.loads(
        json.dumps(facts_json(facts()), default=lambda model: model.model_dump())
    )


def test_the_parquet_export_keeps_at_most_one_row_group_in_memory():
    consumed = 0
    written = []

    class Out(io.BytesIO):
        def write(self, data):
            written.append(consumed)
            return super().write(data)

    def entries():
        nonlocal consumed
        for _ in range(2 * ROW_GROUP + 1):
            consumed += 1
            yield FULL

    out = Out()
    assert FORMATS["parquet"].write(facts(), entries(), out).files == 2 * ROW_GROUP + 1
    assert any(0 < so_far <= ROW_GROUP for so_far in written)
    groups = pq.ParquetFile(io.BytesIO(out.getvalue())).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [ROW_GROUP, ROW_GROUP, 1]


def test_the_parquet_export_writes_to_a_pipe_and_leaves_it_open():
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
