"""Captions beside the images, as trainers of LoRAs read them."""

import re
from collections.abc import Iterable, Iterator

from s3_manifest.manifest.model import Entry, Facts, Problem
from s3_manifest.sidecars.captions import can_have_caption, caption_filename
from s3_manifest_cli.client.export.writer import ExportResult, UnsupportedFile, WriteFile, relative

_LINE_BREAKS = re.compile(r"\s*[\r\n]\s*")


def write_kohya(_: Facts, entries: Iterable[Entry], write: WriteFile) -> ExportResult:
    """Writes ``<name>.txt`` with the prompt of each image or video that has one, and counts those images and videos.

    A prompt becomes one line: kohya's trainers read only the first line of a caption. Images that differ only in their
    suffix share a caption: if their prompts differ, no caption is written, and the images are problems.
    https://github.com/kohya-ss/sd-scripts/issues/870
    """
    files, left_out = 0, 0
    problems: list[Problem] = []

    def images() -> Iterator[Entry]:
        nonlocal left_out
        for entry in entries:
            try:
                if can_have_caption(relative(entry.filename)):
                    yield entry
                else:
                    left_out += 1
            except UnsupportedFile as error:
                problems.append(Problem(s3_key=entry.s3_key, problem=str(error)))

    for caption, group in _by_caption(images()):
        prompts = {_LINE_BREAKS.sub(" ", (entry.prompt or "").strip()) for entry in group}
        try:
            if len(prompts) > 1:
                names = ", ".join(entry.filename for entry in group)
                raise UnsupportedFile(
                    f"{names} share the caption {caption} but differ in their prompts; rename one, or change a prompt"
                )
            if prompt := prompts.pop():
                write(caption, f"{prompt}\n".encode())
                files += len(group)
            else:
                left_out += len(group)
        except UnsupportedFile as error:
            problems.extend(Problem(s3_key=entry.s3_key, problem=str(error)) for entry in group)
    return ExportResult("kohya", files, left_out, tuple(problems))


def _by_caption(images: Iterable[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """Groups the images that share a caption. Sorted by filename, all that begin with ``a.`` are adjacent."""
    open_groups: dict[str, list[Entry]] = {}
    for image in images:
        for caption in [name for name in open_groups if not image.filename.startswith(name.removesuffix("txt"))]:
            yield caption, open_groups.pop(caption)
        open_groups.setdefault(caption_filename(image.filename), []).append(image)
    yield from open_groups.items()
