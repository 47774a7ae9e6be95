"""The entry point. Ctrl-C ends the program at any time, even during imports, with one line and exit code 130.

It installs its signal handler before it imports anything large.
"""

import signal
import sys
from types import FrameType
from typing import Any

_interrupted = False


def run() -> None:
    """Runs the command line and exits."""
    _handle_interrupts()
    try:
        from s3_manifest_cli.main import main  # noqa: PLC0415  # after the handler

        main()
    except KeyboardInterrupt:
        _exit(is_reported=False)
    except SystemExit as error:
        if error.code == 130:
            _exit(is_reported=True)
        raise
    except BaseException:
        if _interrupted:
            _exit(is_reported=False)
        raise


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed; libraries may have turned the interrupt into errors of their own."""
    return _interrupted


def _handle_interrupts() -> None:
    # Shells make background jobs ignore Ctrl-C; keep it ignored then.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _unraisable


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    global _interrupted  # noqa: PLW0603  # a signal handler cannot return anything
    _interrupted = True
    raise KeyboardInterrupt


def _unraisable(unraisable: Any) -> None:  # noqa: ANN401  # its type exists for type checkers only
    """Raises Ctrl-C again in the main thread if it hit a callback from C, which swallows exceptions."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    import _thread  # noqa: PLC0415
    import threading  # noqa: PLC0415

    retry = threading.Timer(0.05, _thread.interrupt_main)
    retry.daemon = True
    retry.start()


def _exit(*, is_reported: bool) -> None:
    """Exits immediately, without waiting for threads that are still reading or waiting for a response."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import os  # noqa: PLC0415

    from s3_manifest_cli.terminal import failures  # noqa: PLC0415

    if not is_reported:
        failures.report(failures.INTERRUPTION, as_json=failures.is_json_requested(sys.argv[1:]))
    for stream in (sys.stdout, sys.stderr):
        failures.flush(stream)
    os._exit(failures.INTERRUPTED)
