"""The error messages for wrong calls of a command."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "pictures", "style/17"], "Did you mean 's3-manifest pull style/17 pictures'?"),
        (["push", "style/17", "pictures"], "Did you mean 's3-manifest push pictures style/17'?"),
        (["sync", "style/17", "pictures"], "Did you mean 's3-manifest sync pictures style/17'?"),
        (["status", "style/17", "pictures"], "Did you mean 's3-manifest status pictures style/17'?"),
        (["verify", "style/17", "pictures"], "Did you mean 's3-manifest verify pictures style/17'?"),
        (["restore", "pictures", "style/17"], "Did you mean 's3-manifest restore style/17 pictures'?"),
    ],
)
def test_arguments_in_the_wrong_order_are_recognized(sides, arguments, message):
    assert f"Error: 'pictures' is not a collection. {message}" in sides.call(*arguments, exit_code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "pictures", "elsewhere"], "'pictures' is not a collection. Write KIND/ID, such as"),
        (["pull", "style/16"], "Missing argument LOCAL."),
        (["push", "pictures"], "Missing argument COLLECTION."),
        (["sync"], "Missing arguments COLLECTION and LOCAL."),
        (["restore"], "Missing argument COLLECTION."),
        (["restore", "style/16"], "Missing argument LOCAL (or --in-s3)."),
        (["verify", "pictures"], "Missing argument COLLECTION."),
        (["verify"], "Missing arguments LOCAL and COLLECTION."),
        (["verify", "--remote"], "Missing argument COLLECTION."),
        (["status", "pictures"], "Missing argument COLLECTION."),
    ],
)
def test_a_missing_argument_is_named(sides, arguments, message):
    assert f"Error: {message}" in sides.call(*arguments, exit_code=2).stderr


def test_the_error_for_a_time_before_the_history_names_its_start(sides):
    sides.put("a.png")
    began = sides.head.last_synced
    answer = sides.call("info", "style/16", "--at", "1999-01-01", exit_code=3)
    assert answer.stderr == f"Error: style/16 had no manifest on 1999-01-01. Its history starts at {began}\n"


def test_a_manifest_that_was_copied_from_another_bucket_is_recognized(sides):
    sides.put("a.png")
    key = sides.collection.head_key
    body = sides.bucket.body(key).replace(f'"s3_bucket":"{sides.bucket.name}"'.encode(), b'"s3_bucket":"other"')
    sides.bucket.put(key, body)
    for call in (
        ("pull", "style/16", sides.folder),
        ("push", sides.folder, "style/16"),
        ("restore", "style/16", sides.folder),
    ):
        assert (
            "Error: This manifest describes s3://other/styles/16/, but you asked for"
            f" s3://{sides.bucket.name}. Pass --bucket other"
        ) in sides.call(*call, exit_code=2).stderr


def test_status_hints_name_the_side_that_they_update(sides):
    sides.put("a.png")
    sides.write("b.png")
    lines = sides.call("status", sides.folder, "style/16", exit_code=1).stdout.splitlines()
    assert f"To update the local folder: s3-manifest pull style/16 {sides.folder}" in lines
    assert f"To update S3: s3-manifest push {sides.folder} style/16" in lines
