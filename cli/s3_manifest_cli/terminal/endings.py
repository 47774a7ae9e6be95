"""How a run that failed ends: one line on stderr, with ``--json`` one object on stdout, and an exit code.

It imports nothing but Python's own modules: it also ends a run that is interrupted while everything else is imported.
"""

import contextlib
import errno
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

DIFFERENCES, USAGE, FAILED, INTERRUPTED = 1, 2, 3, 130
"""Exit codes; 0 is: everything is in sync, or done."""

DEBUG_VARIABLE = "S3_MANIFEST_DEBUG"
"""An environment variable: where it is set, the traceback of an error is printed too."""


class Ending(NamedTuple):
    """Why a run failed. ``message`` is all that the user reads; ``remedy`` is the part of it that says what to do."""

    exit_code: int
    code: str
    message: str
    remedy: str = ""


INTERRUPTION = Ending(INTERRUPTED, "interrupted", "Interrupted; a repeat goes on from here.")


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether ``--json`` is among the options, also where they could not be parsed."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def of_os_error(error: OSError) -> Ending:
    """A disk, or what reads this program's output, said no."""
    if error.errno in (errno.EPIPE, errno.EBADF) and not error.filename:
        return Ending(FAILED, "output_closed", "stdout was closed before everything was written to it.")
    words = error.strerror or str(error) or type(error).__name__
    where = ": ".join(map(printable, filter(None, map(_path, (error.filename, error.filename2)))))
    code = errno.errorcode.get(error.errno or 0, "failed")
    return Ending(FAILED, code, f"{where}: {words}" if where else words)


def of_unexpected(error: BaseException) -> Ending:
    """An error that nobody foresaw: what it is, where it was raised, and where to report it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""  # noqa: PTH119  # no more imports
    words = " ".join(str(error).split())
    told = f"{type(error).__name__}{place}" + (f": {words}" if words else "")
    remedy = (
        "Please report it in the issue tracker of s3-manifest, with what the same command prints when"
        f" {DEBUG_VARIABLE}=1 is set."
    )
    return Ending(FAILED, "unexpected", f"Unexpected {printable(told)}. {remedy}", remedy)


def report(ending: Ending, *, as_json: bool, shown: bool = False) -> None:
    """Prints why the run failed. ``shown``: stderr has it already."""
    if not shown:
        line = ending.message if ending.exit_code == INTERRUPTED else f"Error: {ending.message}"
        _print(sys.stderr, printable(line))
    if os.environ.get(DEBUG_VARIABLE) and sys.exc_info()[0] and ending.exit_code != INTERRUPTED:
        _print(sys.stderr, traceback.format_exc().rstrip())
    if as_json:
        fields = {
            "error": ending.message,
            "code": ending.code,
            "remedy": ending.remedy or None,
            "exit_code": ending.exit_code,
        }
        _print(sys.stdout, json.dumps(fields))


def printable(text: str) -> str:
    """A text on one line, which strangers' names in it can neither end nor use to control a terminal."""
    return text if text.isprintable() else repr(text)[1:-1]


def prepare_streams() -> None:
    """Makes stdout and stderr take every text, whatever their encoding, and be there even where they were closed."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _closed(number))
        elif reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def flush(stream: object) -> OSError | None:
    """Writes what is left of a stream; why that failed. Python then tries no more at its end."""
    try:
        if stream is not None:
            stream.flush()  # type: ignore[attr-defined]  # a stream
    except OSError as error:
        _drop(stream)
        return error
    except ValueError:  # it is closed
        return None
    return None


def _closed(number: int) -> object:
    """A stream in place of one that was closed before this program began: stdout refuses what is written, as it should.

    It takes the number, so that no file that is opened later gets it.
    """
    descriptor = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_WRONLY)
    if descriptor != number:
        with contextlib.suppress(OSError):
            os.dup2(descriptor, number)
    return os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _print(stream: object, text: str) -> None:
    try:
        print(text, file=stream, flush=True)  # type: ignore[call-overload]  # a stream
    except (OSError, ValueError):
        _drop(stream)


def _drop(stream: object) -> None:
    """Drops what is still in the buffer: Python would fail at it once more at its end, with an exit code of 120."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())  # type: ignore[attr-defined]  # a stream
        os.close(descriptor)


def _path(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else ""
