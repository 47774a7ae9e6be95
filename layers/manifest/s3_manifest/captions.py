"""Captions and images that lack each other, or cannot be read."""

from collections.abc import Iterable, Iterator
from itertools import islice

from s3_manifest.model import Entry, Problem
from s3_manifest.sidecars import caption_of, captioned_by, is_image

MAX_TOLD = 100
"""Of each sort of problem so many are told one by one, and the others counted."""


def problems(prefix: str, entries: Iterable[Entry]) -> Iterator[Problem]:
    """What is wrong with the captions among all entries of a small collection; nothing, where there are none."""
    by_name = {entry.filename: entry for entry in entries}
    texts = {name: entry for name, entry in by_name.items() if entry.caption is not None}
    if not texts:
        return
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
        if one.is_file and is_image(name) and caption_of(name) not in texts
    )
    yield from _first(prefix, bare, "images have no caption")


def _first(prefix: str, found: Iterator[Problem], of_others: str) -> Iterator[Problem]:
    yield from islice(found, MAX_TOLD)
    if more := sum(1 for _ in found):
        yield Problem(s3_key=prefix, problem=f"{more} more {of_others}")
