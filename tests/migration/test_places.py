import pytest
from migration.buckets import KINDS

from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord
from s3_manifest_cli.migration.places import (
    Files,
    InvalidReference,
    candidate_paths,
    collection_of,
    filename_of,
    locate,
)

NAME = "0042_european_30_male"
ACTOR = KINDS.lookup("actor", NAME)
STYLE = KINDS.lookup("style", "16")
FOLDER = f"data/actors/{NAME}/training_data"


def document(*ids, format_=Format.ACTOR_SYNC, **record):
    records = (ImageRecord(where="images.0", **record),) if record else ()
    return Document(path="data/actor_manifests/x_manifest.json", format=format_, ids=ids, records=records)


@pytest.mark.parametrize(
    ("ids", "id_"),
    [
        ((NAME,), NAME),
        (("0042", NAME), NAME),
        (("42", "Anna Smith"), NAME),
        (("0042",), NAME),
        (("7",), "7"),
        (("anna",), "anna"),
        (("a/b", "anna"), "anna"),
    ],
)
def test_an_actor_is_found_by_its_full_name_or_its_number(ids, id_):
    assert collection_of(document(*ids), KINDS, {NAME, "0043_african_20_female"}).id == id_


def test_a_number_shared_by_two_actors_is_ambiguous():
    with pytest.raises(InvalidReference, match="0042 is ambiguous: 0042_a, 0042_b"):
        collection_of(document("0042"), KINDS, {"0042_a", "0042_b"})


def test_the_number_of_a_style_is_its_id():
    assert collection_of(document("16", format_=Format.STYLE), KINDS, {"0016_a"}) == STYLE


def test_s3_keys_determine_the_collection_of_a_manifest():
    assert collection_of(document("0099", key=f"{ACTOR.prefix}a.png"), KINDS, set()) == ACTOR


def test_a_manifest_without_a_name_has_no_collection():
    with pytest.raises(InvalidReference):
        collection_of(document("a/b"), KINDS, set())


@pytest.mark.parametrize(
    ("fields", "filename"),
    [
        ({"filename": "a.png"}, "a.png"),
        ({"filename": "deep/a.png"}, "deep/a.png"),
        ({"key": f"{ACTOR.prefix}deep/a b.png", "filename": "a.png"}, "deep/a b.png"),
        ({"key": f"/{ACTOR.prefix}a.png"}, "a.png"),
        ({"url": f"s3://bucket/{ACTOR.prefix}a%20b.png"}, "a b.png"),
        ({"url": f"https://bucket.s3.amazonaws.com/{ACTOR.prefix}a%20b.png?X-Amz-Signature=x"}, "a b.png"),
        ({"url": f"https://s3.eu-central-1.amazonaws.com/bucket/{ACTOR.prefix}a.png"}, "a.png"),
        ({"url": "https://replicate.delivery/x/out-0.png", "filename": "a.png"}, "a.png"),
        ({"path": f"/Users/anna/{FOLDER}/deep/a.png"}, "deep/a.png"),
        ({"path": "C:\\images\\a.png"}, "a.png"),
        ({"filename": f"{FOLDER}/a.png"}, "a.png"),
    ],
)
def test_the_filename_comes_from_the_key_the_url_the_name_or_the_path(fields, filename):
    assert filename_of(ImageRecord(where="", **fields), ACTOR, KINDS) == filename


@pytest.mark.parametrize(
    "fields",
    [
        {"filename": "../a.png"},
        {"filename": "x/../../a.png"},
        {"filename": "/etc/passwd"},
        {"filename": "..\\a.png"},
        {"filename": "a\n.png"},
        {"filename": "a\x00.png"},
        {"filename": "."},
        {"filename": "a/"},
        {"filename": "x" * 1024},
        {"filename": "prompt_metadata.json"},
        {"filename": "collection.json"},
        {"key": f"{ACTOR.prefix}../a.png"},
        {"key": "styles/16/a.png", "filename": "a.png"},
        {"key": "somewhere/else/a.png"},
        {"url": f"s3://bucket/{ACTOR.prefix}%2e%2e/a.png"},
        {"url": "https://[bad"},
    ],
)
def test_names_outside_the_collection_are_rejected(fields):
    with pytest.raises(InvalidReference):
        filename_of(ImageRecord(where="", **fields), ACTOR, KINDS)


@pytest.mark.parametrize(
    ("path", "candidates"),
    [
        ("data/a.png", ["data/a.png", "data/x/data/a.png"]),
        ("a.png", ["a.png", "data/x/a.png"]),
        ("./a.png", ["a.png", "data/x/a.png"]),
        ("../a.png", ["data/a.png"]),
        ("..\\a.png", ["data/a.png"]),
        ("/Users/anna/tree/data/actors/a.png", ["data/actors/a.png"]),
        ("C:\\tree\\data\\actors\\a.png", ["data/actors/a.png"]),
        ("/etc/passwd", []),
    ],
)
def test_a_local_path_has_candidates_in_the_tree(path, candidates):
    assert candidate_paths(path, "data/x") == candidates


@pytest.mark.parametrize("path", ["../../../etc/passwd", "/x/data/../../etc/passwd", "a\x00", "../.."])
def test_a_path_outside_the_tree_is_rejected(path):
    with pytest.raises(InvalidReference):
        candidate_paths(path, "data/x")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("elsewhere/a.png", "elsewhere/a.png"),
        ("gone/a.png", f"{FOLDER}/a.png"),
        (None, f"{FOLDER}/a.png"),
    ],
)
def test_a_file_of_an_actor_is_found_at_its_path_or_in_the_training_data_folder(path, expected):
    files = Files(["elsewhere/a.png", f"{FOLDER}/a.png"])
    record = ImageRecord(where="", filename="a.png", path=path)
    assert locate(record, document(NAME), "a.png", ACTOR, files).path == expected


@pytest.mark.parametrize(("on_disk", "named"), [("a.JPG", "a.jpg"), ("gro\u0308ße.png", "größe.png")])
def test_a_file_is_found_despite_different_case_or_unicode_normalization(on_disk, named):
    assert Files([on_disk]).find(named) == on_disk


def test_files_that_differ_only_in_case_require_the_exact_name():
    files = Files(["A.png", "a.png"])
    assert (files.find("a.png"), files.find("a.PNG")) == ("a.png", None)
