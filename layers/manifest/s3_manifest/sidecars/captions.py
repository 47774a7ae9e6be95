"""Captions and images that lack each other, cannot be read or are not used; and files that look like captions."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from s3_manifest.manifest.model import Entry, Problem
from s3_manifest.sidecars.formats import SIDECARS, captioned_by, captions_of, is_captioned, may_be_caption

MAX_TOLD = 100
"""Of each sort of problem so many are told one by one, and the others counted."""


def problems(prefix: str, entries: Iterable[Entry]) -> Iterator[Problem]:
    """What is wrong with the captions among all entries of a small collection; nothing, where there are none."""
    by_name = {entry.filename: entry for entry in entries}
    texts = {name: entry for name, entry in by_name.items() if entry.caption is not None}
    broken = (Problem(s3_key=one.s3_key, problem=one.problem) for one in texts.values() if one.problem)
    yield from _first(prefix, broken, "captions cannot be read")
    orphans = (
        Problem(s3_key=one.s3_key, problem="there is no image that this is the caption of")
        for name, one in texts.items()
        if not any(image in by_name for image in captioned_by(name))
    )
    yield from _first(prefix, orphans, "captions have no image")
    bare = (
        Problem(s3_key=one.s3_key, problem="it has no caption, though others have")
        for name, one in by_name.items()
        if texts and one.is_file and is_captioned(name) and not any(caption in texts for caption in captions_of(name))
    )
    yield from _first(prefix, bare, "images have no caption")
    yield from _first(prefix, _unused(by_name), "captions are not used")
    yield from _first(prefix, _silent(by_name), "files look like captions or sidecars")
    if several := sum("\n" in (one.caption or "") or "\r" in (one.caption or "") for one in texts.values()):
        of_lines = (
            f"captions of several lines: {several}; all lines of each are the prompt, also if they are alternatives"
        )
        yield Problem(s3_key=prefix, problem=of_lines)


def _unused(by_name: Mapping[str, Entry]) -> Iterator[Problem]:
    """Captions that say something else than the one that counts."""
    for name in by_name:
        if not is_captioned(name):
            continue
        found = [entry for caption in captions_of(name) if (entry := by_name.get(caption)) and entry.caption]
        for other in found[1:]:
            if other.caption != found[0].caption:
                why = f"it is not used for {name}: {found[0].filename} counts first, and says something else"
                yield Problem(s3_key=other.s3_key, problem=why)


def _silent(by_name: Mapping[str, Entry]) -> Iterator[Problem]:
    """Files that others may take for descriptions."""
    for name, entry in by_name.items():
        if not entry.is_file:
            continue
        folder, _, last = name.rpartition("/")
        if folder and last in SIDECARS:
            yield Problem(
                s3_key=entry.s3_key, problem=f"it is a file: {last} is read at the top of the collection only"
            )
        elif may_be_caption(name) and _is_beside(name, by_name):
            why = "it is a file, though it lies beside an image: it says no prompt, text or caption that can be read"
            yield Problem(s3_key=entry.s3_key, problem=why)


def _is_beside(name: str, by_name: Mapping[str, Entry]) -> bool:
    """Whether there is a file that this may be meant to describe: ``a.png`` of ``a.json``, and of ``a.png.json``."""
    described = (name.rpartition(".")[0], *captioned_by(name))
    return any(is_captioned(other) and other in by_name for other in described)


def _first(prefix: str, found: Iterator[Problem], of_others: str) -> Iterator[Problem]:
    yield from islice(found, MAX_TOLD)
    if more := sum(1 for _ in found):
        yield Problem(s3_key=prefix, problem=f"{more} more {of_others}")
