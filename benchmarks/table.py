"""Results as Markdown."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Aim(NamedTuple):
    """An aim in words, its result, and whether the result meets it."""

    aim: str
    result: str
    met: bool


class Section(NamedTuple):
    """The report of one benchmark; ``text`` is Markdown."""

    title: str
    aims: Sequence[Aim]
    text: str


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column is text and whose other columns are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def report(sections: Sequence[Section]) -> str:
    """The table of all aims, followed by each section."""
    aims = [
        (section.title, a.aim, a.result, "yes" if a.met else "**no**") for section in sections for a in section.aims
    ]
    summary = "\n".join(
        ["| | aim | result | met |", "| --- | --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in aims)]
    )
    return "\n\n".join([summary, *(f"## {section.title}\n\n{section.text}" for section in sections)])
