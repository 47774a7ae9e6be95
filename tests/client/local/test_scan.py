import os
import socket

import pytest

from s3_manifest_cli.client.local import folders
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.scan import scan
from s3_manifest_cli.errors import Refused, Unavailable


@pytest.fixture(params=["by descriptors", "by checked paths"], autouse=True)
def _both_ways(request, monkeypatch):
    if request.param == "by checked paths":
        monkeypatch.setattr(folders, "HAS_DESCRIPTORS", False)
    elif not folders.HAS_DESCRIPTORS:
        pytest.skip("this OS has no descriptors of folders")


@pytest.fixture
def root(tmp_path):
    for path in ("a.png", "b/c/d.png", "b/größe.png", ".hidden/e.png"):
        target = tmp_path / "root" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/x.png").write_text("secret")
    return tmp_path / "root"


def scanned(root):
    problems = []
    files = {local.filename: local for local in scan(root, problems)}
    return files, {problem.path: problem.reason for problem in problems}


def test_all_regular_files_are_listed_with_their_identity(root):
    os.utime(root / "b/c/d.png", ns=(1, 1_700_000_000_123_456_789))
    files, problems = scanned(root)
    assert files.keys() == {"a.png", "b/c/d.png", "b/größe.png", ".hidden/e.png"}
    assert problems == {}
    existing = (root / "b/c/d.png").stat()
    assert files["b/c/d.png"] == (
        "b/c/d.png", existing.st_size, 1_700_000_000_123_456_789, existing.st_ctime_ns, existing.st_ino
    )  # fmt: skip
    with Destination(root) as destination:
        assert {name: local.identity for name, local in files.items()} == {
            name: destination.identity(name) for name in files
        }


def test_no_link_is_followed_and_each_is_reported(root):
    (root / "link.png").symlink_to("../secret/x.png")
    (root / "b/folder").symlink_to("../../secret")
    (root / "loop").symlink_to(".")
    (root / "dangling").symlink_to("nowhere")
    before = {"a.png", "b/c/d.png", "b/größe.png", ".hidden/e.png"}
    files, problems = scanned(root)
    assert files.keys() == before
    assert problems.keys() == {"link.png", "b/folder", "loop", "dangling"}
    assert all("symbolic link" in reason for reason in problems.values())


def test_a_folder_that_becomes_a_link_during_the_walk_is_not_followed(root):
    for name in ("p", "q", "r"):
        (root / name).mkdir()
        (root / name / "x.png").touch()
    problems = []
    walk = scan(root, problems)
    filenames = {next(walk).filename}
    for name in ("p", "q", "r"):
        (root / name).rename(root.parent / name)
        (root / name).symlink_to("../secret")
    filenames |= {local.filename for local in walk}
    # The open folder is still listed; no size is that of the secret.
    assert not any((root.parent / "secret/x.png").stat().st_ino == local.inode for local in walk)
    assert filenames - {"p/x.png", "q/x.png", "r/x.png"} == {"a.png", "b/c/d.png", "b/größe.png", ".hidden/e.png"}
    assert len(problems) + len(filenames & {"p/x.png", "q/x.png", "r/x.png"}) == 3


def test_a_linked_root_is_resolved_to_its_folder(root):
    (root.parent / "way").symlink_to(root)
    assert scanned(root.parent / "way") == scanned(root)


def test_pipes_sockets_and_names_that_are_not_utf_8_are_reported(root, monkeypatch):
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
        with open(os.fsencode(root / "b") + b"/\xff\n.png", "wb"):  # noqa: PTH123  # pathlib takes no bytes
            pass
        files, problems = scanned(root)
    assert len(files) == 4
    assert problems == {
        "pipe": "skipped, it is a pipe",
        "socket": "skipped, it is a socket",
        "b/\\xff\\n.png": "skipped, the name is not valid UTF-8",
    }


def test_a_scan_skips_the_working_folder_only_at_the_top(root):
    (root / "b/.s3-manifest").mkdir()
    (root / "b/.s3-manifest/f.png").touch()
    with Destination(root) as destination, destination.partial("new.png", "t") as partial:
        os.write(partial.fd, b"half")
        files, problems = scanned(root)
        partial.discard()
    assert files.keys() == {"a.png", "b/c/d.png", "b/größe.png", ".hidden/e.png", "b/.s3-manifest/f.png"}
    assert problems == {}


def test_a_folder_without_permission_is_reported_and_other_files_are_listed(root):
    if os.geteuid():
        pytest.skip("only root can become somebody without permission, and somebody again")
    if not folders.HAS_DESCRIPTORS:
        pytest.skip("checking the path needs the permission, too")
    (root / "b").chmod(0o700)
    walk = scan(root, problems := [])
    filenames = {next(walk).filename}
    os.seteuid(65534)
    try:
        filenames |= {local.filename for local in walk}
    finally:
        os.seteuid(0)
    assert filenames | {".hidden/e.png"} == {"a.png", ".hidden/e.png"}
    assert problems == [("b/", "skipped, permission denied", "unreadable")]


def test_a_root_that_cannot_be_read_is_an_error(root):
    with pytest.raises((Refused, Unavailable), match="nowhere"):
        list(scan(root / "nowhere", []))
    with pytest.raises((Refused, Unavailable), match=r"a\.png"):
        list(scan(root / "a.png", []))
