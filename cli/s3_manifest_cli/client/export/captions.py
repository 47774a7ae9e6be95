"""Captions beside the images, as trainers of LoRAs read them."""

import re
from collections.abc import Iterable, Iterator

from s3_manifest.manifest.model import Entry, Facts, Problem
from s3_manifest.sidecars.formats import caption_of, is_captioned
from s3_manifest_cli.client.export.exported import CannotHold, Exported, Put, relative

_LINE_BREAKS = re.compile(r"\s*[\r\n]\s*")


def write_kohya(_: Facts, entries: Iterable[Entry], put: Put) -> Exported:
    """Puts ``<name>.txt`` with the prompt for each image or video that has one; its ``files`` are these.

    A prompt is one line: kohya's trainers read no more than the first of a caption. Images of one name that
    differ in their suffix share a caption: where their prompts differ, none is written, and they are problems.
    https://github.com/kohya-ss/sd-scripts/issues/870
    """
    files, left_out = 0, 0
    problems: list[Problem] = []

    def images() -> Iterator[Entry]:
        nonlocal left_out
        for entry in entries:
            try:
                if is_captioned(relative(entry.filename)):
                    yield entry
                else:
                    left_out += 1
            except CannotHold as error:
                problems.append(Problem(s3_key=entry.s3_key, problem=str(error)))

    for caption, sharing in _by_caption(images()):
        prompts = {_line(entry.prompt or "") for entry in sharing}
        if len(prompts) > 1:
            problems.extend(_at_odds(caption, sharing))
        elif prompt := prompts.pop():
            try:
                put(caption, f"{prompt}\n".encode())
            except CannotHold as error:
                problems.extend(Problem(s3_key=entry.s3_key, problem=str(error)) for entry in sharing)
            else:
                files += len(sharing)
        else:
            left_out += len(sharing)
    return Exported("kohya", files, left_out, tuple(problems))


def _by_caption(images: Iterable[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """The images that share a caption, together: sorted by filename, all that begin with ``a.`` are neighbours."""
    waiting: dict[str, list[Entry]] = {}
    for image in images:
        for caption in [one for one in waiting if not image.filename.startswith(one.removesuffix("txt"))]:
            yield caption, waiting.pop(caption)
        waiting.setdefault(caption_of(image.filename), []).append(image)
    yield from waiting.items()


def _at_odds(caption: str, sharing: list[Entry]) -> Iterator[Problem]:
    names = ", ".join(entry.filename for entry in sharing)
    for entry in sharing:
        problem = f"{names} share the caption {caption}, and differ in their prompts; rename one, or give them the same"
        yield Problem(s3_key=entry.s3_key, problem=problem)


def _line(prompt: str) -> str:
    return _LINE_BREAKS.sub(" ", prompt.strip())
