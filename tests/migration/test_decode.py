import gzip
import json

import pytest

from s3_manifest_cli.migration.decode import decode
from s3_manifest_cli.migration.legacy import Format, format_of

ACTOR = "data/actors/0042_european_30_male/training_data/manifest.json"
STYLE = "data/s3_manifests/style_16_s3_manifest.json"
SYNC = "data/actor_manifests/0042_manifest.json"
RESPONSE = "data/actors/0042_european_30_male/training_data/response.json"
MD5 = "0123456789abcdef0123456789abcdef"


def decoded(content, path=ACTOR):
    return decode(path, json.dumps(content).encode())


def image(**fields):
    """Decodes a manifest with one image that has these fields."""
    document = decoded({"images": [{"filename": "a.png"} | fields]})
    assert document.problems == ()
    return document.records[0]


@pytest.mark.parametrize(
    ("path", "format_"),
    [
        (STYLE, Format.STYLE),
        (ACTOR, Format.ACTOR),
        (SYNC, Format.ACTOR_SYNC),
        (RESPONSE, Format.RESPONSE),
        ("data/response.json", Format.RESPONSE),
        ("data/s3_manifests/style_a b_s3_manifest.json", Format.STYLE),
        ("data/s3_manifests/16_s3_manifest.json", None),
        ("data/actors/0042/manifest.json", None),
        ("data/actors/a/b/training_data/manifest.json", None),
        ("backup/data/s3_manifests/style_16_s3_manifest.json", None),
        ("response.json", None),
        ("data/my_response.json", None),
    ],
)
def test_the_path_determines_the_format_of_a_legacy_file(path, format_):
    assert format_of(path) == format_


@pytest.mark.parametrize(
    ("content", "filenames"),
    [
        ({"images": ["a.png", "b.png"]}, ["a.png", "b.png"]),
        ({"files": [{"file_name": "a.png"}, {"name": "b.png"}]}, ["a.png", "b.png"]),
        ({"training_images": {"a.png": {"prompt": "p"}, "b.png": "q"}}, ["a.png", "b.png"]),
        (["a.png", {"file": "b.png"}], ["a.png", "b.png"]),
        ({"generations": [{"images": ["a.png"]}], "images": ["b.png"]}, ["a.png", "b.png"]),
        ({"images": []}, []),
        ({"images": None}, []),
        ({}, []),
        ([], []),
    ],
)
def test_images_are_read_from_several_layouts(content, filenames):
    document = decoded(content)
    assert [record.filename for record in document.records] == filenames
    assert document.problems == ()


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({}, None),
        ({"good": True}, True),
        ({"good": False}, False),
        ({"good": 0}, False),
        ({"is_good": "yes"}, True),
        ({"bad": True}, False),
        ({"is_bad": 0}, True),
        ({"good": "rejected"}, False),
        ({"status": "Rejected"}, False),
        ({"status": "synced"}, None),
        ({"quality": "good"}, True),
    ],
)
def test_good_and_bad_are_read_from_several_fields(fields, good):
    assert image(**fields).description.good is good


@pytest.mark.parametrize(
    ("fields", "md5"),
    [
        ({"md5": MD5}, MD5),
        ({"md5_hash": MD5.upper()}, MD5),
        ({"etag": f'"{MD5}"'}, MD5),
        ({"etag": f"{MD5}-2", "hash": MD5}, MD5),
        ({"etag": f"{MD5}-2"}, None),
        ({"md5": None}, None),
        ({"md5": ""}, None),
        ({"md5": 7}, None),
    ],
)
def test_only_a_valid_md5_is_read(fields, md5):
    assert image(**fields).md5 == md5


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2025-10-11T10:00:00Z", "2025-10-11T10:00:00.000Z"),
        ("2025-10-11T12:00:00+02:00", "2025-10-11T10:00:00.000Z"),
        ("2025-10-11T10:00:00.123456", "2025-10-11T10:00:00.123Z"),
        ("2025-10-11", "2025-10-11T00:00:00.000Z"),
        (1_760_176_800, "2025-10-11T10:00:00.000Z"),
        (1_760_176_800_000, "2025-10-11T10:00:00.000Z"),
        ("", None),
        (None, None),
    ],
)
def test_timestamps_are_read_in_several_formats(value, moment):
    assert image(generated_at=value).description.generated_at == moment


def test_every_field_of_an_image_is_read():
    record = image(
        s3_key="k",
        s3_url="u",
        local_path="p",
        prompt="größe 🎨\n",
        tags="one, two",
        generation_id=3,
        generation_type="replicate_flux_kontext",
        sync_status="synced",
    )
    assert (record.key, record.url, record.path, record.status) == ("k", "u", "p", "synced")
    assert (record.description.prompt, record.description.labels) == ("größe 🎨\n", ("one", "two"))
    assert (record.description.generation_id, record.description.generation_type) == (3, "replicate_flux_kontext")


def test_images_inherit_the_id_type_and_time_of_their_generation():
    when = "2025-10-11T10:00:00.000Z"
    run = {"type": "flux", "generated_at": when, "metadata": {"seed": 1}, "model": "m", "images": ["a.png"]}
    document = decoded({"generations": [{"generation_id": 7}, run]})
    description = document.records[0].description
    assert (description.generation_id, description.generation_type, description.generated_at) == (2, "flux", when)
    (declared,) = document.generations  # the first has no time
    assert (declared.generation_id, declared.generated_at) == (2, when)
    assert declared.metadata == {"seed": 1, "model": "m"}


