"""The programs that ``client_transfer`` compares, each with the concurrency that its documentation recommends."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks import yardsticks
from benchmarks.sweep_bucket import BUCKET
from benchmarks.yardsticks import Missing

Verb = Literal["pull", "push"]


class Program(NamedTuple):
    """``command`` returns the command line that copies between a folder and ``BUCKET/styles/ID/``."""

    title: str
    command: Callable[[Verb, Path, str], list[str | Path]]


def ours() -> Program:
    """``s3-manifest``."""

    def command(verb: Verb, folder: Path, style: str) -> list[str | Path]:
        sides: list[str | Path] = [f"style/{style}", folder]
        return [yardsticks.ours(), verb, *(sides if verb == "pull" else reversed(sides)), "--quiet"]

    return Program("s3-manifest", command)


def others() -> tuple[list[Program], list[str]]:
    """The other programs, and the reasons why some are not available."""
    available, unavailable = [], []
    for name, programs_of in (("rclone", _rclone), ("aws", _aws), ("s5cmd", _s5cmd)):
        path = yardsticks.program(name)
        if isinstance(path, Missing):
            unavailable.append(path.reason)
        else:
            available += programs_of(path)
    return available, unavailable


def _rclone(path: Path) -> list[Program]:
    def copy(*flags: str) -> Callable[[Verb, Path, str], list[str | Path]]:
        def command(verb: Verb, folder: Path, style: str) -> list[str | Path]:
            sides: list[str | Path] = [f"bench:{BUCKET}/styles/{style}", folder]
            return [path, "copy", *(sides if verb == "pull" else reversed(sides)), "--quiet", *flags]

        return command

    # https://rclone.org/s3/#reducing-costs and https://rclone.org/docs/#transfers-int
    many = ("--transfers", "32", "--checkers", "32", "--fast-list", "--s3-upload-concurrency", "8")
    return [Program("rclone copy", copy()), Program("rclone copy --transfers 32", copy(*many))]


def _aws(path: Path) -> list[Program]:
    def command(verb: Verb, folder: Path, style: str) -> list[str | Path]:
        sides: list[str | Path] = [f"s3://{BUCKET}/styles/{style}", folder]
        return [path, "s3", "sync", *(sides if verb == "pull" else reversed(sides)), "--only-show-errors"]

    return [Program("aws s3 sync", command)]


def _s5cmd(path: Path) -> list[Program]:
    def command(verb: Verb, folder: Path, style: str) -> list[str | Path]:
        remote = f"s3://{BUCKET}/styles/{style}/"
        sides = [f"{remote}*", f"{folder}/"] if verb == "pull" else [f"{folder}/", remote]
        return [path, "--log", "error", "cp", *sides]

    return [Program("s5cmd cp", command)]
