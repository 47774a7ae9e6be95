import json
import subprocess
import sys
from urllib.parse import unquote

import pytest
from client.exports import ODD, exported, facts, file, problems

LICENSE = "https://creativecommons.org/publicdomain/zero/1.0/"
GIVEN = {"license": LICENSE, "creator": "The studio", "url": "https://example.org/styles/16"}
READ = """
import json, sys
import mlcroissant

dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = dataset.metadata.ctx.issues
files = [[one.name, one.content_url, one.md5, one.sha256] for one in dataset.metadata.distribution]
text = lambda value: value.decode() if isinstance(value, bytes) else value
records = [
    {name: [text(one) for one in value] if isinstance(value, list) else text(value) for name, value in row.items()}
    for row in dataset.records("records")
]
print(json.dumps([sorted(issues.errors), sorted(issues.warnings), files, records], default=str))
"""


def described(entries, of=None, **given):
    body, result = exported("croissant", entries, of, **(GIVEN | given))
    return json.loads(body), result


def test_a_description_says_what_croissant_requires():
    said, result = described([file("a.png")], facts(title="Dynamic Simplicity", revision=42))
    assert (result.files, result.problems) == (1, ())
    assert said["@type"] == "sc:Dataset"
    assert said["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert (said["name"], said["version"]) == ("Dynamic Simplicity", "42.0.0")
    assert (said["license"], said["url"]) == (LICENSE, GIVEN["url"])
    assert said["creator"]["name"] == "The studio"
    assert said["datePublished"] == facts().created_at
    assert "revision 42" in said["description"]


def test_what_the_manifest_does_not_know_and_nobody_gave_is_told():
    said, result = described([file("a.png")], license=None, creator=None, url=None)
    assert [one.s3_key for one in result.problems] == ["styles/16/"] * 2
    assert ["license" in result.problems[0].problem, "creator" in result.problems[1].problem] == [True, True]
    assert said.keys().isdisjoint({"license", "creator"})
    assert (said["name"], said["url"]) == ("style 16", "s3://storyboard-user-files/styles/16/")


def test_each_file_has_its_url_its_size_and_its_checksums():
    said, _ = described([file("a b.png"), file("c.png", checksum=None, content_type=None)])
    one, other = said["distribution"]
    entry = file("a b.png")
    assert one == {
        "@type": "cr:FileObject",
        "@id": "files/a%20b.png",
        "name": "a b.png",
        "contentUrl": entry.s3_url,
        "contentSize": "5 B",
        "encodingFormat": "image/png",
        "md5": entry.md5_hash,
        "sha256": "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9",
    }
    assert (other["encodingFormat"], "sha256" in other) == ("application/octet-stream", False)


def test_a_file_without_a_checksum_is_told():
    said, result = described([file("a.png", md5_hash=None, checksum=None), file("b.png", md5_hash=None)])
    assert [one["name"] for one in said["distribution"]] == ["b.png"]
    assert [one["records/file"] for one in said["recordSet"][0]["data"]] == ["b.png"]
    assert problems(result) == {"a.png": "neither its MD5 nor its SHA-256 is known"}


def test_ids_are_unique_relative_iris_and_each_record_has_every_field():
    names = [*ODD, "file", "https://example.org/a.png", "records"]
    said, _ = described([file(name) for name in names])
    ids = [one["@id"] for one in said["distribution"]]
    assert [unquote(one.removeprefix("files/")) for one in ids] == names
    [records] = said["recordSet"]
    fields = [one["@id"] for one in records["field"]]
    assert len({*ids, *fields, records["@id"]}) == len(ids) + len(fields) + 1
    assert all(list(record) == fields for record in records["data"])
    assert [one["name"] for one in records["field"] if one.get("repeated")] == ["labels"]


def test_an_empty_collection_has_no_records():
    said, result = described([])
    assert (said["distribution"], said["recordSet"], result.files) == ([], [], 0)


@pytest.mark.slow
def test_mlcommons_own_reader_reads_it(tmp_path):
    more = {"prompt": "a fox,\nat dawn", "labels": ("dark", "blurry"), "good": False, "generation_id": 3}
    names = sorted(ODD)
    entries = [file(name, **(more if name == "a b.png" else {})) for name in names]
    body, _ = exported("croissant", entries, **GIVEN)
    (tmp_path / "croissant.json").write_bytes(body)
    command = [sys.executable, "-c", READ, str(tmp_path / "croissant.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "not standard" not in done.stderr
    errors, warnings, files, records = json.loads(done.stdout)
    assert errors == []
    assert all("citeAs" in one for one in warnings), warnings
    assert [one[:2] for one in files] == [[one.filename, one.s3_url] for one in entries]
    assert all(one[2] == entry.md5_hash and len(one[3]) == 64 for one, entry in zip(files, entries, strict=True))
    assert [one["records/file"] for one in records] == names
    fox = records[names.index("a b.png")]
    assert (fox["records/prompt"], fox["records/good"], fox["records/labels"]) == (
        more["prompt"],
        False,
        ["dark", "blurry"],
    )
    assert (fox["records/size_bytes"], fox["records/generation_id"]) == (5, "3")