def test_an_image_with_its_own_generation_id_does_not_inherit_the_generation_type():
    document = decoded(
        {"generations": [{"id": 1, "type": "flux", "images": [{"file": "a.png", "generation_id": "x"}]}]}
    )
    assert (document.records[0].description.generation_id, document.records[0].description.generation_type) == (
        "x",
        None,
    )


def test_a_record_has_the_time_of_its_manifest_or_else_its_generation():
    run = {"generated_at": "2025-01-01T00:00:00Z", "images": [{"file": "a.png"}, {"file": "b.png", "updated_at": 0}]}
    times = [record.at for record in decoded({"generations": [run]}).records]
    assert times == ["2025-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"]
    later = decoded({"generations": [run], "last_synced": "2025-02-02T00:00:00Z"})
    assert later.records[0].at == "2025-02-02T00:00:00.000Z"


def test_an_api_response_describes_its_images():
    document = decoded(
        {
            "id": "r8x",
            "model": "flux",
            "created_at": "2025-01-01T00:00:00Z",
            "completed_at": "2025-01-01T00:01:00Z",
            "input": {"prompt": "p", "steps": 28},
            "output": ["https://replicate.delivery/x/out-0.png?e=1", {"filename": "out-1.png"}],
        },
        RESPONSE,
    )
    assert [record.filename for record in document.records] == ["out-0.png", "out-1.png"]
    assert {record.description.prompt for record in document.records} == {"p"}
    (declared,) = document.generations
    assert (declared.generation_id, declared.type, declared.generated_at) == ("r8x", "flux", "2025-01-01T00:01:00.000Z")
    assert declared.metadata == {"model": "flux", "input": {"steps": 28}}


@pytest.mark.parametrize("output", [None, [], ""])
def test_a_response_without_outputs_is_empty_and_valid(output):
    document = decoded({"id": "r", "input": {"prompt": "p"}, "output": output}, RESPONSE)
    assert (document.records, document.generations, document.problems) == ((), (), ())


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "it is not JSON"),
        (b'{"images": [', "it is not JSON"),
        (b'{"images": [{"filename": "a", "prompt": NaN}]}', "images.0.prompt: it is not a finite number"),
        ('{"prompt": "größe"}'.encode("latin-1"), "prompt: it contains a lone surrogate"),
        (b'{"prompt": "\\ud800"}', "prompt: it contains a lone surrogate"),
        (b'{"images": [{"filename": "a", "prompt": "' + b"x" * 70_000 + b'"}]}', "images.0.prompt: it has 70000 bytes"),
        (b"[" * 100_000, "it is not JSON"),
        (b'"text"', "not a JSON object"),
        (b'{"images": 7}', "images: must be a list"),
        (b'{"images": [7]}', "images.0: must be an object"),
        (b'{"images": [{}]}', "images.0: names no file"),
        (b'{"images": [{"filename": "a", "prompt": 7}]}', "images.0.prompt: must be text"),
        (b'{"images": [{"filename": "a", "good": "perhaps"}]}', "images.0.good: must be true or false"),
        (b'{"images": [{"filename": "a", "labels": {}}]}', "images.0.labels: must be a list"),
        (b'{"images": [{"filename": "a", "generated_at": "soon"}]}', "images.0.generated_at: 'soon' is not a time"),
        (b'{"images": [{"filename": "a", "generation_id": 1.5}]}', "images.0.generation_id: must be an integer"),
        (b'{"generations": [[]]}', "generations.0: must be an object"),
        (b'{"updated_at": 1e300}', "updated_at: 1e+300 is not a time"),
    ],
)
def test_a_problem_names_the_path_of_the_value(body, problem):
    (value,) = decode(ACTOR, body).problems
    assert value.startswith(problem)


def test_an_invalid_image_does_not_affect_the_others():
    document = decoded({"images": [{"filename": "a.png", "prompt": 7, "good": False}, 7, {"filename": "b.png"}]})
    assert [(record.filename, record.description.good) for record in document.records] == [
        ("a.png", False),
        ("b.png", None),
    ]
    assert len(document.problems) == 2


@pytest.mark.parametrize("output", [7, [7], {"detail": "no"}])
def test_an_invalid_output_is_a_problem(output):
    document = decoded({"id": "r", "output": output}, RESPONSE)
    assert (document.records, document.problems) == ((), ("output.0: must be a URL or a filename",))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_a_file_is_read_in_any_encoding(encoding, packed):
    assert decode(ACTOR, packed('{"images": ["größe.png"]}'.encode(encoding))).records[0].filename == "größe.png"


def test_a_value_that_json_cannot_represent_is_dropped():
    body = rb"""{"images": [
        {"filename": "a.png", "prompt": "an owl \ud83e", "good": false},
        {"filename": "b.png", "prompt": "a fox"}],
        "generations": [{"id": 1, "generated_at": "2026-03-01", "cfg": 1e999, "seed": 7, "images": ["c.png"]}]}"""
    document = decode(ACTOR, body)
    description = {record.filename: (record.description.prompt, record.description.good) for record in document.records}
    assert description == {"c.png": (None, None), "a.png": (None, False), "b.png": ("a fox", None)}
    assert document.generations[0].metadata == {"seed": 7}
    assert sorted(problem.partition(":")[0] for problem in document.problems) == [
        "generations.0.cfg",
        "images.0.prompt",
    ]
