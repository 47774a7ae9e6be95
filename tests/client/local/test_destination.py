import ctypes
import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from s3_manifest_cli.client.local import folders
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.file_system import FileSystem
from s3_manifest_cli.client.local.folders import Folder
from s3_manifest_cli.client.local.partials import identity_at
from s3_manifest_cli.errors import Invalid, NotFound, Refused, Unavailable

WORKING = ".s3-manifest"


@pytest.fixture(params=["by descriptors", "by checked paths"], autouse=True)
def _both_ways(request, monkeypatch):
    """Runs each test also with the fallback for an OS without directory descriptors."""
    if request.param == "by checked paths":
        monkeypatch.setattr(folders, "HAS_DESCRIPTORS", False)
        monkeypatch.setattr(folders, "_FILE", folders._FILE & ~getattr(os, "O_NOFOLLOW", 0))
    elif not folders.HAS_DESCRIPTORS:
        pytest.skip("this OS has no descriptors of folders")


@pytest.fixture
def root(tmp_path):
    """A destination, beside a folder with the same prefix that has to stay unchanged."""
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest-evil").mkdir()
    (tmp_path / "dest-evil/x").write_text("secret")
    return tmp_path / "dest"


def outside(root):
    return {path.name: path.read_text() for path in (root.parent / "dest-evil").iterdir()} | {
        path.name: "" for path in root.parent.iterdir() if path.name not in ("dest", "dest-evil")
    }


def write(destination, filename, body=b"new", **more):
    with destination.partial(filename, "token") as partial:
        os.pwrite(partial.fd, body, 0)
        return partial.finish(**more)


def files(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and WORKING not in path.parts
    }


def test_a_file_is_written_with_its_folders_and_nothing_else_stays(root):
    with Destination(root) as destination:
        identity = write(destination, "a/b/c.png", mtime_ns=1_700_000_000_123_456_789, expected=None)
        assert destination.identity("a/b/c.png") == identity
    found = (root / "a/b/c.png").stat()
    assert (identity.size, identity.mtime_ns, identity.inode) == (3, 1_700_000_000_123_456_789, found.st_ino)
    assert files(root) == {"a/b/c.png": b"new"}
    assert [path.name for path in root.iterdir()] == ["a"]


def test_a_missing_destination_is_created(root):
    with Destination(root / "not/there") as destination:
        write(destination, "a.png")
    assert files(root) == {"not/there/a.png": b"new"}


def test_a_linked_destination_is_resolved_to_its_folder(root):
    link = root.parent / "link"
    link.symlink_to(root)
    with Destination(link) as destination:
        write(destination, "a.png")
    assert files(root) == {"a.png": b"new"}


def test_a_destination_that_is_a_file_is_refused(root):
    (root / "file").touch()
    with pytest.raises((Refused, Unavailable), match="file"), Destination(root / "file"):
        pass


def test_a_file_gets_the_mode_that_the_umask_leaves(root):
    before = os.umask(0o027)
    try:
        with Destination(root) as destination:
            with destination.partial("a/b.png", "t") as partial:
                assert stat.S_IMODE(os.fstat(partial.fd).st_mode) == 0o600
                partial.finish()
            assert os.umask(0o027) == 0o027  # reading the umask did not change it
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "a/b.png").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "filename",
    [
        "../../x",
        "../dest-evil/x",
        "/etc/x",
        "C:\\x",
        "..",
        ".",
        "",
        "a/../../x",
        "a\x00b",
        "x" * 300,
        "a//b",
        "a/",
        f"{WORKING}/lock",
        WORKING,
        "\ud800",
    ],
)
def test_a_name_that_no_file_can_have_is_invalid_for_every_caller(root, filename):
    before = outside(root)
    with Destination(root) as destination:
        (root / "a").mkdir()
        for attempt in (
            lambda: destination.partial(filename, "t"),
            lambda: destination.identity(filename),
            lambda: destination.open_read(filename),
            lambda: destination.remove(filename, destination_identity(root)),
        ):
            with pytest.raises(Invalid) as refused:
                attempt()
            assert repr(filename) in str(refused.value)
    assert outside(root) == before
    assert files(root) == {}


def destination_identity(root):
    return identity_at(Folder.at(str(root.parent / "dest-evil")), "x")


