import os
import pty
import sys

from s3_manifest_cli.terminal.output import progress_bar


def terminal_output(monkeypatch, total, *counts):
    """Returns what the progress bar writes to a terminal."""
    primary, secondary = pty.openpty()
    os.set_blocking(primary, False)
    with os.fdopen(secondary, "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        with progress_bar("Computing MD5s", total) as advance:
            for count in counts:
                advance(count, 0)
        output = b""
        # A read returns only what is in the terminal's buffer.
        with os.fdopen(primary, "rb", buffering=0) as terminal:
            while more := terminal.read(65536):
                output += more
        return output.decode()


def test_a_terminal_shows_the_progress_of_a_step(monkeypatch):
    output = terminal_output(monkeypatch, 1234, 1000, 234)
    assert "Computing MD5s" in output
    assert "1,234 of 1,234" in output


def test_no_progress_is_shown_without_a_terminal(capsys):
    with progress_bar("Computing MD5s", 3) as advance:
        advance(3, 0)
    assert capsys.readouterr().err == ""


def test_an_empty_step_shows_no_progress(monkeypatch):
    assert terminal_output(monkeypatch, 0) == ""
