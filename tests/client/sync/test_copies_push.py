"""``s3-manifest push``, as a user calls it."""

from email.header import decode_header, make_header

import pytest
from client.sides import bytes_by_name, content_of
from client.transfers import md5, refusal

from s3_manifest.manifest.collections import Collection, parse_collections
from s3_manifest.sidecars.captions import MAX_CAPTION_BYTES


def head_object(sides, filename):
    """The response to a HEAD of an object."""
    return sides.bucket.client.head_object(Bucket=sides.bucket.name, Key=sides.key(filename))


def test_push_uploads_only_new_and_changed_files(sides):
    sides.put("same.png", "changed.png", "theirs.png")
    sides.write("same.png", "deep/new.png")
    sides.write("changed.png", body=b"mine")
    answer = sides.push()
    assert sides.objects == bytes_by_name("same.png", "theirs.png", "deep/new.png") | {"changed.png": b"mine"}
    assert sorted(request.key.rpartition("16/")[2] for request in sides.proxy.of("PUT")) == [
        "changed.png",
        "deep/new.png",
    ]
    assert "Uploaded 2 files" in answer.stdout
    sides.commit("changed.png", "deep/new.png")
    sides.proxy.seen.clear()
    assert "Nothing to do." in sides.push().stdout
    assert sides.proxy.of("PUT") == []


def test_the_manifest_has_the_metadata_of_pushed_files(sides):
    sides.put("first.png")
    sides.write("f\u00f6x.PNG")
    sides.write("f\u00f6x.txt", body="  ein Fuchs im Schnee \u2603\n".encode())
    generation = ("--generation-id", "7", "--generation-type", "flux \u2603", "--generated-at", "2026-03-01T10:00:00Z")
    sides.push(*generation)
    response = head_object(sides, "f\u00f6x.PNG")
    assert response["ContentType"] == "image/png"
    assert head_object(sides, "f\u00f6x.txt")["ContentType"] == "text/plain; charset=utf-8"
    metadata = {name: str(make_header(decode_header(value))) for name, value in response["Metadata"].items()}
    assert metadata == {
        "md5": md5(content_of("f\u00f6x.PNG")),
        "prompt": "ein Fuchs im Schnee \u2603",
        "local-path": str(sides.folder / "f\u00f6x.PNG"),
        "generation-id": "7",
        "generation-type": "flux \u2603",
        "generated-at": "2026-03-01T10:00:00.000Z",
    }
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-amz-meta-prompt"].startswith("=?UTF-8?")
    sides.commit("f\u00f6x.PNG", "f\u00f6x.txt")
    (entry,) = (entry for entry in sides.head.files if entry.filename == "f\u00f6x.PNG")
    assert (entry.prompt, entry.generation_id, entry.generation_type) == (
        "ein Fuchs im Schnee \u2603",
        7,
        "flux \u2603",
    )


def test_an_image_with_a_prompt_too_long_for_its_metadata_is_uploaded_with_a_warning(sides):
    sides.write("a.png")
    sides.write("a.txt", body=b"word " * 1000)
    answer = sides.push()
    assert "prompt" not in head_object(sides, "a.png")["Metadata"]
    assert (
        "a.png: uploaded without its prompt (too long for S3 metadata); the caption beside it has it" in answer.stderr
    )


def test_a_caption_of_several_lines_is_the_images_prompt(sides):
    prompt = "a fox\r\n\nin the snow,  at night\n\tby Müller =?utf-8?q?x?="
    sides.write("a.png")
    sides.write("a.txt", body=prompt.encode())
    sides.push()
    sides.commit("a.png", "a.txt")
    (entry,) = sides.head.files
    assert entry.prompt == prompt
    assert "Nothing to do." in sides.push().stdout


@pytest.mark.parametrize(
    ("name", "body"),
    [("a.caption", b"a fox"), ("a.json", b'{"caption": "a fox"}'), ("a.TXT", "a fox".encode("utf-16"))],
)
@pytest.mark.parametrize("image", ["a.png", "a.mp4"])
def test_every_kind_of_caption_sets_the_prompt_of_the_file_beside_it(sides, image, name, body):
    sides.write(image)
    sides.write(name, body=body)
    sides.push()
    assert head_object(sides, image)["Metadata"]["prompt"] == "a fox"
    sides.commit(image, name)
    (entry,) = sides.head.files
    assert (entry.prompt, entry.overridden) == ("a fox", {})
    assert "Nothing to do." in sides.push().stdout


