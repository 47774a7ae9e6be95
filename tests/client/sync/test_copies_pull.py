"""``s3-manifest pull``, as a user calls it."""

import random
from datetime import datetime, timedelta

import pytest
from client.sides import bytes_by_name
from client.transfers import refusal

from s3_manifest_cli.client.local.destination import Destination


def test_missing_and_different_files_are_downloaded_and_others_stay_untouched(sides):
    sides.put("same.png", "differs.png", "deep/missing.png")
    sides.write("same.png", "mine.txt")
    sides.write("differs.png", body=b"other bytes")
    before = (sides.folder / "same.png").stat()
    answer = sides.pull()
    assert sides.files == bytes_by_name("same.png", "differs.png", "deep/missing.png", "mine.txt")
    after = (sides.folder / "same.png").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(sides.gets()) == ["deep/missing.png", "differs.png"]
    (entry,) = (entry for entry in sides.head.files if entry.filename == "differs.png")
    modified = datetime.fromisoformat(entry.last_modified)
    assert (sides.folder / "differs.png").stat().st_mtime_ns == int(modified.timestamp()) * 1_000_000_000
    assert "Downloaded 2 files" in answer.stdout
    assert [path.name for path in sides.folder.iterdir() if path.name.startswith(".")] == []


def test_a_second_pull_fetches_nothing(sides):
    sides.put("a.png", "b.png")
    sides.pull()
    sides.proxy.seen.clear()
    answer = sides.pull()
    assert "Nothing to do." in answer.stdout
    assert [request.method for request in sides.proxy.seen] == ["GET"]  # the manifest, if it changed
    assert sides.gets() == []


def test_a_pull_creates_a_missing_folder(sides):
    sides.put("a.png")
    sides.folder = sides.folder / "new/folder"
    sides.pull()
    assert sides.files == bytes_by_name("a.png")


def test_pull_downloads_captions_but_no_hidden_files_or_sidecars(sides):
    sides.put("a.png", "a.txt", "hidden.png")
    sides.put("prompt_metadata.json", body=b'{"hidden.png": {"hidden": true}}')
    assert [entry.filename for entry in sides.head.hidden] == ["hidden.png"]
    sides.pull()
    assert sides.files == bytes_by_name("a.png", "a.txt")


def in_parts(sides, filename, *blocks, **more):
    """Uploads an object in these parts."""
    place = {"Bucket": sides.bucket.name, "Key": sides.key(filename)}
    client = sides.bucket.client
    upload = place | {"UploadId": client.create_multipart_upload(**place, **more)["UploadId"]}
    parts = [
        {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=block)["ETag"]}
        for number, block in enumerate(blocks, 1)
    ]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    sides.commit(filename)


def test_pull_downloads_an_object_with_a_wrong_declared_md5_and_reports_it(sides):
    body = random.Random(1).randbytes(6 << 20)
    wrong = "0123456789abcdef" * 2
    in_parts(sides, "a.png", body[: 5 << 20], body[5 << 20 :], Metadata={"md5chksum": wrong})
    (entry,) = sides.head.files
    assert (entry.md5_hash, entry.md5_source) == (wrong, "md5chksum")
    answer = sides.pull()
    assert (sides.folder / "a.png").read_bytes() == body
    assert f"a.png: the uploader declares a wrong MD5 (md5chksum: {wrong})" in answer.stderr
    assert "wrong bytes" not in answer.stderr
    assert "Nothing to do." in sides.pull().stdout
    assert "Nothing to do." in sides.push().stdout
    sides.call("verify", sides.folder, "style/16")


