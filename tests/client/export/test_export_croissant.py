import json
from urllib.parse import unquote

from client.exports import FOR_CROISSANT, LICENSE, ODD, exported, facts, file, problems


def described(entries, of=None, **given):
    body, result = exported("croissant", entries, of, **(FOR_CROISSANT | given))
    return json.loads(body), result


def test_a_description_says_what_croissant_requires():
    said, result = described([file("a.png")], facts(title="Dynamic Simplicity", revision=42))
    assert (result.files, result.problems) == (1, ())
    assert said["@type"] == "sc:Dataset"
    assert said["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert (said["name"], said["version"]) == ("Dynamic Simplicity", "42.0.0")
    assert (said["license"], said["url"]) == (LICENSE, FOR_CROISSANT["url"])
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
