"""``s3-manifest export`` as a user calls it, with manifests that real commits wrote to an S3-compatible server."""

import csv
import io
import json
import os
import stat
import struct
import sys
import threading

import boto3
import pytest
from click.testing import CliRunner
from contract.buckets import NAME, in_moto
from handlers.account import botocore_session
from unit.environments import Harness, replace_account, with_store
from unit.values import COLLECTIONS, PREFIX, PUT, in_bucket
from unit.values import STYLE as ANY_STYLE

from s3_manifest.reconcile.commit import commit
from s3_manifest_cli.client.export import FORMATS
from s3_manifest_cli.client.export.cvat import image_sizes
from s3_manifest_cli.client.export.output import folder_writer
from s3_manifest_cli.client.export.writer import UnsupportedFile
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.main import main

LINE_BREAK = "line\nbreak\x1b[2J.png"

KINDS = in_bucket(COLLECTIONS, NAME)
STYLE = ANY_STYLE._replace(bucket=NAME)


@pytest.fixture(scope="module")
def bucket():
    """A style with unusual filenames at revision 2; no test changes it."""
    with pytest.MonkeyPatch.context() as patch:
        replace_account(patch)
        # Creating a session loads botocore's model of S3, which takes most of a test's time: done once.
        session = boto3.Session
        patch.setattr(boto3, "Session", lambda **more: session(botocore_session=botocore_session(), **more))
        with in_moto() as bucket:
            environment = with_store(Harness(collections=KINDS).environment, bucket.store)
            uploaded = {
                "a.png": {"prompt": "a fox"},
                "deep/b.png": {"prompt": "a hare"},
                "../x.png": {"prompt": "a way out"},
                LINE_BREAK: {"prompt": "a ruse"},
                "notes.json": {},
                "photo.jpg": {},
            }
            for name, metadata in uploaded.items():
                bucket.upload(PREFIX + name, b"bytes", metadata=metadata)
            assert KINDS.contains(STYLE, PREFIX + "a.png")
            commit(environment, STYLE, dict.fromkeys((PREFIX + name for name in uploaded), PUT))
            bucket.upload(PREFIX + "z.png", b"more")
            commit(environment, STYLE, {PREFIX + "z.png": PUT})
            yield bucket


@pytest.fixture
def export(bucket, monkeypatch):
    # The timestamps of the manifest are of a day long ago.
    monkeypatch.setattr("s3_manifest_cli.client.manifests.manifest_warnings.MAX_AGE_DAYS", 36_500)

    def export(*arguments, exit_code=0):
        answer = CliRunner().invoke(main, ["export", "style/16", *map(str, arguments), "--bucket", NAME])
        assert answer.exit_code == exit_code, (answer.output, answer.exception)
        return answer

    return export


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def filenames(body):
    return [row["filename"] for row in csv.DictReader(io.StringIO(body.decode(), newline=""))]


ALL = ["../x.png", "a.png", "deep/b.png", LINE_BREAK, "notes.json", "photo.jpg", "z.png"]


def test_without_an_output_stdout_holds_only_the_export(export):
    answer = export("csv")
    assert filenames(answer.stdout_bytes) == ALL
    assert answer.stderr == ""
    assert export("csv", "-o", "-").stdout_bytes == answer.stdout_bytes


def test_an_output_file_equals_the_output_on_stdout(export, tmp_path):
    answer = export("csv", "-o", tmp_path / "files.csv")
    assert answer.stdout == f"Exported 7 files of style/16 to {tmp_path / 'files.csv'}.\n"
    assert (tmp_path / "files.csv").read_bytes() == export("csv").stdout_bytes
    assert names_in(tmp_path) == ["files.csv"]
    assert export("csv", "-o", tmp_path / "files.csv", "--quiet").output == ""


def failing(monkeypatch, error, name="csv"):
    def write(_facts, _entries, out):
        out.write(b"half of")
        out.flush()
        raise error

    monkeypatch.setitem(FORMATS, name, FORMATS[name]._replace(write=write))


@pytest.mark.parametrize(("error", "exit_code"), [(OSError(28, "No space left"), 3), (KeyboardInterrupt(), 130)])
def test_an_existing_file_stays_if_the_export_fails(error, exit_code, export, tmp_path, monkeypatch):
    (tmp_path / "files.csv").write_text("before")
    failing(monkeypatch, error)
    answer = export("csv", "-o", tmp_path / "files.csv", exit_code=exit_code)
    assert (tmp_path / "files.csv").read_text() == "before"
    assert names_in(tmp_path) == ["files.csv"]
    assert exit_code == 130 or f"{str(tmp_path / 'files.csv')!r} was not written: the disk is full" in answer.stderr


