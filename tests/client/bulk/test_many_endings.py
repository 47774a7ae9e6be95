"""How commands for many collections end in a real process: interrupted, and with a progress bar."""

import os
import pty
import signal
import threading

import pytest
from client.processes import read_terminal, start
from client.transfers import refusal

pytestmark = pytest.mark.slow


def started(several, *arguments, **more):
    sides = several.sides
    return start({"HOME": str(sides.cache)} | sides.environment, *arguments, **more)


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
    shown = read_terminal(controller)
    assert pull.wait(30) == 3
    assert b"3 of 3" in shown
    assert b"style/1: " in shown
    output = pull.stdout.read()
    pull.stdout.close()
    assert sorted(output.splitlines())[1:] == ["style/0: 1 downloaded (18 bytes)", "style/2: 1 downloaded (18 bytes)"]
    assert "\x1b" not in output