@pytest.mark.parametrize("target", ["../dest-evil", "{parent}/dest-evil", ".", "nowhere"])
def test_nothing_is_written_or_read_through_a_folder_that_is_a_link(root, target):
    before = outside(root)
    (root / "sub").symlink_to(target.format(parent=root.parent))
    with Destination(root) as destination:
        for filename in ("sub/x", "sub/new", "sub/deep/new"):
            with pytest.raises(Refused, match=filename):
                write(destination, filename)
            with pytest.raises((Refused, NotFound), match=filename):
                destination.open_read(filename)
        with pytest.raises(Refused, match="sub/x"):
            destination.remove("sub/x", destination_identity(root))
        destination.tidy()
    assert outside(root) == before
    assert (root / "sub").is_symlink()


def test_a_file_that_is_a_link_is_neither_replaced_nor_read_nor_removed(root):
    (root / "x").symlink_to("../dest-evil/x")
    (root / "new").symlink_to("../dest-evil/new")
    before = outside(root)
    with Destination(root) as destination:
        for filename in ("x", "new"):
            for attempt in (
                lambda filename=filename: write(destination, filename),
                lambda filename=filename: destination.open_read(filename),
                lambda filename=filename: destination.identity(filename),
                lambda filename=filename: destination.remove(filename, destination_identity(root)),
            ):
                with pytest.raises(Refused, match=f"{filename}.*link"):
                    attempt()
        destination.tidy()
    assert outside(root) == before
    assert (root / "x").is_symlink()


def test_a_folder_or_a_file_in_the_way_is_refused_and_other_files_are_written(root):
    (root / "folder").mkdir()
    (root / "file").write_text("old")
    with Destination(root) as destination:
        with pytest.raises(Refused, match=r"'folder'.*a folder is in its place"):
            write(destination, "folder")
        with pytest.raises(Refused, match=r"'file/x'.*not a folder"):
            write(destination, "file/x")
        write(destination, "fine")
        destination.tidy()
    assert files(root) == {"file": b"old", "fine": b"new"}


def test_a_hard_link_to_a_file_outside_is_replaced_and_not_written_through(root):
    os.link(root.parent / "dest-evil/x", root / "x")
    with Destination(root) as destination:
        write(destination, "x")
    assert outside(root) == {"x": "secret"}
    assert files(root) == {"x": b"new"}


def test_a_working_folder_that_is_a_link_is_refused(root):
    (root / WORKING).symlink_to("../dest-evil")
    with pytest.raises(Refused, match=WORKING), Destination(root):
        pass
    assert outside(root) == {"x": "secret"}


def test_links_in_the_working_folder_are_not_followed(root):
    (root / WORKING).mkdir()
    (root / WORKING / "lock").symlink_to("../../dest-evil/x")
    with pytest.raises(Refused, match=WORKING), Destination(root):
        pass
    (root / WORKING / "lock").unlink()
    for plant in (os.symlink, os.link):
        with Destination(root) as destination:
            with destination.partial("a.png", "t") as partial:
                os.write(partial.record, b"x")
            for path in (root / WORKING).iterdir():
                if path.name != "lock":
                    path.unlink()
                    plant(root.parent / "dest-evil/x", path)
            (root / WORKING / "probe-mode").symlink_to(root.parent / "dest-evil/x")
        with Destination(root) as destination, destination.partial("a.png", "t") as partial:
            assert not partial.resumed
            os.write(partial.record, b"1")
            os.write(partial.fd, b"new")
            partial.finish()
        assert outside(root) == {"x": "secret"}
        assert files(root) == {"a.png": b"new"}


def test_a_link_swapped_in_right_before_the_write_is_not_followed(root, monkeypatch):
    if not folders.HAS_DESCRIPTORS:
        pytest.skip("this is what an OS without descriptors of folders cannot keep out")
    (root / "sub").mkdir()
    replace = Folder.replace

    def swapped(self, *more):
        (root / "sub").rename(root / "moved")
        (root / "sub").symlink_to("../dest-evil")
        replace(self, *more)

    with Destination(root) as destination:
        monkeypatch.setattr(Folder, "replace", swapped)
        write(destination, "sub/x", expected=None)
        with pytest.raises(Refused, match="sub/y"):
            write(destination, "sub/y")
        destination.tidy()
    assert outside(root) == {"x": "secret"}
    assert files(root) == {"moved/x": b"new"}


