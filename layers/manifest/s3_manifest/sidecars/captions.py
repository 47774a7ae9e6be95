"""Reads captions, matches them with their images and videos, and reports their problems."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from s3_manifest.manifest.lenient_json import UnreadableDocument, decode_text, read_json
from s3_manifest.manifest.model import Entry, Problem
from s3_manifest.sidecars.formats import PROMPT_COLUMNS, SIDECARS, choices

MAX_CAPTION_BYTES = 64 << 10


def _and_in_capitals(*suffixes: str) -> tuple[str, ...]:
    return tuple(case for suffix in suffixes for case in (suffix, suffix.upper()))


_IMAGES = _and_in_capitals(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jxl")
_CAPTIONED = (*_IMAGES, *_and_in_capitals(".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v"))
_TEXTS = _and_in_capitals(".txt", ".caption")
CAPTION_SUFFIXES = (*_TEXTS, *_and_in_capitals(".json"))
"""By precedence: of several captions of one file, the first with a text is used."""


def is_caption(filename: str) -> bool:
    """Whether an object of that name is always a caption, whatever its content: any ``.txt`` or ``.caption``."""
    return filename.endswith(_TEXTS)


def may_be_caption(filename: str) -> bool:
    """Whether an object of that name can be a caption: a ``.json`` is one only if it has a prompt."""
    return filename.endswith(CAPTION_SUFFIXES) and filename not in SIDECARS


def is_image(filename: str) -> bool:
    """Whether the name is that of an image."""
    return filename.endswith(_IMAGES)


def can_have_caption(filename: str) -> bool:
    """Whether the name is that of an image or a video, which can have a caption."""
    return filename.endswith(_CAPTIONED)


def caption_filename(filename: str) -> str:
    """The filename under which the caption of a file is written; it takes precedence over the others."""
    return filename.rpartition(".")[0] + CAPTION_SUFFIXES[0]


def caption_candidates(filename: str) -> Iterator[str]:
    """The filenames that the caption of an image or a video can have, by precedence."""
    stem = filename.rpartition(".")[0]
    return (name for suffix in CAPTION_SUFFIXES if (name := stem + suffix) not in SIDECARS)


def caption_targets(caption: str) -> Iterator[str]:
    """The filenames of the images and videos that this caption can describe."""
    stem = caption.rpartition(".")[0]
    return (stem + suffix for suffix in _CAPTIONED)


def read_caption(body: bytes) -> tuple[str, str | None]:
    """A caption's text without surrounding blanks, or an empty text and the problem.

    The prompt is the whole text: nothing in it marks its lines as alternatives or as paragraphs.
    """
    try:
        return decode_text(body, most=MAX_CAPTION_BYTES).strip(), None
    except UnreadableDocument as error:
        return "", str(error)


def read_json_caption(body: bytes) -> str | None:
    """The prompt in a JSON object: its ``prompt``, ``text`` or ``caption``, the first of several alternatives.

    None if it has no prompt; it is then not a caption.
    """
    try:
        document = read_json(body, most=MAX_CAPTION_BYTES).value
    except UnreadableDocument:
        return None
    if not isinstance(document, dict):
        return None
    texts = (text.strip() for column in PROMPT_COLUMNS for text in choices(document.get(column))[0])
    return next((text for text in texts if text), None)


def caption_text(filename: str, body: bytes) -> str | None:
    """The text of a caption of that name; None if it has none."""
    return (read_caption(body)[0] or None) if is_caption(filename) else read_json_caption(body)


MAX_LISTED = 100
"""The most problems of each kind that are listed; the others are counted."""


def caption_problems(prefix: str, entries: Iterable[Entry]) -> Iterator[Problem]:
    """The problems with captions among all entries of a small collection; none if it has no captions."""
    by_name = {entry.filename: entry for entry in entries}
    texts = {name: entry for name, entry in by_name.items() if entry.caption is not None}
    broken = ((entry, entry.problem) for entry in texts.values() if entry.problem)
    orphans = (
        (entry, "no image or video belongs to this caption")
        for name, entry in texts.items()
        if not any(image in by_name for image in caption_targets(name))
    )
    bare = (
        (entry, "it has no caption, but other files of the collection have one")
        for name, entry in by_name.items()
        if texts
        and entry.is_file
        and can_have_caption(name)
        and not any(caption in texts for caption in caption_candidates(name))
    )
    kinds: Mapping[str, Iterator[tuple[Entry, str]]] = {
        "captions cannot be read": broken,
        "captions have no image": orphans,
        "images have no caption": bare,
        "captions are not used": _unused(by_name),
        "files look like captions or sidecars": _misplaced(by_name),
    }
    for kind, found in kinds.items():
        for entry, problem in islice(found, MAX_LISTED):
            yield Problem(s3_key=entry.s3_key, problem=problem)
        if more := sum(1 for _ in found):
            yield Problem(s3_key=prefix, problem=f"{more} more {kind}")
    if several := sum(not {"\n", "\r"}.isdisjoint(entry.caption or "") for entry in texts.values()):
        yield Problem(
            s3_key=prefix, problem=f"captions with several lines: {several}; all lines are used as one prompt"
        )


def _unused(by_name: Mapping[str, Entry]) -> Iterator[tuple[Entry, str]]:
    """Captions with another text than the caption that is used."""
    for name in filter(can_have_caption, by_name):
        captions = [entry for caption in caption_candidates(name) if (entry := by_name.get(caption)) and entry.caption]
        for other in captions[1:]:
            if other.caption != captions[0].caption:
                used = captions[0].filename
                yield other, f"it is not used for {name}: {used} takes precedence and has a different text"


def _misplaced(by_name: Mapping[str, Entry]) -> Iterator[tuple[Entry, str]]:
    """Files with the name of a caption or a sidecar that are neither."""
    for name, entry in by_name.items():
        folder, _, last = name.rpartition("/")
        if not entry.is_file:
            continue
        if folder and last in SIDECARS:
            yield entry, f"it is treated as a file: {last} is only read at the top of the collection"
        elif may_be_caption(name) and _is_beside(name, by_name):
            yield entry, "it is treated as a file, not as a caption: it has no prompt, text or caption that can be read"


def _is_beside(name: str, by_name: Mapping[str, Entry]) -> bool:
    """Whether the name suggests a caption of an existing file: ``a.json`` or ``a.png.json``, of ``a.png``."""
    described = (name.rpartition(".")[0], *caption_targets(name))
    return any(can_have_caption(other) and other in by_name for other in described)
