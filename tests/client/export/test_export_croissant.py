import json
from urllib.parse import unquote

from client.exports import FOR_CROISSANT, LICENSE, ODD, exported, facts, file, problems


def described(entries, of=None, **options):
    body, result = exported("croissant", entries, of, **(FOR_CROISSANT | options))
    return json.loads(body), result


def test_a_description_holds_what_croissant_requires():
    description, result = described([file("a.png")], facts(title="Dynamic Simplicity", revision=42))
    assert (result.files, result.problems) == (1, ())
    assert description["@type"] == "sc:Dataset"
    assert description["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert (description["name"], description["version"]) == ("Dynamic Simplicity", "42.0.0")
    assert (description["license"], description["url"]) == (LICENSE, FOR_CROISSANT["url"])
    assert description["creator"]["name"] == "The studio"
    assert description["datePublished"] == facts().created_at
    assert "revision 42" in description["description"]


def test_missing_properties_of_a_description_are_problems():
    description, result = described([file("a.png")], license=None, creator=None, url=None)
    assert [problem.s3_key for problem in result.problems] == ["styles/16/"] * 2
    assert ["license" in result.problems[0].problem, "creator" in result.problems[1].problem] == [True, True]
    assert description.keys().isdisjoint({"license", "creator"})
    assert (description["name"], description["url"]) == ("style 16", "s3://storyboard-user-files/styles/16/")


def test_each_file_has_its_url_its_size_and_its_checksums():
    description, _ = described([file("a b.png"), file("c.png", checksum=None, content_type=None)])
    first, second = description["distribution"]
    entry = file("a b.png")
    assert first == {
        "@type": "cr:FileObject",
        "@id": "files/a%20b.png",
        "name": "a b.png",
        "contentUrl": entry.s3_url,
        "contentSize": "5 B",
        "encodingFormat": "image/png",
        "md5": entry.md5_hash,
        "sha256": "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9",
    }
    assert (second["encodingFormat"], "sha256" in second) == ("application/octet-stream", False)


def test_a_file_without_a_checksum_is_a_problem():
    description, result = described([file("a.png", md5_hash=None, checksum=None), file("b.png", md5_hash=None)])
    assert [file["name"] for file in description["distribution"]] == ["b.png"]
    assert [record["records/file"] for record in description["recordSet"][0]["data"]] == ["b.png"]
    assert problems(result) == {"a.png": "neither its MD5 nor its SHA-256 is known"}


def test_ids_are_unique_relative_iris_and_each_record_has_every_field():
    names = [*ODD, "file", "https://example.org/a.png", "records"]
    description, _ = described([file(name) for name in names])
    ids = [file["@id"] for file in description["distribution"]]
    assert [unquote(value.removeprefix("files/")) for value in ids] == names
    [records] = description["recordSet"]
    fields = [record["@id"] for record in records["field"]]
    assert len({*ids, *fields, records["@id"]}) == len(ids) + len(fields) + 1
    assert all(list(record) == fields for record in records["data"])
    assert [record["name"] for record in records["field"] if record.get("repeated")] == ["labels"]


def test_an_empty_collection_has_no_records():
    description, result = described([])
    assert (description["distribution"], description["recordSet"], result.files) == ([], [], 0)