def test_a_link_swapped_with_a_folder_repeatedly_is_never_followed(root):
    exchange = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if not folders.HAS_DESCRIPTORS or not exchange:
        pytest.skip(
            "an OS without descriptors of folders cannot keep it out, and only Linux swaps two names in one step"
        )
    (root / "sub").mkdir()
    (root / "link").symlink_to("../dest-evil")
    at_cwd, swap_both = -100, 2
    done = threading.Event()

    def swap():
        while not done.is_set():
            assert not exchange(at_cwd, os.fsencode(root / "sub"), at_cwd, os.fsencode(root / "link"), swap_both)

    swapper = threading.Thread(target=swap)
    outcomes = Counter()
    with Destination(root) as destination:
        swapper.start()
        try:
            # The scheduler decides how often the two are swapped.
            for number in range(20_000):
                if number >= 150 and all(outcomes[kind] for kind in ("None", Refused, NotFound)):
                    break
                for attempt in (
                    lambda number=number: write(destination, f"sub/{number}"),
                    lambda: destination.open_read("sub/x").close(),
                    lambda: destination.identity("sub/x"),
                    lambda: destination.remove("sub/x", destination_identity(root)),
                ):
                    try:
                        outcomes[str(attempt())] += 1
                    except (Refused, NotFound) as error:
                        outcomes[type(error)] += 1
        finally:
            done.set()
            swapper.join()
        destination.tidy()
    assert outside(root) == {"x": "secret"}
    assert outcomes["None"]  # the real folder has no x
    assert outcomes[Refused]
    assert outcomes[NotFound]
    assert not any(f"inode={destination_identity(root).inode}" in str(outcome) for outcome in outcomes)
    assert len(files(root)) > 1


def test_only_regular_files_are_read_and_pipes_do_not_block(root):
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    (root / "file").write_bytes(b"bytes")
    with Destination(root) as destination:
        for filename in ("pipe", "folder"):
            with pytest.raises(Refused, match=filename):
                destination.open_read(filename)
            with pytest.raises(Refused, match=filename):
                destination.identity(filename)
        with pytest.raises(Refused, match="pipe"):
            write(destination, "pipe")
        with pytest.raises(NotFound, match="nothing"):
            destination.open_read("nothing")
        with pytest.raises(NotFound, match="no/thing"):
            destination.open_read("no/thing")
        assert destination.identity("nothing") is destination.identity("no/thing") is None
        with destination.open_read("file") as file:
            assert file.read() == b"bytes"
        destination.tidy()


def test_a_file_that_changed_since_it_was_scanned_is_not_replaced(root):
    (root / "a.png").write_bytes(b"old")
    with Destination(root) as destination:
        identity = destination.identity("a.png")
        (root / "a.png").write_bytes(b"mine")
        with destination.partial("a.png", "t") as partial:
            os.write(partial.fd, b"new")
            for expected in (identity, None):
                with pytest.raises(Refused, match=r"'a\.png' was not written"):
                    partial.finish(expected=expected)
            assert files(root) == {"a.png": b"mine"}
        with destination.partial("a.png", "t") as partial:
            assert partial.resumed
            partial.finish(expected=destination.identity("a.png"))
    assert files(root) == {"a.png": b"new"}


