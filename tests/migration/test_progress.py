import os
import pty
import sys

from s3_manifest_cli.terminal.output import progress_bar


def shown_on_a_terminal(monkeypatch, total, *counts):
    """All that a terminal as stderr gets to see of a step."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    with os.fdopen(theirs, "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        with progress_bar("Computing MD5s", total) as advance:
            for count in counts:
                advance(count, 0)
        shown = b""
        # One read returns no more than a terminal's buffer had at that moment.
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            while more := terminal.read(65536):
                shown += more
        return shown.decode()


def test_a_terminal_shows_the_progress_of_a_step(monkeypatch):
    shown = shown_on_a_terminal(monkeypatch, 1234, 1000, 234)
    assert "Computing MD5s" in shown
    assert "1,234 of 1,234" in shown


def test_no_progress_is_shown_without_a_terminal(capsys):
    with progress_bar("Computing MD5s", 3) as advance:
        advance(3, 0)
    assert capsys.readouterr().err == ""


def test_an_empty_step_shows_no_progress(monkeypatch):
    assert shown_on_a_terminal(monkeypatch, 0) == ""