@pytest.mark.parametrize("parts_are_known", [True, False])
def test_a_second_pull_of_an_object_with_a_wrong_md5_and_odd_parts_does_nothing(sides, parts_are_known, monkeypatch):
    if not parts_are_known:
        monkeypatch.setattr("s3_manifest_cli.client.transfer.objects.Objects.first_part", lambda *_: None)
    body = random.Random(1).randbytes(6 << 20)
    cut = (5 << 20) + 17  # a part of a size that no client uses
    in_parts(sides, "a.png", body[:cut], body[cut:], Metadata={"md5": "0123456789abcdef" * 2})
    answer = sides.pull()
    assert (sides.folder / "a.png").read_bytes() == body
    assert "a.png: the uploader declares a wrong MD5 (md5: " in answer.stderr
    assert "Nothing to do." in sides.pull().stdout
    sides.write("a.png", body=body[:-1] + b"x")
    sides.pull()
    assert (sides.folder / "a.png").read_bytes() == body


def test_local_bytes_that_differ_from_an_object_with_a_wrong_md5_are_replaced(sides):
    body = random.Random(1).randbytes(6 << 20)
    in_parts(sides, "a.png", body[: 5 << 20], body[5 << 20 :], Metadata={"md5": "0123456789abcdef" * 2})
    sides.write("a.png", body=body[:-1] + b"x")
    assert "Downloaded 1 file" in sides.pull().stdout
    assert (sides.folder / "a.png").read_bytes() == body


def test_an_object_encrypted_by_s3cmd_is_downloaded_as_stored(sides):
    body = random.Random(2).randbytes(6 << 20)
    declared = {"s3cmd-attrs": f"md5:{'0123456789abcdef' * 2}/mode:1", "s3tools-gpgenc": "gpg"}
    in_parts(sides, "a.png", body[: 5 << 20], body[5 << 20 :], Metadata=declared)
    assert sides.head.files[0].md5_source in (None, "computed")
    sides.pull()
    assert (sides.folder / "a.png").read_bytes() == body
    assert "Nothing to do." in sides.pull().stdout


def test_filters_select_files(sides):
    sides.put("a.png", "b.png", "a.txt", "deep/a.png")
    sides.write("old.png", "old.txt")
    sides.pull("--include", "*.png", "--exclude", "deep/*", "--delete")
    assert sides.files == bytes_by_name("a.png", "b.png", "old.txt")


def test_pull_removes_files_that_s3_lacks_only_with_delete(sides):
    sides.put("a.png")
    sides.write("a.png", "deep/extra.png")
    assert "Nothing to do." in sides.pull().stdout
    answer = sides.pull("--delete")
    assert sides.files == bytes_by_name("a.png")
    assert not (sides.folder / "deep").exists()
    assert "eleted 1 file from" in answer.stdout


def test_a_file_whose_object_is_not_in_the_manifest_yet_is_not_deleted(sides):
    sides.put("a.png")
    sides.put_uncommitted("just uploaded.png")
    sides.write("a.png", "just uploaded.png", "extra.png")
    answer = sides.pull("--delete", exit_code=3)
    assert sides.files == bytes_by_name("a.png", "just uploaded.png")
    assert "just uploaded.png: " in answer.stderr
    assert "not deleted: S3 has another object than the manifest" in answer.stderr


def test_a_file_is_deleted_only_if_s3_answers_that_its_object_does_not_exist(sides):
    sides.put("a.png")
    sides.write("a.png", "extra.png")
    sides.proxy.before = lambda request: refusal(403, "AccessDenied") if request.method == "HEAD" else None
    sides.pull("--delete", exit_code=3)
    assert sides.files == bytes_by_name("a.png", "extra.png")


@pytest.mark.parametrize(
    ("verified", "message"),
    [
        (None, "incomplete"),
        (timedelta(days=4), "was not compared with S3 in the last 3 days"),
        (timedelta(days=2), None),
    ],
)
def test_an_incomplete_or_stale_manifest_deletes_nothing_and_nothing_else_is_done(sides, verified, message):
    sides.put_uncommitted("a.png")
    if verified is None:
        sides.commit_incomplete("a.png")
    else:
        sides.verify(verified, "a.png")
    sides.write("extra.png")
    answer = sides.pull("--delete", exit_code=3 if message else 0)
    assert sides.files == (bytes_by_name("extra.png") if message else bytes_by_name("a.png"))
    if message:
        assert message in answer.stderr
        assert "s3-manifest rescan style/16" in answer.stderr
        assert sides.gets() == []
        sides.pull(exit_code=0 if verified else 3)
        assert sides.files == bytes_by_name("a.png", "extra.png")