def test_an_image_below_a_folder_with_a_line_break_in_its_name_is_pushed(sides):
    below = sides.folder / "two\nlines "
    below.mkdir()
    (below / "a.png").write_bytes(b"a")
    sides.call("push", below, "style/16")
    sides.commit("a.png")
    (entry,) = sides.head.files
    assert entry.local_path == str(below / "a.png")


def test_push_reports_unfinished_uploads_of_other_clients(sides, monkeypatch):
    monkeypatch.setattr("s3_manifest_cli.client.transfer.upload.PART", 10)
    sides.bucket.client.create_multipart_upload(Bucket=sides.bucket.name, Key=sides.key("a.png"))
    sides.write("a.png", "b.png")
    assert "a.png: S3 keeps the parts of another unfinished upload to this key." in sides.push().stderr
    assert len(sides.bucket.unfinished()) == 1


def test_a_caption_that_cannot_be_read_is_no_prompt(sides):
    sides.write("a.png", "b.png", "c.png", "d.png")
    sides.write("a.txt", body=b"\xff\xfe")
    (sides.folder / "b.txt").mkdir()
    sides.write("c.txt", body=b"good".ljust(MAX_CAPTION_BYTES + 1))
    sides.write("d.txt", body=b"good".ljust(MAX_CAPTION_BYTES))
    sides.push()
    assert all("prompt" not in head_object(sides, name)["Metadata"] for name in ("a.png", "b.png", "c.png"))
    assert head_object(sides, "d.png")["Metadata"]["prompt"] == "good"


@pytest.mark.parametrize("knows", [True, False], ids=["changed", "new"])
def test_push_keeps_an_object_that_is_newer_than_the_manifest(sides, knows):
    sides.put("b.png", *(["a.png"] if knows else []))
    sides.write("a.png", body=b"mine")
    sides.put_uncommitted("a.png", b"somebody else's")
    sides.write("c.png")
    answer = sides.push(exit_code=3)
    assert sides.objects == bytes_by_name("b.png", "c.png") | {"a.png": b"somebody else's"}
    assert (
        "upload a.png: Skipped: the object in S3 changed or was deleted after this manifest was written."
        in answer.stderr
    )
    sides.commit("a.png")
    sides.push()
    assert sides.objects["a.png"] == b"mine"


def test_push_accepts_the_same_bytes_stored_concurrently(sides):
    sides.put("b.png")
    sides.write("a.png")
    sides.put_uncommitted("a.png")
    sides.push()


@pytest.mark.parametrize("size", [100, 17 << 20], ids=["small", "in parts"])
def test_a_file_that_changes_before_its_upload_is_not_uploaded(sides, size):
    sides.write("z.png", body=b"x" * size)
    plan = sides.folder.parent / "plan"
    sides.push("--plan", plan, exit_code=1)
    sides.write("z.png", body=b"z" * size)
    answer = sides.call("push", "--apply", plan, exit_code=3)
    assert sides.objects == {}
    assert "upload z.png: the file changed during this run; run the command again" in answer.stderr


def test_a_file_that_changes_during_its_upload_is_reported(sides):
    sides.write("a.png", "b.png")
    with sides.meanwhile("PUT", "a.png", lambda: sides.write("a.png", body=b"changed")):
        answer = sides.push(exit_code=3)
    assert "upload a.png: the file changed during this run; run the command again" in answer.stderr
    # S3 has the old bytes of the file; the next push uploads the new ones.
    assert sides.objects == bytes_by_name("a.png", "b.png")
    sides.commit("a.png", "b.png")
    sides.push()
    assert sides.objects["a.png"] == b"changed"


def test_a_file_that_disappears_before_its_upload_is_reported_and_other_files_are_uploaded(sides):
    sides.write("a.png", "b.png")
    plan = sides.folder.parent / "plan"
    sides.push("--plan", plan, exit_code=1)
    (sides.folder / "a.png").unlink()
    answer = sides.call("push", "--apply", plan, exit_code=3)
    assert "upload a.png: not read: No such file or directory" in answer.stderr
    assert sides.objects == bytes_by_name("b.png")


def test_without_a_manifest_no_existing_object_is_replaced(sides):
    sides.put_uncommitted("theirs.png", b"theirs")
    sides.write("theirs.png", body=b"mine")
    sides.write("new.png")
    answer = sides.push(exit_code=3)
    assert sides.objects == {"theirs.png": b"theirs"} | bytes_by_name("new.png")
    assert "upload theirs.png: Skipped: the object in S3 changed" in answer.stderr


