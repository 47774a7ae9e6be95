"""How copies end: interrupted, with a full disk or without a server; and their prompts and progress."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from client.processes import read_terminal, start
from client.sides import bytes_by_name
from client.transfers import random_bytes, refusal

from s3_manifest_cli.client.local import folders

pytestmark = pytest.mark.slow


def started(sides, *arguments, **more):
    return start({"HOME": str(sides.cache)} | sides.environment, *arguments, **more)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_pull_ends_immediately_and_the_next_one_resumes(sides, number):
    sides.put("a.png", "slow.png", "b.png", "deep/slow.png")
    received, end = threading.Event(), threading.Event()

    def before(request):
        if request.method == "GET" and request.key.endswith("slow.png"):
            received.set()
            end.wait(20)

    sides.proxy.before = before
    pull = started(sides, "pull", "style/16", sides.folder)
    try:
        assert received.wait(20)
        pull.send_signal(number)
        _, stderr = pull.communicate(timeout=20)
    finally:
        end.set()
        pull.kill()
    assert (pull.returncode, stderr) == (130, "Interrupted. Run the command again to continue.\n")
    assert sides.files.items() <= bytes_by_name("a.png", "b.png").items()
    sides.proxy.before = lambda _: None
    sides.pull()
    assert sides.files == bytes_by_name("a.png", "slow.png", "b.png", "deep/slow.png")
    assert sorted(path.name for path in sides.folder.iterdir()) == ["a.png", "b.png", "deep", "slow.png"]


@pytest.mark.slow
def test_an_interrupted_push_ends_immediately_and_the_next_one_resumes(sides):
    large = random_bytes(40 << 20)
    sides.write("a.png", "slow.png")
    sides.write("large.bin", body=large)
    stored, end = threading.Semaphore(0), threading.Event()

    def before(request):
        # S3 receives neither the other parts nor a small file.
        is_late = any(f"partNumber={number}" in request.path for number in (2, 3))
        if request.method == "PUT" and (request.key.endswith("slow.png") or is_late):
            end.wait(20)
            return refusal(500, "InternalError")
        return None

    def after(request, reply):
        if request.method == "PUT":
            stored.release()
        return reply

    sides.proxy.before, sides.proxy.after = before, after
    push = started(sides, "push", sides.folder, "style/16")
    try:
        for _ in range(2):  # a.png, and the first part
            assert stored.acquire(timeout=20)
        push.send_signal(signal.SIGINT)
        _, stderr = push.communicate(timeout=20)
    finally:
        end.set()
        push.kill()
    assert (push.returncode, stderr) == (130, "Interrupted. Run the command again to continue.\n")
    sides.proxy.before = lambda _: None
    sides.proxy.seen.clear()
    sides.push()
    assert sides.objects == bytes_by_name("a.png", "slow.png") | {"large.bin": large}
    assert not [request for request in sides.proxy.of("PUT") if "partNumber=1" in request.path]
    assert sides.bucket.unfinished() == []


@pytest.mark.slow
def test_a_server_that_disappears_is_reported_and_a_second_pull_finishes(sides):
    large = random_bytes(9 << 20)
    sides.put("a.png", "b.png", "c.png")
    sides.put("large.bin", body=large)

    def after(request, reply):
        # The manifest and one response are complete; the others are cut.
        if request.method != "GET" or request.key.endswith(("manifest.json", "a.png")):
            return reply
        return reply._replace(cut=len(reply.body) // 2)

    sides.proxy.after = after
    answer = sides.pull(exit_code=3)
    assert sides.files == bytes_by_name("a.png")
    assert answer.stderr.count("\n") == 3
    assert "3 files failed. Run the command again to retry" in answer.stdout
    sides.proxy.after = lambda _, reply: reply
    sides.proxy.seen.clear()
    sides.pull()
    assert sides.files == bytes_by_name("a.png", "b.png", "c.png") | {"large.bin": large}
    assert "a.png" not in sides.gets()


def test_if_s3_refuses_everything_the_user_reads_one_error(sides):
    sides.put("a.png")
    sides.proxy.before = lambda _: refusal(403, "AccessDenied")
    head = f"s3://{sides.bucket.name}/_manifests/styles/16/manifest.json"
    for call in (sides.pull, sides.sync, lambda **more: sides.restore("--in-s3", **more)):
        answer = call(exit_code=3)
        assert answer.stderr.startswith(f"Error: {head}: not read: 403")
        assert "Traceback" not in answer.stderr


@pytest.mark.slow
@pytest.mark.parametrize("refused", ["HEAD", "GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("verb", ["pull", "push", "sync", "restore"])
def test_every_refusal_of_s3_names_its_file(sides, verb, refused):
    sides.put("a.png", "b.png", "c.png")
    sides.write("b.png", "d.png", "e.png")
    below = f"/{sides.bucket.name}/styles/16/"
    sides.proxy.before = lambda request: (
        refusal(403, "AccessDenied") if request.method == refused and request.key.startswith(below) else None
    )
    places = [sides.folder, "style/16"] if verb in {"push", "sync"} else ["style/16", sides.folder]
    does = {("pull", "GET"), ("push", "PUT"), ("sync", "GET"), ("sync", "PUT"), ("restore", "GET")}
    answer = sides.call(verb, *places, exit_code=3 if (verb, refused) in does else 0)
    assert "Traceback" not in answer.stderr
    if (verb, refused) in does:
        assert "Allow s3:" in answer.stderr


FULL = """
import os, subprocess, sys
root, *command = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", root], check=True)
first = subprocess.run(command, capture_output=True, text=True)
there = sorted(name for name in os.listdir(root) if not name.startswith("."))
subprocess.run(["mount", "-o", "remount,size=4m", root], check=True)
second = subprocess.run(command, capture_output=True, text=True)
print(first.returncode, second.returncode, there, sorted(os.listdir(root)))
print(first.stderr)
"""


@pytest.mark.slow
def test_a_full_disk_is_reported_and_a_second_pull_finishes(sides):
    unshare = shutil.which("unshare")
    if not folders.HAS_DESCRIPTORS or not unshare or subprocess.run([unshare, "-Urm", "true"], check=False).returncode:
        pytest.skip("a small disk is mounted in a namespace of its own, which this machine does not allow")
    sides.put("large.png", body=random_bytes(300_000))
    sides.put("small.png")
    command = [sys.executable, "-m", "s3_manifest_cli", "pull", "style/16", str(sides.folder)]
    answer = subprocess.run(
        [unshare, "-Urm", sys.executable, "-c", FULL, str(sides.folder), *command],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ) | sides.environment,
    )
    first, *document = answer.stdout.splitlines()
    # Whether the small file fits depends on how much of the large one was written.
    small_too = "3 0 ['small.png'] ['large.png', 'small.png']"
    assert first in {small_too, small_too.replace("['small.png'] ", "[] ")}, (answer.stdout, answer.stderr)
    assert (
        document[0] == "download large.png: not written: the disk is full. Free some space, and run the command again."
    )


def test_progress_is_shown_only_on_a_terminal(sides):
    sides.put("a.png", "b.png")
    pull = started(sides, "pull", "style/16", sides.folder)
    assert pull.communicate(timeout=30)[1] == ""
    shutil.rmtree(sides.folder)
    controller, terminal = pty.openpty()
    pull = started(sides, "pull", "style/16", sides.folder, stderr=terminal)
    os.close(terminal)
    shown = read_terminal(controller)
    assert pull.wait(30) == 0
    assert b"2 of 2 files" in shown
    stdout = pull.stdout.read()
    pull.stdout.close()
    assert stdout.startswith("Downloaded 2 files (36 bytes) from style/16 to ")
    assert "\x1b" not in stdout


WHAT_IS_IMPORTED = """
import sys
from s3_manifest_cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    heavy = ("boto3", "rich", "s3_manifest_cli.client.transfer.crt")
    print(ended.code, [name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("arguments", "imported"),
    [(["--help"], "0 []"), (["status", "FOLDER", "style/16"], "0 ['boto3']")],
)
def test_modules_that_are_not_used_are_not_imported(sides, arguments, imported):
    sides.put("a.png")
    sides.write("a.png")
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            WHAT_IS_IMPORTED,
            *(str(sides.folder) if argument == "FOLDER" else argument for argument in arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ) | sides.environment,
    )
    assert answer.stderr == ""
    assert answer.stdout.splitlines()[-1] == imported


@pytest.mark.parametrize(("where", "message"), [("x" * 300, "File name too long"), ("file/x", "is in its path")])
def test_an_impossible_folder_is_one_clear_error(sides, where, message):
    sides.put("a.png")
    sides.write("file")
    sides.folder = sides.folder / where
    answer = sides.pull(exit_code=3)
    assert message in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_without_a_writable_cache_copies_work(sides):
    sides.put("a.png")
    sides.write("b.png")
    sides.cache.write_bytes(b"no folder")
    sides.pull()
    sides.push()
    sides.commit("b.png")
    sides.sync()
    assert sides.files == sides.objects == bytes_by_name("a.png", "b.png")
