"""``s3-manifest restore``, as a user calls it."""

import json
import time

import pytest
from client.sides import bytes_by_name
from client.transfers import random_bytes

from s3_manifest_cli.client.transfer import copying


@pytest.fixture
def past(sides):
    """A style in a versioned bucket: since revision 1 one file was replaced, one deleted and one added."""
    versioning = {"Status": "Enabled"}
    sides.bucket.client.put_bucket_versioning(Bucket=sides.bucket.name, VersioningConfiguration=versioning)
    sides.put("a.png", "b.png", "deep/c.png", Metadata={"prompt": "a fox"}, ContentType="image/png")
    time.sleep(0.01)
    sides.put("a.png", body=b"replaced")
    sides.delete("b.png")
    sides.put_uncommitted("new.png")
    sides.commit("b.png", "new.png")
    assert sides.head.revision == 3
    return sides


NOW = bytes_by_name("deep/c.png", "new.png") | {"a.png": b"replaced"}
THEN = bytes_by_name("a.png", "b.png", "deep/c.png")


def test_a_folder_gets_the_files_of_a_revision(past):
    answer = past.restore(past.folder, "--revision", 1)
    assert past.files == THEN
    assert "Downloaded 3 files" in answer.stdout
    assert past.objects == NOW


def test_a_folder_gets_the_files_at_a_time(past):
    (first,) = (change for change in past.deployment.manifests.changes(past.collection, 0, 1))
    past.restore(past.folder, "--at", first.committed_at)
    assert past.files == THEN


def test_a_folder_gets_the_current_files(past):
    past.restore(past.folder)
    assert past.files == NOW


def test_with_delete_a_folder_has_only_the_files_of_the_revision(past):
    past.pull()
    past.write("mine.png")
    past.restore(past.folder, "--revision", 1)
    assert past.files == THEN | bytes_by_name("new.png", "mine.png")
    past.restore(past.folder, "--revision", 1, "--delete")
    assert past.files == THEN
    assert past.objects == NOW


def test_some_files_are_restored(past):
    past.restore(past.folder, "--revision", 1, "--include", "b.*")
    assert past.files == bytes_by_name("b.png")
    answer = past.restore(past.folder, "--revision", 1, "--include", "new.png", exit_code=3)
    assert "style/16 had no file that matches --include at revision 1." in answer.stderr


def test_restore_in_s3_makes_an_old_version_current_with_its_metadata(past):
    answer = past.restore("--in-s3", "--revision", 1)
    assert past.objects == THEN | bytes_by_name("new.png")
    assert "Restored 2 files of style/16 in S3." in answer.stdout
    assert past.files == {}
    # The manifest does not list the restored versions yet.
    past.restore("--in-s3", "--revision", 1)
    assert len(past.bucket.client.list_object_versions(Bucket=past.bucket.name, Prefix=past.key("a"))["Versions"]) == 3
    for name in ("a.png", "b.png"):
        head_object = past.bucket.client.head_object(Bucket=past.bucket.name, Key=past.key(name))
        assert (head_object["Metadata"], head_object["ContentType"]) == ({"prompt": "a fox"}, "image/png")
    past.commit("a.png", "b.png")
    assert "Nothing to do." in past.restore("--in-s3", "--revision", 1).stdout


def test_restore_in_s3_with_delete_removes_later_objects_which_can_be_restored(past):
    past.restore("--in-s3", "--revision", 1, "--delete")
    assert past.objects == THEN
    past.commit(*THEN, "new.png")
    past.restore("--in-s3", "--revision", 3, "--delete")
    assert past.objects == NOW


def test_restore_in_s3_keeps_an_object_that_was_replaced_concurrently(past):
    with past.meanwhile("HEAD", "a.png", lambda: past.put_uncommitted("a.png", b"newest")):
        answer = past.restore("--in-s3", "--revision", 1, exit_code=3)
    assert past.objects == bytes_by_name("b.png", "deep/c.png", "new.png") | {"a.png": b"newest"}
    assert "restore in S3 a.png: Skipped: the object in S3 changed" in answer.stderr


def test_a_version_that_s3_no_longer_has_is_reported_and_other_files_are_restored(past):
    (first, *_) = past.deployment.manifests.read(past.collection, revision=1).files
    past.bucket.client.delete_object(Bucket=past.bucket.name, Key=past.key("a.png"), VersionId=first.version_id)
    answer = past.restore("--in-s3", "--revision", 1, exit_code=3)
    assert "a.png: S3 no longer has this version." in answer.stderr
    assert past.objects["b.png"] == THEN["b.png"]
    past.restore(past.folder, "--revision", 1, exit_code=3)
    assert past.files == bytes_by_name("b.png", "deep/c.png")


def test_files_stored_before_versioning_are_each_reported(sides):
    sides.put("a.png", "b.png", "c.png")
    versioning = {"Status": "Enabled"}
    sides.bucket.client.put_bucket_versioning(Bucket=sides.bucket.name, VersioningConfiguration=versioning)
    sides.put("c.png", "d.png", body=b"with a version")
    sides.put("a.png", "d.png", body=b"replaced")
    answer = sides.restore("--in-s3", "--revision", 2, "--json", exit_code=3)
    failed = {file["filename"]: file["error"] for file in json.loads(answer.stdout)["files"] if file["error"]}
    assert failed.keys() == {"a.png"}
    assert "was not versioned" in failed["a.png"]
    assert sides.objects == bytes_by_name("b.png") | {"a.png": b"replaced"} | dict.fromkeys(
        ("c.png", "d.png"), b"with a version"
    )
    sides.restore("--in-s3", "--revision", 2, "--exclude", "a.png")


@pytest.mark.slow
def test_a_large_version_is_copied_in_parts_with_its_metadata(past, monkeypatch):
    monkeypatch.setattr(copying, "_MAX_WHOLE", 1 << 20)
    monkeypatch.setattr(copying, "_PART", 5 << 20)
    body = random_bytes((11 << 20) + 7)
    past.put("large.bin", body=body, Metadata={"md5": "x", "prompt": "a fox"}, ContentType="image/tiff")
    past.put("large.bin", body=b"replaced")
    past.restore("--in-s3", "--revision", 4)
    assert past.objects["large.bin"] == body
    head_object = past.bucket.client.head_object(Bucket=past.bucket.name, Key=past.key("large.bin"))
    assert (head_object["Metadata"]["prompt"], head_object["ContentType"]) == ("a fox", "image/tiff")
    assert past.bucket.unfinished() == []
    past.put("large.bin", body=b"replaced again")
    with past.meanwhile("POST", "large.bin", lambda: past.put_uncommitted("large.bin", b"newest")):
        answer = past.restore("--in-s3", "--revision", 4, exit_code=3)
    assert "large.bin: Skipped: the object in S3 changed" in answer.stderr
    assert past.objects["large.bin"] == b"newest"
    assert past.bucket.unfinished() == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--in-s3", "--revision", 9], 3, "9"),
        (["--in-s3", "--revision", 1, "--at", "2026-01-01"], 2, "not both"),
        ([], 2, "Missing argument LOCAL (or --in-s3)."),
        (["somewhere", "--in-s3"], 2, "Pass either LOCAL or --in-s3"),
    ],
)
def test_wrong_options_of_a_restore_are_reported(past, options, code, message):
    assert message in past.restore(*options, exit_code=code).stderr
    assert past.objects == NOW


def test_a_file_is_restored_although_its_name_is_a_folder_now(past):
    past.delete("a.png")
    past.put("a.png/now a folder")
    past.commit("a.png")
    past.restore(past.folder, "--revision", 1)
    assert past.files == THEN