def test_more_deletions_than_are_allowed_are_refused_before_anything_is_done(sides):
    sides.put("a.png")
    sides.write("x", "y", "z")
    answer = sides.pull("--delete", "--max-delete", 2, exit_code=3)
    assert "--max-delete" in answer.stderr
    assert sides.files == bytes_by_name("x", "y", "z")
    sides.pull("--delete", "--max-delete", 3)
    assert sides.files == bytes_by_name("a.png")


def test_pull_deletes_nothing_if_a_transfer_failed(sides):
    sides.put("a.png", "b.png")
    sides.write("extra.png")
    sides.put_uncommitted("b.png", b"another by now")
    answer = sides.pull("--delete", exit_code=3)
    assert sides.files == bytes_by_name("a.png", "extra.png")
    assert "extra.png: not deleted" in answer.stderr
    sides.commit("b.png")
    sides.pull("--delete")
    assert sides.files == bytes_by_name("a.png") | {"b.png": b"another by now"}


@pytest.mark.parametrize("becomes", ["another", "gone"])
def test_an_object_that_changed_after_the_manifest_is_reported_and_other_files_are_downloaded(sides, becomes):
    sides.put("a.png", "b.png", "c.png")
    sides.put_uncommitted("b.png", b"another") if becomes == "another" else sides.delete("b.png")
    answer = sides.pull(exit_code=3)
    assert sides.files == bytes_by_name("a.png", "c.png")
    assert "download b.png: Skipped: the object in S3 changed or was deleted" in answer.stderr
    assert "1 file failed." in answer.stdout
    assert sorted(path.name for path in sides.folder.iterdir()) == ["a.png", "c.png"]


def test_a_local_file_that_changes_before_its_download_stays(sides):
    sides.put("a.png", "b.png")
    sides.write("a.png", body=b"old")
    with sides.meanwhile("GET", "a.png", lambda: sides.write("a.png", body=b"newer, mine")):
        answer = sides.pull(exit_code=3)
    assert sides.files == {"a.png": b"newer, mine"} | bytes_by_name("b.png")
    assert "the local file changed meanwhile. Run the command again." in answer.stderr


def test_a_local_file_that_appears_before_its_download_stays(sides):
    sides.put("a.png")
    with sides.meanwhile("GET", "a.png", lambda: sides.write("a.png", body=b"mine")):
        sides.pull(exit_code=3)
    assert sides.files == {"a.png": b"mine"}


def test_pull_keeps_a_file_that_changes_before_its_deletion(sides):
    sides.put("a.png")
    sides.write("a.png", "extra.png")
    with sides.meanwhile("HEAD", "extra.png", lambda: sides.write("extra.png", body=b"used again")):
        answer = sides.pull("--delete", exit_code=3)
    assert sides.files == bytes_by_name("a.png") | {"extra.png": b"used again"}
    assert "extra.png" in answer.stderr


def test_a_second_concurrent_pull_into_a_folder_is_refused(sides):
    sides.put("a.png")
    with Destination(sides.folder):
        answer = sides.pull(exit_code=3)
    assert "is in use by another run" in answer.stderr
    assert sides.files == {}
    sides.pull()
    assert sides.files == bytes_by_name("a.png")


def test_a_pull_without_a_manifest_is_an_error(sides):
    answer = sides.pull(exit_code=3)
    place = f"s3://{sides.bucket.name}/styles/16/"
    assert f"style/16 has no manifest yet. Upload something to {place}, or run 's3-manifest rescan" in answer.stderr
    assert f"rescan style/16 --stack NAME --endpoint-url {sides.proxy.endpoint}'" in answer.stderr
    assert sides.files == {}