def test_a_replaced_file_keeps_its_mode_and_the_link_to_it(export, tmp_path):
    (tmp_path / "kept").mkdir()
    before = tmp_path / "kept" / "files.csv"
    before.write_text("before")
    before.chmod(0o640)
    (tmp_path / "link").symlink_to(before)
    export("csv", "-o", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert filenames(before.read_bytes()) == ALL
    assert stat.S_IMODE(before.stat().st_mode) == 0o640


def test_a_new_file_has_the_default_mode(export, tmp_path):
    (tmp_path / "other").touch()
    export("csv", "-o", tmp_path / "files.csv")
    assert (tmp_path / "files.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_an_export_is_written_to_a_pipe_without_replacing_it(export, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    export("csv", "-o", tmp_path / "pipe")
    reader.join(10)
    assert filenames(read[0]) == ALL
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    ("output", "exit_code", "message"),
    [("nowhere/files.csv", 2, "there is no folder"), (".", 3, "a folder is in its place")],
)
def test_an_output_that_cannot_be_written_is_named(output, exit_code, message, export, tmp_path):
    answer = export("csv", "-o", tmp_path / output, exit_code=exit_code)
    assert message in answer.stderr
    assert names_in(tmp_path) == []


def test_json_describes_the_written_output(export, tmp_path):
    answer = export("imagefolder", "-o", tmp_path / "metadata.jsonl", "--json", exit_code=1)
    document = json.loads(answer.stdout)
    assert (document["format"], document["files"], document["left_out"]) == ("imagefolder", 5, 1)
    assert [problem["s3_key"] for problem in document["problems"]] == ["styles/16/../x.png"]
    assert (tmp_path / "metadata.jsonl").read_bytes().count(b"\n") == 5


def captions(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_captions_are_in_the_folder_and_invalid_names_are_problems(export, tmp_path):
    folder = tmp_path / "in" / "images"
    answer = export("kohya", "-o", folder, exit_code=1)
    assert captions(tmp_path / "in") == {"images/a.txt": "a fox\n", "images/deep/b.txt": "a hare\n"}
    assert answer.stdout == f"Exported 2 files of style/16 to {folder} (3 files skipped).\n"
    errors = answer.stderr.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith("styles/16/../x.png: ")
    assert "it leads out of its folder" in errors[0]
    assert errors[1].startswith(r"styles/16/line\nbreak\x1b[2J.png: ")
    assert "it contains a control character" in errors[1]


def test_captions_are_replaced_and_obstacles_stay_and_are_reported(export, tmp_path):
    (tmp_path / "a.txt").write_text("before, and longer than it is now")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "deep").symlink_to(tmp_path / "elsewhere")
    answer = export("kohya", "-o", tmp_path, "--json", exit_code=1)
    document = json.loads(answer.stdout)
    assert document["files"] == 1
    [reason] = [problem["problem"] for problem in document["problems"] if problem["s3_key"] == "styles/16/deep/b.png"]
    assert "'deep/b.txt' was not written: a link, or a file that is not a folder, is in its path" in reason
    assert reason in answer.stderr
    assert (tmp_path / "a.txt").read_text() == "a fox\n"
    assert names_in(tmp_path) == ["a.txt", "deep", "elsewhere"]
    assert names_in(tmp_path / "elsewhere") == []


def test_a_past_revision_is_exported_as_it_was(export):
    assert filenames(export("csv", "--revision", 1).stdout_bytes) == ALL[:-1]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["kohya"], 2, "Pass --output FOLDER."),
        (["csv", "--license", "MIT"], 2, "--license does not apply to csv"),
        (["jsonl", "--images", "."], 2, "--images does not apply to jsonl"),
        (["jsonl", "--for-spreadsheets"], 2, "--for-spreadsheets does not apply to jsonl"),
        (["cvat"], 2, "--images"),
        (["cvat", "--images", "no such folder"], 2, "no such folder"),
        (["csv", "--json"], 2, "Pass --output."),
        (["csv", "--revision", "1", "--at", "2026-01-01"], 2, "not both"),
        (["no-format"], 2, "no-format"),
        (["csv", "--revision", "3"], 3, "revision 3"),
    ],
    ids=str,
)
def test_an_invalid_export_request_is_an_error_and_writes_nothing(arguments, exit_code, message, export):
    answer = export(*arguments, exit_code=exit_code)
    assert message in answer.stderr
    assert message in answer.stdout if "--json" in arguments else answer.stdout == ""