def test_only_the_expected_file_is_removed_with_the_folders_it_leaves_empty(root):
    for path in ("a/b/c/x", "a/y", "other"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("old")
    with Destination(root) as destination:
        identity = destination.identity("a/b/c/x")
        (root / "a/b/c/new").write_text("new")
        (root / "a/b/c/new").rename(root / "a/b/c/x")
        with pytest.raises(Refused, match="changed meanwhile"):
            destination.remove("a/b/c/x", identity)
        assert (root / "a/b/c/x").read_text() == "new"
        assert destination.remove("a/b/c/x", destination.identity("a/b/c/x"))
        assert not destination.remove("a/b/c/x", identity)
        assert destination.remove("other", destination.identity("other"))
    assert files(root) == {"a/y": b"old"}
    assert [path.name for path in (root / "a").iterdir()] == ["y"]
    assert root.is_dir()


def test_removing_the_last_file_leaves_the_destination(root):
    with Destination(root) as destination:
        write(destination, "a/b")
        assert destination.remove("a/b", destination.identity("a/b"))
    assert list(root.iterdir()) == []


def test_threads_write_and_remove_files_in_one_folder_concurrently(root):
    failures = []

    def work(number):
        try:
            for _ in range(40):
                identity = write(destination, f"a/b/{number}")
                assert destination.remove(f"a/b/{number}", identity)
        except Exception as error:  # noqa: BLE001  # it fails the test below
            failures.append(error)

    with Destination(root) as destination:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert list(root.iterdir()) == []


def test_a_partial_is_resumed_only_with_the_same_name_and_token(root):
    with Destination(root) as destination:
        with destination.partial("a.png", "etag 1") as partial:
            assert not partial.resumed
            os.pwrite(partial.fd, b"half", 4)
            os.write(partial.record, b"4-8")
        with destination.partial("a.png", "etag 2") as partial:
            assert not partial.resumed
    assert files(root) == {}
    with Destination(root) as destination:
        with destination.partial("b.png", "etag 1") as partial:
            assert not partial.resumed
        with destination.partial("a.png", "etag 1") as partial:
            assert partial.resumed
            assert os.pread(partial.record, 10, 0) == b"4-8"
            assert os.pread(partial.fd, 10, 0) == b"\0\0\0\0half"
            os.pwrite(partial.fd, b"1st ", 0)
            partial.finish()
        assert destination.tidy() == 2
    assert files(root) == {"a.png": b"1st half"}
    assert not (root / WORKING).exists()


def test_a_record_without_its_bytes_is_not_resumed(root):
    with Destination(root) as destination:
        with destination.partial("a.png", "t") as partial:
            os.write(partial.record, b"0-8")
        next(path for path in (root / WORKING).iterdir() if path.suffix == "" and path.name != "lock").unlink()
        with destination.partial("a.png", "t") as partial:
            assert not partial.resumed
            assert os.pread(partial.record, 10, 0) == b""


def test_tidying_removes_other_partials(root):
    with Destination(root) as destination:
        for filename, token in (("a.png", "old"), ("a.png", "new"), ("gone.png", "t")):
            with destination.partial(filename, token) as partial:
                os.write(partial.record, b"x")
        assert destination.tidy([("a.png", "new")]) == 4
        with destination.partial("a.png", "new") as partial:
            assert partial.resumed
            partial.discard()
        assert [path.name for path in (root / WORKING).iterdir()] == ["lock"]


def test_a_second_run_into_one_folder_is_refused_until_the_first_has_ended(root):
    with Destination(root):
        with pytest.raises(Refused, match="another run"), Destination(root):
            pass
        with Destination(root.parent / "other"):
            pass
    with Destination(root):
        pass


def test_a_lock_file_that_was_removed_meanwhile_is_created_and_locked_again(root, monkeypatch):
    flock, calls = fcntl.flock, []

    def late(fd, operation):
        if not calls:
            (root / WORKING / "lock").unlink()  # as a run does when it ends
        calls.append(fd)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with Destination(root):
        assert (root / WORKING / "lock").exists()
        with pytest.raises(Refused, match="another run"), Destination(root):
            pass
    assert len(calls) == 3


def _hold(root, ready):
    with Destination(root) as destination, destination.partial("a.png", "t") as partial:
        os.write(partial.fd, b"half")
        ready.set()
        signal.pause()


def test_a_run_that_was_killed_leaves_its_partials_and_no_lock(root):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(root, ready))
    process.start()
    try:
        assert ready.wait(10)
        with pytest.raises(Refused, match="another run"), Destination(root):
            pass
    finally:
        process.kill()
        process.join()
    assert files(root) == {}
    with Destination(root) as destination, destination.partial("a.png", "t") as partial:
        assert partial.resumed
        partial.finish()
    assert files(root) == {"a.png": b"half"}


def _enter(root, times, held, failures):
    for _ in range(times):
        try:
            with Destination(root):
                if not held.acquire(block=False):
                    failures.put("two holders")
                else:
                    time.sleep(0.001)
                    held.release()
        except Refused:
            pass


