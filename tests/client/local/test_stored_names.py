"""Every stored file can be pulled: whatever stores objects refuses the names that a pull refuses."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from client.sides import bytes_by_name, content_of
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.values import COLLECTIONS, STYLE

from s3_manifest.edits.uploads import invalid_filenames
from s3_manifest_cli.client.local.file_system import FileSystem, detect_name_folding
from s3_manifest_cli.client.local.folders import folder_at
from s3_manifest_cli.client.local.names import invalid_names, invalid_upload_names
from s3_manifest_cli.client.local.scan import scan
from s3_manifest_cli.migration.places import InvalidReference, check_filename

LINUX = FileSystem()
FOLDING = FileSystem(ignores_case=True, ignores_unicode_form=True)
UNUSABLE = [
    "back\\slash.png",
    "line\nbreak.png",
    "carriage\rreturn.png",
    "\x1b[2J.png",
    ".S3-Manifest/lock",
    ".s3-manifest./x",
]

components = st.one_of(
    st.sampled_from(
        ["a", "A", "ä", "a\u0308", "b.png", "B.PNG", ".s3-manifest", ".S3-Manifest", "a\\b", "a\nb", "ß", "SS"]
    ),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6),
)
filenames = st.lists(components, min_size=1, max_size=3).map("/".join)


@settings(max_examples=300)
@given(st.lists(filenames, max_size=6), st.lists(filenames, max_size=4), st.sampled_from([LINUX, FOLDING]))
def test_a_pull_can_restore_every_stored_name_on_the_same_file_system(uploads, existing, file_system):
    refused = invalid_upload_names(uploads, existing, file_system=LINUX, detect=lambda: file_system)
    stored = set(uploads) - refused.keys()
    assert not invalid_names({*stored, *existing}, file_system=file_system).keys() & stored


@settings(max_examples=150)
@given(st.lists(filenames, max_size=6))
def test_stored_names_of_real_files_can_be_restored(names):
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            path = Path(place, name)
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        filenames = [file.filename for file in scan(Path(place), [])]
        with folder_at(place) as top:
            folding = detect_name_folding(top, filenames)
        refused = invalid_upload_names(filenames, [], file_system=LINUX, detect=lambda: folding)
        stored = set(filenames) - refused.keys()
        assert not invalid_names(stored, file_system=folding).keys()


@pytest.mark.parametrize("filename", [*UNUSABLE, "x" * 256 + ".png"])
def test_every_upload_path_refuses_the_names_that_a_pull_refuses(filename):
    assert filename in invalid_names([filename], file_system=LINUX)
    assert filename in invalid_upload_names([filename], [], file_system=LINUX, detect=lambda: LINUX)
    assert invalid_filenames(COLLECTIONS, STYLE, [filename])
    with pytest.raises(InvalidReference):
        check_filename(filename, STYLE, COLLECTIONS)


def test_push_skips_invalid_names_with_a_remedy_and_the_rest_can_be_pulled(sides):
    sides.put("folder")
    sides.write("good.png", "folder.png", *UNUSABLE)
    (sides.folder / "folder").mkdir()
    (sides.folder / "folder/a.png").write_bytes(b"a")
    answer = sides.push(exit_code=3)
    assert sides.objects == bytes_by_name("folder", "good.png", "folder.png")
    assert (
        "7 files skipped because of their names (listed above). Rename them; running again will not help."
        in answer.stdout
    )
    assert "Run the command again" not in answer.stdout
    assert answer.stderr.count("; rename the file") == len(UNUSABLE)
    assert "folder/a.png: 'folder/' and 'folder' cannot both exist" in answer.stderr
    sides.commit("good.png", "folder.png")
    sides.folder = sides.folder.parent / "elsewhere"
    sides.pull()
    assert sides.files == bytes_by_name("folder", "good.png", "folder.png")


def test_a_single_invalid_name_is_reported_in_the_singular(sides):
    sides.write("a\nb.png")
    assert "1 file skipped because of its name (listed above). Rename it;" in sides.push(exit_code=3).stdout


def test_sync_does_not_store_invalid_names(sides):
    sides.put("a")
    sides.write("b\\c.png", "d.png")
    sides.sync(exit_code=3)
    assert sides.objects == bytes_by_name("a", "d.png")


def test_a_folder_may_take_the_place_of_a_file_that_is_deleted(sides):
    sides.put("a")
    (sides.folder / "a").mkdir()
    (sides.folder / "a/b.png").write_bytes(content_of("a/b.png"))
    sides.push("--delete")
    assert sides.objects == bytes_by_name("a/b.png")


def test_restore_in_s3_skips_invalid_names(sides):
    client = sides.bucket.client
    client.put_bucket_versioning(Bucket=sides.bucket.name, VersioningConfiguration={"Status": "Enabled"})
    sides.put("a.png", "back\\slash.png")
    for name in ("a.png", "back\\slash.png"):
        sides.delete(name)
    sides.commit("a.png", "back\\slash.png")
    answer = sides.restore("--in-s3", "--revision", 1, exit_code=3)
    assert sides.objects == bytes_by_name("a.png")
    assert "back\\slash.png: it contains a backslash" in answer.stderr.replace("\\\\", "\\")


@pytest.mark.skipif(os.name != "posix", reason="names of Linux")
def test_name_folding_is_detected_without_writing(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a\u0308.png").touch()
    before = sorted(tmp_path.rglob("*"))
    with folder_at(str(tmp_path)) as top:
        assert detect_name_folding(top, ["1", "deep/a\u0308.png"]) == LINUX
        (tmp_path / "deep/\u00e4.png").symlink_to("a\u0308.png")
        assert detect_name_folding(top, ["deep/a\u0308.png"]) == LINUX
        (tmp_path / "deep/\u00e4.png").unlink()
        # Two names of one file, as on a file system that ignores the Unicode form.
        (tmp_path / "deep/\u00e4.png").hardlink_to(tmp_path / "deep/a\u0308.png")
        assert detect_name_folding(top, ["deep/a\u0308.png"]).ignores_unicode_form
    assert {*tmp_path.rglob("*")} - {*before} == {tmp_path / "deep/\u00e4.png"}


def test_a_dry_run_lists_the_names_that_will_be_skipped(sides):
    sides.write("a\nb.png", "c.png")
    output = sides.push("--dry-run", exit_code=1).stderr
    assert "a\\nb.png: will be skipped: it contains a control character. Rename the file." in output
    assert "c.png" not in output