def test_push_with_delete_removes_only_objects_that_the_manifest_lists(sides):
    sides.put("a.png", "gone here.png", "replaced.png")
    sides.put_uncommitted("unknown.png")
    sides.put_uncommitted("replaced.png", b"another by now")
    sides.write("a.png")
    answer = sides.push("--delete", exit_code=3)
    assert sides.objects == bytes_by_name("a.png", "unknown.png") | {"replaced.png": b"another by now"}
    assert "delete in S3 replaced.png: " in answer.stderr
    assert "eleted 1 file from style/16." in answer.stdout


def test_push_deletes_nothing_if_an_upload_failed(sides):
    sides.put("extra.png")
    sides.write("a.png")
    sides.proxy.before = lambda request: refusal(403, "AccessDenied") if request.method == "PUT" else None
    answer = sides.push("--delete", exit_code=3)
    assert sides.objects == bytes_by_name("extra.png")
    assert "Allow s3:PutObject" in answer.stderr
    assert "extra.png: not deleted" in answer.stderr


@pytest.mark.parametrize("in_the_way", ["folder", "file"])
def test_if_a_part_of_the_folder_is_unreadable_nothing_is_deleted_in_s3(sides, in_the_way):
    sides.put("a.png", "deep/b.png", "deep/c.txt")
    sides.write("a.png")
    # As after a disk was moved and replaced by a link.
    (sides.folder / ("deep" if in_the_way == "folder" else "c.png")).symlink_to(sides.folder.parent)
    answer = sides.push("--delete", "--include", "*.png", "--include", "deep/*", exit_code=3)
    assert "Nothing is deleted in S3" in answer.stderr
    assert sides.objects.keys() == {"a.png", "deep/b.png", "deep/c.txt"}
    sides.push("--delete", "--exclude", "deep" if in_the_way == "folder" else "c.png", "--exclude", "deep/c*")
    remaining = {"deep/b.png"} if in_the_way == "folder" else set()  # excluding a folder excludes everything below it
    assert sides.objects.keys() == {"a.png", "deep/c.txt"} | remaining


def test_sidecars_and_a_nested_collections_files_are_not_pushed(sides):
    sides.collections = parse_collections(
        "style=styles/{style_id}/, part=styles/16/parts/{part_id}/", "_manifests/", sides.bucket.name
    )
    sides.write("a.png", "collection.json", "prompt_metadata.json", "metadata.jsonl", "parts/7/b.png")
    sides.push()
    assert sides.objects == bytes_by_name("a.png")
    sides.collection = Collection("part", "7", "styles/16/parts/7/", "_manifests/", sides.bucket.name)
    sides.call("push", sides.folder / "parts/7", "part/7")
    assert sides.objects == {"b.png": content_of("parts/7/b.png")}


def test_a_file_whose_key_would_be_too_long_is_reported(sides):
    long = "/".join(["x" * 200] * 5) + "/" + "y" * 100
    sides.write("a.png", long)
    answer = sides.push(exit_code=3)
    assert sides.objects == bytes_by_name("a.png")
    assert "its key would have 1,115 bytes; S3 allows 1,024. Rename the file" in answer.stderr


def test_a_push_waits_until_the_manifest_shows_what_was_pushed(sides):
    sides.put("gone.png", "other.png")
    sides.write("a.png", "other.png")
    manifest_gets = []

    def reconcile(request):
        if request.method == "GET" and request.key.endswith("manifest.json"):
            manifest_gets.append(request)
            if len(manifest_gets) == 3:
                sides.commit("a.png", "gone.png")

    sides.proxy.before = reconcile
    sides.push("--delete", "--wait", 20)
    assert len(manifest_gets) == 3
    assert [entry.filename for entry in sides.head.files] == ["a.png", "other.png"]


def test_a_manifest_that_does_not_show_the_upload_in_time_is_reported(sides):
    sides.put("b.png")
    sides.write("a.png", "b.png")
    answer = sides.push("--wait", 0.1, exit_code=1)
    assert "The manifest does not show all changes yet." in answer.stderr
    assert sides.objects == bytes_by_name("a.png", "b.png")


def test_a_missing_folder_is_wrong_usage(sides):
    sides.folder = sides.folder / "nowhere"
    assert "There is no folder" in sides.push(exit_code=2).stderr