def test_only_one_of_several_concurrent_runs_holds_the_folder(root):
    context = multiprocessing.get_context("fork")
    held, failures = context.Lock(), context.Queue()
    processes = [context.Process(target=_enter, args=(root, 25, held, failures)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert failures.empty()


def test_the_rules_of_the_disk_are_detected_with_real_files(root):
    with Destination(root) as destination:
        found = destination.file_system
        assert [path.name for path in (root / WORKING).iterdir()] == ["lock"]
    if sys.platform == "linux":  # its usual file systems distinguish all names
        assert found == FileSystem(max_path_bytes=4096 - len(os.fsencode(root)) - 2)


class FoldingFolder(Folder):
    """A file system that ignores case, as on macOS, and rejects the names that Windows rejects."""

    def open(self, name, flags, mode=0o600):
        if any(letter in name for letter in ':?"'):
            raise OSError(errno.EINVAL, "Invalid argument")
        return super().open(name.lower(), flags, mode)

    def stat(self, name):
        return super().stat(name.lower())

    def unlink(self, name):
        super().unlink(name.lower())

    def replace(self, name, folder, new):
        super().replace(name.lower(), folder, new.lower())


def test_a_case_insensitive_disk_is_detected_and_no_file_replaces_another(root, monkeypatch):
    monkeypatch.setattr("s3_manifest_cli.client.local.destination.folder_at", FoldingFolder.at)
    with Destination(root) as destination:
        assert destination.file_system.ignores_case
        assert destination.file_system.windows_names
        assert not destination.file_system.ignores_unicode_form
        with pytest.raises(Invalid, match=r"holds \?"):
            destination.partial("a?.png", "t")
        write(destination, "a.png", b"first", expected=None)
        with pytest.raises(Refused, match=r"A\.png"):
            write(destination, "A.png", expected=None)
        destination.tidy()
    assert files(root) == {"a.png": b"first"}


FULL = """
import os, subprocess, sys
from pathlib import Path
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.disk import disk_errors
from s3_manifest_cli.errors import Unavailable
root = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=10", "tmpfs", root], check=True)
with Destination(root) as destination:
    with destination.partial("small.png", "t") as partial:
        os.write(partial.fd, b"small")
        partial.finish()
    try:
        with destination.partial("large.png", "t") as partial, disk_errors("large.png", "not written"):
            for _ in range(100):
                os.write(partial.fd, b"x" * 4096)
        raise AssertionError
    except Unavailable as error:
        assert str(error).startswith("'large.png' was not written: the disk is full. Free some space"), error
    destination.tidy()
    try:
        for number in range(20):
            with destination.partial(f"a/{number}", "t") as partial:
                partial.finish()
        raise AssertionError
    except Unavailable as error:
        assert f"'a/{number}' was not written: the disk is full" in str(error), error
    destination.tidy()
print(sorted(path.name for path in root.iterdir()))
"""


def test_a_full_disk_is_reported_and_no_incomplete_file_gets_its_name(root):
    unshare = shutil.which("unshare")
    if not folders.HAS_DESCRIPTORS or not unshare or subprocess.run([unshare, "-Urm", "true"], check=False).returncode:
        pytest.skip("a small disk is mounted in a namespace of its own, which this machine does not allow")
    answer = subprocess.run(
        [unshare, "-Urm", sys.executable, "-c", FULL, root], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "['a', 'small.png']\n"), answer.stderr


def test_missing_permission_is_reported_with_the_file(root):
    if os.geteuid():
        pytest.skip("only root can become somebody without permission, and somebody again")
    if not folders.HAS_DESCRIPTORS:
        pytest.skip("checking the path needs the permission, too")
    (root / "a").mkdir()
    with Destination(root) as destination, destination.partial("a/x", "t") as partial:
        os.seteuid(65534)
        try:
            with pytest.raises(Unavailable, match="'a/x' was not written: permission denied"):
                partial.finish()
            with pytest.raises(Unavailable, match="'a/y' was not written: permission denied"):
                destination.partial("a/y", "t")
        finally:
            os.seteuid(0)
        partial.finish()
    assert files(root) == {"a/x": b""}
