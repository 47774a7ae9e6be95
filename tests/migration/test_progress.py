import os
import pty
import sys

import pytest

from s3_manifest_cli.migration.progress import progress


@pytest.fixture
def terminal(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        yield ours
    os.close(ours)


def test_a_terminal_shows_how_far_a_step_is(terminal):
    with progress("Computing MD5s", 1234) as told:
        told(1000)
        told(234)
    shown = os.read(terminal, 65536).decode()
    assert "Computing MD5s" in shown
    assert "1234/1234" in shown


def test_what_is_no_terminal_shows_nothing(capsys):
    with progress("Computing MD5s", 3) as told:
        told(3)
    assert capsys.readouterr().err == ""


def test_a_step_with_nothing_to_do_shows_nothing(terminal):
    with progress("Computing MD5s", 0) as told:
        told(0)
    os.set_blocking(terminal, False)
    with pytest.raises(BlockingIOError):
        os.read(terminal, 1)
