"""Captions: which file they describe, what they say, and what is wrong with them."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from s3_manifest.manifest.lenient_json import UnreadableDocument, decode_text, read_json
from s3_manifest.manifest.model import Entry, Problem
from s3_manifest.sidecars.content import PROMPT_COLUMNS, choices
from s3_manifest.sidecars.formats import SIDECARS

MAX_CAPTION_BYTES = 64 << 10
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jxl")
VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v")
"""Images and videos are what a file of the same name may be the caption of, in lower case or in capitals."""

CAPTION_SUFFIXES = (".txt", ".caption", ".json")
"""Of captions, in lower case or in capitals. Of several beside one file the first that has a text counts."""


def _and_in_capitals(suffixes: Iterable[str]) -> tuple[str, ...]:
    return tuple(case for suffix in suffixes for case in (suffix, suffix.upper()))


_IMAGES, _CAPTIONED = _and_in_capitals(IMAGE_SUFFIXES), _and_in_capitals((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))


_CAPTIONS, _TEXTS = _and_in_capitals(CAPTION_SUFFIXES), _and_in_capitals((".txt", ".caption"))


def is_caption(filename: str) -> bool:
    """Whether an object of that name is a caption, whatever it says: any ``.txt`` and ``.caption``."""
    return filename.endswith(_TEXTS)


def may_be_caption(filename: str) -> bool:
    """Whether it is, or may be: a ``.json`` is one if it says a prompt, and else a file."""
    return filename.endswith(_CAPTIONS) and filename not in SIDECARS


def is_image(filename: str) -> bool:
    """Whether it is an image, by its name."""
    return filename.endswith(_IMAGES)


def can_have_caption(filename: str) -> bool:
    """Whether a caption may lie beside it: it is an image or a video, by its name."""
    return filename.endswith(_CAPTIONED)


def caption_filename(filename: str) -> str:
    """The filename of the caption that counts first, and that is written."""
    return filename.rpartition(".")[0] + _CAPTIONS[0]


def caption_candidates(filename: str) -> Iterator[str]:
    """The filenames of captions of an image or a video; the first that has a text counts."""
    stem = filename.rpartition(".")[0]
    return (name for suffix in _CAPTIONS if (name := stem + suffix) not in SIDECARS)


def caption_targets(caption: str) -> Iterator[str]:
    """The filenames that this may be the caption of."""
    stem = caption.rpartition(".")[0]
    return (stem + suffix for suffix in _CAPTIONED)


def read_caption(body: bytes) -> tuple[str, str | None]:
    """A caption's text without blanks around it, or an empty one and what is wrong with it.

    All of its lines are the prompt: whether they are alternatives or paragraphs, they do not say.
    """
    try:
        return decode_text(body, most=MAX_CAPTION_BYTES).strip(), None
    except UnreadableDocument as error:
        return "", str(error)


def read_json_caption(body: bytes) -> str | None:
    """The prompt in a JSON object beside an image: ``prompt``, ``text`` or ``caption``, the first of alternatives.

    None where it says none, so that it is no caption.
    """
    try:
        said = read_json(body, most=MAX_CAPTION_BYTES).value
    except UnreadableDocument:
        return None
    if not isinstance(said, dict):
        return None
    texts = (text.strip() for column in PROMPT_COLUMNS for text in choices(said.get(column))[0])
    return next((text for text in texts if text), None)


def caption_text(filename: str, body: bytes) -> str | None:
    """The text of a caption of that name; None where it has none."""
    return (read_caption(body)[0] or None) if is_caption(filename) else read_json_caption(body)


MAX_LISTED = 100
"""Of each sort of problem so many are told one by one, and the others counted."""


def caption_problems(prefix: str, entries: Iterable[Entry]) -> Iterator[Problem]:
    """What is wrong with the captions among all entries of a small collection; nothing, where there are none."""
    by_name = {entry.filename: entry for entry in entries}
    texts = {name: entry for name, entry in by_name.items() if entry.caption is not None}
    broken = (Problem(s3_key=one.s3_key, problem=one.problem) for one in texts.values() if one.problem)
    yield from _first(prefix, broken, "captions cannot be read")
    orphans = (
        Problem(s3_key=one.s3_key, problem="there is no image that this is the caption of")
        for name, one in texts.items()
        if not any(image in by_name for image in caption_targets(name))
    )
    yield from _first(prefix, orphans, "captions have no image")
    bare = (
        Problem(s3_key=one.s3_key, problem="it has no caption, though others have")
        for name, one in by_name.items()
        if texts
        and one.is_file
        and can_have_caption(name)
        and not any(caption in texts for caption in caption_candidates(name))
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
        if not can_have_caption(name):
            continue
        found = [entry for caption in caption_candidates(name) if (entry := by_name.get(caption)) and entry.caption]
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
    described = (name.rpartition(".")[0], *caption_targets(name))
    return any(can_have_caption(other) and other in by_name for other in described)


def _first(prefix: str, found: Iterator[Problem], of_others: str) -> Iterator[Problem]:
    yield from islice(found, MAX_LISTED)
    if more := sum(1 for _ in found):
        yield Problem(s3_key=prefix, problem=f"{more} more {of_others}")
