"""``s3-manifest sync``, as a user calls it."""

import shutil

import pytest
from client.sides import bytes_by_name, content_of


def agree(sides, *filenames):
    """Creates these files on both sides and syncs them."""
    sides.put(*filenames)
    sides.write(*filenames)
    sides.sync()


def test_sync_copies_files_that_one_side_lacks(sides):
    sides.put("theirs.png", "same.png")
    sides.write("mine.png", "same.png")
    answer = sides.sync()
    assert sides.files == sides.objects == bytes_by_name("theirs.png", "mine.png", "same.png")
    assert "uploaded 1 file" in answer.stdout
    assert "Downloaded 1 file" in answer.stdout
    sides.commit("mine.png")
    assert "Nothing to do." in sides.sync().stdout


def test_changes_on_one_side_since_the_last_sync_go_to_the_other(sides):
    agree(sides, "a.png", "b.png", "c.png")
    sides.write("a.png", body=b"mine")
    sides.put("b.png", body=b"theirs")
    sides.sync()
    assert sides.files == sides.objects == bytes_by_name("c.png") | {"a.png": b"mine", "b.png": b"theirs"}


def test_a_file_that_both_sides_changed_is_a_conflict_until_a_side_is_preferred(sides):
    agree(sides, "a.png")
    sides.write("a.png", body=b"mine")
    sides.put("a.png", body=b"theirs")
    sides.write("new.png")
    answer = sides.sync(exit_code=1)
    assert "conflict  a.png" in answer.stdout
    assert "--prefer" in answer.stdout
    assert (sides.files["a.png"], sides.objects["a.png"]) == (b"mine", b"theirs")
    assert sides.objects["new.png"] == content_of("new.png")
    sides.commit("new.png")
    sides.sync("--prefer", "local")
    assert sides.files["a.png"] == sides.objects["a.png"] == b"mine"


def test_the_same_change_on_both_sides_is_no_conflict(sides):
    agree(sides, "a.png")
    sides.write("a.png", body=b"ours")
    sides.put("a.png", body=b"ours")
    sides.sync()
    sides.write("a.png", body=b"mine")
    sides.sync()
    assert sides.objects["a.png"] == b"mine"


def test_sync_restores_a_file_deleted_on_one_side_unless_delete_is_given(sides):
    agree(sides, "a.png", "b.png", "c.png")
    (sides.folder / "a.png").unlink()
    sides.delete("b.png")
    sides.commit("b.png")
    sides.sync()
    assert sides.files == sides.objects == bytes_by_name("a.png", "b.png", "c.png")
    sides.commit("b.png")
    (sides.folder / "a.png").unlink()
    sides.delete("b.png")
    sides.commit("b.png")
    sides.sync("--delete")
    assert sides.files == sides.objects == bytes_by_name("c.png")
    # A file deleted on both sides can be created again on either side.
    sides.commit("a.png", "b.png")
    sides.write("b.png", body=b"new")
    sides.put("a.png", body=b"new")
    sides.sync("--delete")
    assert sides.files == sides.objects == bytes_by_name("c.png") | dict.fromkeys(("a.png", "b.png"), b"new")


def test_a_file_deleted_on_one_side_and_changed_on_the_other_is_a_conflict(sides):
    agree(sides, "a.png", "b.png", "c.png")
    (sides.folder / "a.png").unlink()
    sides.put("a.png", body=b"theirs")
    sides.write("b.png", body=b"mine")
    sides.delete("b.png")
    sides.commit("b.png")
    sides.sync("--delete", exit_code=1)
    assert sides.files == bytes_by_name("c.png") | {"b.png": b"mine"}
    assert sides.objects == bytes_by_name("c.png") | {"a.png": b"theirs"}
    sides.sync("--delete", "--prefer", "s3")
    assert sides.files == sides.objects == bytes_by_name("c.png") | {"a.png": b"theirs"}


def test_sync_without_its_baseline_overwrites_and_deletes_nothing(sides):
    agree(sides, "a.png", "b.png", "c.png")
    shutil.rmtree(sides.cache)
    sides.write("a.png", body=b"mine")
    (sides.folder / "b.png").unlink()
    sides.sync("--delete", exit_code=1)
    assert sides.files == bytes_by_name("b.png", "c.png") | {"a.png": b"mine"}
    assert sides.objects == bytes_by_name("a.png", "b.png", "c.png")


@pytest.mark.parametrize("how", ["empty", "not there", "no manifest"])
def test_an_unmounted_disk_or_a_missing_manifest_deletes_nothing(sides, how):
    agree(sides, "a.png", "b.png")
    if how == "no manifest":
        sides.bucket.client.delete_object(Bucket=sides.bucket.name, Key=sides.collection.head_key)
    else:
        shutil.rmtree(sides.folder)
        if how == "empty":
            sides.folder.mkdir()
    answer = sides.sync("--delete", exit_code=3)
    assert "Nothing is deleted" in answer.stderr
    assert sides.objects == bytes_by_name("a.png", "b.png")
    if how == "no manifest":
        assert sides.files == bytes_by_name("a.png", "b.png")


@pytest.mark.parametrize("change", ["upload", "download"])
def test_a_second_sync_with_an_outdated_manifest_undoes_nothing(sides, change):
    agree(sides, "a.png", "b.png")
    if change == "upload":
        sides.write("a.png", body=b"mine")
        sides.write("new.png")
        sides.sync()
    else:
        sides.put_uncommitted("a.png", b"theirs")
    # The manifest still has the old a.png and no new.png.
    sides.sync("--delete", exit_code=3 if change == "upload" else 0)
    if change == "upload":
        assert sides.files == sides.objects == {"a.png": b"mine"} | bytes_by_name("b.png", "new.png")
    else:
        assert sides.objects["a.png"] == b"theirs"


def test_a_pull_and_a_push_set_the_baseline(sides):
    sides.put("a.png")
    sides.pull()
    sides.write("b.png")
    sides.push()
    sides.commit("b.png")
    sides.write("a.png", body=b"mine")
    sides.put("b.png", body=b"theirs")
    sides.sync()
    assert sides.files == sides.objects == {"a.png": b"mine", "b.png": b"theirs"}


def test_without_a_manifest_a_sync_is_a_push(sides):
    sides.write("a.png")
    sides.sync()
    assert sides.objects == bytes_by_name("a.png")


def test_an_object_that_changes_after_planning_is_reported(sides):
    agree(sides, "a.png", "b.png")
    sides.write("a.png", body=b"mine")
    with sides.meanwhile("PUT", "a.png", lambda: sides.put_uncommitted("a.png", b"theirs")):
        answer = sides.sync(exit_code=3)
    assert sides.objects == {"a.png": b"theirs"} | bytes_by_name("b.png")
    assert "Skipped: the object in S3 changed" in answer.stderr
