import os

import pytest

from s3_manifest_cli.client.local import folders
from s3_manifest_cli.client.local.folders import HAS_DESCRIPTORS, CheckedFolder, Folder

KINDS = [CheckedFolder, *([Folder] if HAS_DESCRIPTORS else [])]


@pytest.fixture(params=KINDS)
def root(request, tmp_path, monkeypatch):
    if request.param is CheckedFolder:
        monkeypatch.setattr(folders, "_FILE", folders._FILE & ~getattr(os, "O_NOFOLLOW", 0))  # Windows lacks it
    (tmp_path / "root/sub").mkdir(parents=True)
    (tmp_path / "root/sub/x").write_text("mine")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/x").write_text("secret")
    with request.param.at(str(tmp_path / "root")) as folder:
        yield folder


@pytest.mark.parametrize("make", [None, 0o777])
def test_opening_a_link_or_a_file_as_a_folder_fails(root, tmp_path, make):
    (tmp_path / "root/link").symlink_to("../evil")
    (tmp_path / "root/inside").symlink_to("sub")
    (tmp_path / "root/file").touch()
    for name in ("link", "inside", "file"):
        with pytest.raises(OSError, match=r"Not a directory|symbolic link"):
            root.child(name, make)
    with root.child("sub", make) as folder:
        assert folder.names() == ["x"]


def test_a_missing_folder_is_created_only_on_request(root, tmp_path):
    with pytest.raises(FileNotFoundError):
        root.child("new")
    with root.child("new", 0o700) as folder:
        os.close(folder.open("y", os.O_WRONLY | os.O_CREAT))
    assert (tmp_path / "root/new/y").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "root/new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL])
def test_no_file_is_opened_or_created_through_a_link(root, tmp_path, flags):
    for name, target in (("old", "../evil/x"), ("new", "../evil/new")):
        (tmp_path / "root" / name).symlink_to(target)
        with pytest.raises(OSError, match=r"symbolic link|File exists"):
            root.open(name, flags)
    assert {path.name: path.read_text() for path in (tmp_path / "evil").iterdir()} == {"x": "secret"}


def test_an_open_folder_replaced_by_a_link_never_leads_to_the_target(root, tmp_path):
    with root.child("sub") as folder:
        (tmp_path / "root/sub").rename(tmp_path / "root/aside")
        (tmp_path / "root/sub").symlink_to("../evil")
        works = not isinstance(folder, CheckedFolder)
        for act in (
            lambda: os.close(folder.open("new", os.O_WRONLY | os.O_CREAT)),
            lambda: os.close(folder.child("deep", 0o777).open("new", os.O_WRONLY | os.O_CREAT)),
            lambda: folder.utime("x", 1),
            lambda: folder.replace("x", folder, "y"),
            lambda: folder.replace("y", root, "z"),
            lambda: folder.unlink("new"),
            lambda: folder.names().index("deep"),
            lambda: folder.stat("deep"),
        ):
            if works:
                act()
            else:
                with pytest.raises(NotADirectoryError):
                    act()
    assert {path.name: path.read_text() for path in (tmp_path / "evil").iterdir()} == {"x": "secret"}
    assert (tmp_path / "evil/x").stat().st_mtime_ns > 1
    assert (tmp_path / "root/z").exists() == works


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT])
def test_a_link_created_between_check_and_open_is_detected(root, tmp_path, monkeypatch, flags):
    is_link = folders._is_link

    def swapped_after(found):
        answer = is_link(found)
        (tmp_path / "root/sub/x").unlink()
        (tmp_path / "root/sub/x").symlink_to("../../evil/x")
        return answer

    with root.child("sub") as folder:
        monkeypatch.setattr(folders, "_is_link", swapped_after)
        if not isinstance(folder, CheckedFolder):
            swapped_after(folder.stat("x"))
        with pytest.raises(OSError, match="symbolic link"):
            folder.open("x", flags)
    assert (tmp_path / "evil/x").read_text() == "secret"
