"""Manifests to export: entries of real bytes, with usual and hostile filenames."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

from unit.values import STYLE, entry, head_of

from s3_manifest.manifest.model import Entry, Facts, Generation
from s3_manifest.sidecars.captions import is_image
from s3_manifest_cli.client.export import FORMATS, ExportResult

ODD = (
    "#hash.png",
    "-",
    "-dash.png",
    ";semicolon.png",
    " leading and trailing .png ",
    "*star.png",
    "=1+2.png",
    "a b.png",
    "back\\slash.png",
    "quo\"te's.png",
    "carriage\rreturn.png",
    "deep/in a/föld.png",
    "ends in\r",
    "line\nbreak.png",
    "tab\t\x1b\x7f.png",
    "日本.png",
    "␊ and ␡.png",
    "\uff0e",
)
"""Names of files that S3 and Linux both can hold."""

IMAGES = tuple(name for name in ODD if is_image(name))

NO_FILES = ("../up.png", "/absolute.png", "a//b.png", "a/./b.png", "..", "folder/", "nul\0.png")
"""Keys that are not valid filenames below a folder."""


def facts(**more: Any) -> Facts:
    head = head_of()
    return Facts(**{name: getattr(head, name) for name in Facts.model_fields} | more)


def of_generations(*ids: int | str) -> Facts:
    generations = (Generation(generation_id=value, type="run", generated_at=STAMP, image_count=1) for value in ids)
    return facts(generations=tuple(generations))


LICENSE = "https://creativecommons.org/publicdomain/zero/1.0/"
FOR_CROISSANT = {"license": LICENSE, "creator": "The studio", "url": "https://example.org/styles/16"}
"""The options that Croissant requires and no manifest holds."""

STAMP = "2026-02-03T04:05:06.789Z"


def file(filename: str, body: bytes = b"bytes", **fields: Any) -> Entry:
    """The entry of a file with these bytes, uploaded with its SHA-256."""
    sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
    checksums = {"sha256": sha256, "type": "FULL_OBJECT"}
    result = entry(filename, size=len(body), etag=hashlib.md5(body).hexdigest(), content_type="image/png")
    return result.model_copy(update={"checksum": checksums} | fields)


PROMPT = 'a "fox", at\r\ndawn; 100 €\n'
FULL = file(
    "fox.png",
    prompt=PROMPT,
    labels=("blurry", "dark, very"),
    metadata={"seed": "7"},
    generated_at=STAMP,
    generation_id=3,
    good=False,
    overridden={"prompt": None},
)
"""An entry with a value in every field."""


def on_disk(folder: Path, *filenames: str, **fields: Any) -> list[Entry]:
    """The entries of real files, each with different bytes."""
    entries = []
    for filename in sorted(filenames):
        body = f"the bytes of {filename}".encode()
        (folder / filename).parent.mkdir(parents=True, exist_ok=True)
        (folder / filename).write_bytes(body)
        entries.append(file(filename, body, **fields))
    return entries


def exported(name: str, entries: list[Entry], of: Facts | None = None, **options: Any) -> tuple[bytes, ExportResult]:
    """The output of a format, which reads the entries once and writes the same bytes the second time."""
    bodies = []
    for _ in range(2):
        out = io.BytesIO()
        result = FORMATS[name].write(of or facts(), iter(entries), out, **options)
        bodies.append(out.getvalue())
    assert bodies[0] == bodies[1]
    assert result.format == name
    assert result.files + result.left_out + len(result.problems) >= len(entries)
    return bodies[0], result


def problems(result: ExportResult) -> dict[str, str]:
    """The problems by filename."""
    return {problem.s3_key.removeprefix(STYLE.prefix): problem.problem for problem in result.problems}