def test_without_pyarrow_no_parquet_file_is_written(export, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = export("parquet", "-o", tmp_path / "files.parquet", exit_code=2)
    assert "-m pip install --editable '" in answer.stderr  # the tests run in a checkout
    assert "[parquet]'" in answer.stderr
    assert names_in(tmp_path) == []


def test_captions_do_not_replace_a_file_by_a_folder(export, tmp_path):
    (tmp_path / "file").write_text("before")
    answer = export("kohya", "-o", tmp_path / "file", exit_code=2)
    assert "kohya writes a folder" in answer.stderr
    assert (tmp_path / "file").read_text() == "before"


def jpeg(width, height, orientation):
    """The start of a JPEG, up to its dimensions: SOI, Exif, SOF0.

    https://www.cipa.jp/std/documents/download_e.html?DC-008-Translation-2023-E describes the orientation.
    """
    tiff = b"MM\0*" + struct.pack(">LHHHLHHL", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1))
    segments = ((0xFFE1, exif), (0xFFC0, frame))
    return b"\xff\xd8" + b"".join(struct.pack(">HH", mark, len(data) + 2) + data for mark, data in segments)


def tiff(path, width, height, at):
    """A TIFF whose directory follows its pixels, as libtiff writes it; the pixels are a hole in the file."""
    entries = struct.pack("<HHLLHHLL", 0x0100, 4, 1, width, 0x0101, 4, 1, height)
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<L", at))
        file.seek(at)
        file.write(struct.pack("<H", 2) + entries + bytes(4))


def test_cvat_gets_the_displayed_sizes_of_images_and_missing_ones_are_reported(export, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.png").write_bytes(png(3, (1, 2, 3)))
    (tmp_path / "deep" / "b.png").write_bytes(png(5, (1, 2, 3)))
    (tmp_path / "photo.jpg").write_bytes(jpeg(640, 480, orientation=6))
    answer = export("cvat", "--images", tmp_path, exit_code=1)
    _version, _kind, *images = map(json.loads, answer.stdout.splitlines())
    assert [(image["name"] + image["extension"], image["width"], image["height"]) for image in images] == [
        ("a.png", 3, 3),
        ("deep/b.png", 5, 5),
        ("photo.jpg", 480, 640),
    ]
    errors = answer.stderr.splitlines()
    assert [line.partition(": ")[0] for line in errors] == [
        "styles/16/../x.png",
        r"styles/16/line\nbreak\x1b[2J.png",
        "styles/16/z.png",
    ]
    assert "its width and height are not known" in errors[2]


def test_image_sizes_are_read_without_following_links(tmp_path):
    (tmp_path / "turned.jpg").write_bytes(jpeg(640, 480, orientation=8))
    (tmp_path / "upright.jpg").write_bytes(jpeg(640, 480, orientation=3))
    tiff(tmp_path / "late.tif", 7, 9, at=1 << 30)
    (tmp_path / "cut.png").write_bytes(png(3, (1, 2, 3))[:20])
    (tmp_path / "empty.png").touch()
    (tmp_path / "svg.png").write_text(f'<svg width="{"9" * 400}" height="2"/>')
    (tmp_path / "endless.jpg").write_bytes(b"\xff\xd8" + bytes(64))
    os.truncate(tmp_path / "endless.jpg", 1 << 40)
    (tmp_path / "link.jpg").symlink_to("turned.jpg")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    with image_sizes(tmp_path) as size_of:
        assert {path.name: size_of(path.name) for path in tmp_path.iterdir()} == {
            "turned.jpg": (480, 640),
            "upright.jpg": (640, 480),
            "late.tif": (7, 9),
            **dict.fromkeys(("cut.png", "empty.png", "svg.png", "endless.jpg", "link.jpg", "folder.png", "pipe.png")),
        }
        assert size_of("missing.png") is None


def test_captions_whose_names_the_disk_cannot_distinguish_do_not_replace_each_other(tmp_path):
    with Destination(tmp_path) as destination:
        destination.file_system = destination.file_system.portable()
        put = folder_writer(destination)
        put("Fox.txt", b"one")
        with pytest.raises(UnsupportedFile, match=r"this disk treats 'fox.txt' and 'Fox.txt' as one name"):
            put("fox.txt", b"other")
    assert captions(tmp_path) == {"Fox.txt": "one"}
