"""Captions beside the images, as trainers of LoRAs read them."""

import re
from collections.abc import Iterable, Iterator, Sequence

from s3_manifest.manifest.filenames import path_problem
from s3_manifest.manifest.model import Entry, Facts
from s3_manifest.sidecars.captions import can_have_caption, caption_filename
from s3_manifest_cli.client.export.writer import ExportResult, UnsupportedFile, WriteFile, relative, write_groups

_LINE_BREAKS = re.compile(r"\s*[\r\n]\s*")


def write_kohya(_: Facts, entries: Iterable[Entry], write: WriteFile) -> ExportResult:
    """Writes ``<name>.txt`` with the prompt of each image or video that has one, and counts those images and videos.

    A prompt becomes one line: kohya's trainers read only the first line of a caption. Images that differ only in their
    suffix share a caption: if their prompts differ, no caption is written, and the images are problems.
    https://github.com/kohya-ss/sd-scripts/issues/870
    """

    def encode(group: Sequence[Entry]) -> tuple[str, bytes] | None:
        if not can_have_caption(relative(group[0].filename)):
            return None
        caption = caption_filename(group[0].filename)
        prompts = {_LINE_BREAKS.sub(" ", (entry.prompt or "").strip()) for entry in group}
        if len(prompts) > 1:
            names = ", ".join(entry.filename for entry in group)
            raise UnsupportedFile(
                f"{names} share the caption {caption} but differ in their prompts; rename one, or change a prompt"
            )
        prompt = prompts.pop()
        return (caption, f"{prompt}\n".encode()) if prompt else None

    return write_groups("kohya", _by_caption(entries), lambda file: write(*file), encode)


def _by_caption(entries: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    """Groups the images that share a caption. Sorted by filename, all that begin with ``a.`` are adjacent."""
    open_groups: dict[str, list[Entry]] = {}
    for entry in entries:
        for caption in [name for name in open_groups if not entry.filename.startswith(name.removesuffix("txt"))]:
            yield open_groups.pop(caption)
        if can_have_caption(entry.filename) and not path_problem(entry.filename):
            open_groups.setdefault(caption_filename(entry.filename), []).append(entry)
        else:
            yield (entry,)
    yield from open_groups.values()
