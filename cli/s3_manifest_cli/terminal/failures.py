"""Reports a failure: one line on stderr, with ``--json`` one object on stdout, and an exit code.

Imports the standard library only, because it also reports an interruption while everything else is being imported.
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
"""Exit codes; 0 is success."""

DEBUG_VARIABLE = "S3_MANIFEST_DEBUG"
"""If this environment variable is set, errors come with a traceback."""


class Failure(NamedTuple):
    """Why a command failed. ``message`` ends with ``remedy``, the next step."""

    exit_code: int
    code: str
    message: str
    remedy: str = ""


INTERRUPTION = Failure(INTERRUPTED, "interrupted", "Interrupted. Run the command again to continue.")


def is_json_requested(arguments: Sequence[str]) -> bool:
    """Whether ``--json`` is among the options, even if they cannot be parsed."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def of_os_error(error: OSError) -> Failure:
    """A file or stream that could not be read or written."""
    if error.errno in (errno.EPIPE, errno.EBADF) and not error.filename:
        return Failure(FAILED, "output_closed", "Standard output was closed before all output was written.")
    words = error.strerror or str(error) or type(error).__name__
    names = (name for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike))
    where = ": ".join(printable(os.fsdecode(name)) for name in names if name)
    code = errno.errorcode.get(error.errno or 0, "failed")
    return Failure(FAILED, code, f"{where}: {words}" if where else words)


def of_unexpected(error: BaseException) -> Failure:
    """A bug: the error, where it was raised, and how to report it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""  # noqa: PTH119  # no more imports
    words = " ".join(str(error).split())
    details = f"{type(error).__name__}{place}" + (f": {words}" if words else "")
    remedy = f"Please report this bug with the output of the same command run with {DEBUG_VARIABLE}=1."
    return Failure(FAILED, "unexpected", f"Unexpected error: {printable(details)}. {remedy}", remedy)


def report(failure: Failure, *, as_json: bool, is_printed: bool = False) -> None:
    """Prints a failure. ``is_printed``: stderr has it already."""
    if not is_printed:
        line = failure.message if failure.exit_code == INTERRUPTED else f"Error: {failure.message}"
        _print(sys.stderr, printable(line))
    if (error := sys.exc_info()[1]) and failure.exit_code != INTERRUPTED:
        print_traceback(error)
    if as_json:
        fields = {
            "error": failure.message,
            "code": failure.code,
            "remedy": failure.remedy or None,
            "exit_code": failure.exit_code,
        }
        _print(sys.stdout, json.dumps(fields))


def print_traceback(error: BaseException) -> None:
    """Prints where an error was raised, if ``DEBUG_VARIABLE`` is set."""
    if os.environ.get(DEBUG_VARIABLE):
        _print(sys.stderr, "".join(traceback.format_exception(error)).rstrip())


def printable(text: str) -> str:
    """The text with control characters escaped: keys are untrusted input, and could control the terminal."""
    return text if text.isprintable() else repr(text)[1:-1]


def prepare_streams() -> None:
    """Makes stdout and stderr accept every character, and replaces them if they are closed."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _closed_stream(number))
        elif reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def flush(stream: object) -> OSError | None:
    """Flushes a stream. Returns the error, after which Python does not flush it again at exit."""
    try:
        if stream is not None:
            stream.flush()  # type: ignore[attr-defined]  # a stream
    except OSError as error:
        _drop(stream)
        return error
    except ValueError:
        pass  # it is closed
    return None


def _closed_stream(number: int) -> object:
    """Replaces a stream that was closed before the program started; writing to stdout still fails.

    It occupies the descriptor, so that no file opened later gets it.
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
    """Discards the buffer: otherwise Python fails to flush it at exit, and exits with 120."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())  # type: ignore[attr-defined]  # a stream
        os.close(descriptor)
