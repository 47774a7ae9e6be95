"""The program's start. Ctrl-C ends it at any moment, also while it is imported, with one line and the exit code 130.

It imports next to nothing before it listens.
"""

import signal
import sys
from types import FrameType
from typing import Any

_interrupted = False


def run() -> None:
    """Runs the command line, and exits."""
    _listen()
    try:
        from s3_manifest_cli.main import main  # noqa: PLC0415  # see above

        main()
    except KeyboardInterrupt:
        _end(reported=False)
    except SystemExit as ended:
        if ended.code == 130:
            _end(reported=True)
        raise
    except BaseException:
        if _interrupted:
            _end(reported=False)
        raise


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed, whatever has become of it: libraries turn it into errors of their own."""
    return _interrupted


def _listen() -> None:
    # A shell has its background jobs ignore Ctrl-C: then it stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _unraisable


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    global _interrupted  # noqa: PLW0603  # a signal has no other way to tell
    _interrupted = True
    raise KeyboardInterrupt


def _unraisable(about: Any) -> None:  # noqa: ANN401  # its type exists for type checkers alone
    """An exception in a callback from C ends there. If it is Ctrl-C, it is raised anew where it can end the run."""
    if not issubclass(about.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(about)
        return
    import _thread  # noqa: PLC0415
    import threading  # noqa: PLC0415

    again = threading.Timer(0.05, _thread.interrupt_main)
    again.daemon = True
    again.start()


def _end(*, reported: bool) -> None:
    """Ends the process at once, without waiting for threads that still read or wait for an answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import os  # noqa: PLC0415

    from s3_manifest_cli.terminal import endings  # noqa: PLC0415

    if not reported:
        endings.report(endings.INTERRUPTION, as_json=endings.asks_for_json(sys.argv[1:]))
    for stream in (sys.stdout, sys.stderr):
        endings.flush(stream)
    os._exit(endings.INTERRUPTED)
