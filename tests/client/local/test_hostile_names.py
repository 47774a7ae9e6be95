"""Hostile keys and hostile folders: nothing outside the folder is written or read."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from s3_manifest_cli.client.local import folders
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.names import invalid_names
from s3_manifest_cli.client.local.scan import scan
from s3_manifest_cli.errors import Invalid, NotFound, Refused

HOSTILE = ["../../x", "../dest-evil/x", "/etc/x", "C:\\x", "..", ".", "", "a\0b", "con", "a", "a/b", "x" * 300, "A/b"]
HOSTILE += [
    "gr\u00f6\u00dfe",
    "gro\u0308\u00dfe",
    "link/x",
    "link",
    "link/deep/x",
    ".s3-manifest/lock",
    "file/x",
    "file",
    "fine",
]

components = st.one_of(
    st.sampled_from(
        ["..", ".", "", "a", "A", "b", "link", "file", "folder", "dest-evil", "x", ".s3-manifest", "lock", "con"]
    ),
    st.text(max_size=8),
)
filenames = st.one_of(
    st.sampled_from(HOSTILE), st.lists(components, min_size=1, max_size=4).map("/".join), st.text(max_size=12)
)


@pytest.fixture(params=["by descriptors", "by checked paths"])
def way(request, monkeypatch):
    if request.param == "by checked paths":
        monkeypatch.setattr(folders, "HAS_DESCRIPTORS", False)
    elif not folders.HAS_DESCRIPTORS:
        pytest.skip("this OS has no descriptors of folders")


def pull(root, names, *, portable):
    """Writes files as a pull does: skips refused names, and writes each other name as the file's bytes."""
    done, refused = set(), {}
    with Destination(root) as destination:
        file_system = destination.file_system.portable() if portable else destination.file_system
        refused = dict(invalid_names(names, file_system=file_system))
        for name in dict.fromkeys(names):
            if name in refused:
                with suppress(Invalid, Refused):  # even if it is not skipped, it must do no harm
                    destination.identity(name)
                continue
            try:
                with destination.partial(name, "t") as partial:
                    os.write(partial.fd, name.encode())
                    partial.finish(expected=destination.identity(name))
            except (Refused, Invalid) as error:
                refused[name] = str(error)
                with suppress(Refused, NotFound, Invalid), destination.open_read(name) as file:
                    assert b"secret" not in file.read()
            else:
                done.add(name)
        destination.tidy()
    return done, refused


def tree(folder):
    """Everything below a folder, without following links."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink())
        if path.is_symlink()
        else path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


@settings(max_examples=30, deadline=None, database=None)
@given(names=st.lists(filenames, max_size=12), portable=st.booleans())
@example(names=HOSTILE, portable=False)
@example(names=HOSTILE, portable=True)
def check(names, portable):
    base = Path(tempfile.mkdtemp())
    try:
        root = base / "dest"
        (root / "folder").mkdir(parents=True)
        (root / "file").write_bytes(b"mine")
        (root / "link").symlink_to("../dest-evil")
        (root / "folder/link").symlink_to(base / "dest-evil")
        (base / "dest-evil").mkdir()
        (base / "dest-evil/x").write_bytes(b"secret")
        done, refused = pull(root, names, portable=portable)
        # Each name is either a file with its own bytes below the root, or refused with a reason.
        assert done | refused.keys() == set(names)
        assert all(refused.values())
        before = {"dest": False, "dest/folder": False, "dest/file": b"mine", "dest/link": "../dest-evil"}
        before |= {"dest/folder/link": str(base / "dest-evil"), "dest-evil": False, "dest-evil/x": b"secret"}
        parents = {f"dest/{parent}": False for name in done for parent in Path(name).parents if parent != Path()}
        assert tree(base) == before | parents | {f"dest/{name}": name.encode() for name in done}
        # A scan lists exactly these files.
        assert {local.filename for local in scan(root, [])} == done | {"file"}
    finally:
        shutil.rmtree(base)


@pytest.mark.usefixtures("way")
def test_hostile_names_never_write_outside_the_destination():
    check()
