"""Results as Markdown."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Aim(NamedTuple):
    """What was aimed at, in words, and what came of it."""

    aim: str
    result: str
    met: bool


class Section(NamedTuple):
    """One benchmark's answer; ``text`` is Markdown."""

    title: str
    aims: Sequence[Aim]
    text: str


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; its first column is text, the others numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def report(sections: Sequence[Section]) -> str:
    """The table of all aims, and then each section."""
    aims = [
        (section.title, a.aim, a.result, "yes" if a.met else "**no**") for section in sections for a in section.aims
    ]
    summary = "\n".join(
        ["| | aim | result | met |", "| --- | --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in aims)]
    )
    return "\n\n".join([summary, *(f"## {section.title}\n\n{section.text}" for section in sections)])
