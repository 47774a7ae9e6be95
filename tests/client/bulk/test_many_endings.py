"""How commands for many collections end in a real process: killed, interrupted, with a progress bar."""

import os
import pty
import signal
import threading
from pathlib import Path

import pytest
from client.processes import start
from client.sides import content_of
from client.transfers import refusal

from s3_manifest.manifest.filenames import WORKING_FOLDER

pytestmark = pytest.mark.slow

ACTORS, IMAGES = 289, 6
NAMES = [f"image_{number:03d}.png" for number in range(IMAGES)]


def started(several, *arguments, **more):
    sides = several.sides
    return start({"HOME": str(sides.cache)} | sides.environment, *arguments, **more)


def pulled(data):
    """The files under their own names, as ``ID/NAME``, with their bytes; none of the client's own."""
    files = [path for path in data.rglob("*") if path.is_file() and WORKING_FOLDER not in path.parts]
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in files}


def requested_images(several):
    """The images that were requested, as ``ID/NAME``."""
    keys = [Path(request.key) for request in several.sides.proxy.of("GET", ".png")]
    return [f"{key.parent.name}/{key.name}" for key in keys]


def test_a_pull_of_289_actors_that_is_killed_halfway_is_completed_by_the_same_command(several, tmp_path):
    actors = [f"{number:04d}_actor" for number in range(ACTORS)]
    for actor in actors:
        several.put(f"actor/{actor}", *NAMES)
    expected = {f"{actor}/{name}": content_of(name) for actor in actors for name in NAMES}
    proxy, data = several.sides.proxy, tmp_path / "data"
    half, answered = threading.Event(), 0

    def after(request, reply):
        nonlocal answered
        answered += request.key.endswith(".png")
        if answered >= len(expected) // 2:
            half.set()
        return reply

    proxy.after = after
    first = started(several, "pull", "actor/*", data / "{id}")
    try:
        assert half.wait(120)
    finally:
        first.kill()
    output, _ = first.communicate(timeout=20)
    assert first.returncode == -signal.SIGKILL
    present = pulled(data)
    assert present.items() <= expected.items()  # each file is whole
    assert 0 < len(present) < len(expected)
    assert 0 < output.count("6 downloaded") < ACTORS

    proxy.after = lambda _, reply: reply
    proxy.seen.clear()
    second = started(several, "pull", "actor/*", data / "{id}")
    output, errors = second.communicate(timeout=120)
    assert (second.returncode, errors) == (0, "")
    assert pulled(data) == expected
    assert sorted(requested_images(several)) == sorted(expected.keys() - present.keys())
    missing = len(expected) - len(present)
    assert f"{ACTORS} collections: {missing:,} downloaded (" in output
    assert list(data.rglob(WORKING_FOLDER)) == []

    proxy.seen.clear()
    third = started(several, "status", data / "{id}", "actor/*", "--quiet")
    third.communicate(timeout=120)
    assert third.returncode == 0
    assert [request.method for request in proxy.seen] == ["GET"]  # one listing


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_all_collections_at_once(several, tmp_path, number):
    for style in range(20):
        several.put(f"style/{style}", "a.png", "slow.png")
    received, end = threading.Semaphore(0), threading.Event()

    def before(request):
        if request.key.endswith("slow.png"):
            received.release()
            end.wait(20)

    several.sides.proxy.before = before
    pull = started(several, "pull", "style/*", tmp_path / "{id}", "--json")
    try:
        for _ in range(5):
            assert received.acquire(timeout=20)
        pull.send_signal(number)
        output, errors = pull.communicate(timeout=20)
    finally:
        end.set()
        pull.kill()
    assert (pull.returncode, errors) == (130, "Interrupted. Run the command again to continue.\n")
    assert '"code": "interrupted"' in output.splitlines()[-1]
    several.sides.proxy.before = lambda _: None
    several.sides.call("pull", "style/*", tmp_path / "{id}")
    assert len(list(tmp_path.glob("*/slow.png"))) == 20


def test_an_interruption_ends_a_wait_for_many_manifests(several, tmp_path):
    for style in range(3):
        several.put(f"style/{style}", "a.png")
        (tmp_path / str(style)).mkdir()
        (tmp_path / str(style) / "new.png").write_bytes(b"new")
    stored = threading.Semaphore(0)

    def after(request, reply):
        if request.method == "PUT":
            stored.release()
        return reply

    several.sides.proxy.after = after
    push = started(several, "push", tmp_path / "{id}", "style/*", "--wait", 600)
    try:
        for _ in range(3):
            assert stored.acquire(timeout=20)
        push.send_signal(signal.SIGINT)
        push.communicate(timeout=20)
    finally:
        push.kill()
    assert push.returncode == 130


def test_one_progress_bar_counts_the_collections_and_stdout_has_the_lines(several, tmp_path):
    for style in range(3):
        several.put(f"style/{style}", "a.png")
    several.sides.proxy.before = lambda request: (
        refusal(403, "AccessDenied") if request.key.endswith("1/manifest.json") else None
    )
    controller, terminal = pty.openpty()
    pull = started(several, "pull", "style/*", tmp_path / "{id}", stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while block := os.read(controller, 65536):
            shown += block
    except OSError:  # Linux raises it after the other end is closed
        pass
    finally:
        os.close(controller)
    assert pull.wait(30) == 3
    assert b"3 of 3" in shown
    assert b"style/1: " in shown
    output = pull.stdout.read()
    pull.stdout.close()
    assert sorted(output.splitlines())[1:] == ["style/0: 1 downloaded (18 bytes)", "style/2: 1 downloaded (18 bytes)"]
    assert "\x1b" not in output
