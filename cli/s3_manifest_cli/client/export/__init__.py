"""The manifest in formats of other tools; the tests read each format with the tool that it is for.

Imports ``access``, ``local`` and ``manifests``. A format's function takes the facts of the collection and the
entries of its files, sorted by filename, and reads these once. The same manifest always gives the same bytes.
"""

from collections.abc import Callable
from typing import IO, Any, NamedTuple

from s3_manifest_cli.client.export.captions import write_kohya
from s3_manifest_cli.client.export.checksum_lists import (
    write_md5sum,
    write_rclone_files,
    write_rclone_md5,
    write_sha256sum,
)
from s3_manifest_cli.client.export.croissant import write_croissant
from s3_manifest_cli.client.export.cvat import SizeOf, write_cvat
from s3_manifest_cli.client.export.imagefolder import write_imagefolder, write_imagefolder_parquet
from s3_manifest_cli.client.export.tables import write_csv, write_jsonl, write_parquet
from s3_manifest_cli.client.export.writer import ExportResult, WriteFile
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.manifests import Manifest
from s3_manifest_cli.errors import Invalid

__all__ = ["FORMATS", "ExportResult", "Format", "SizeOf", "WriteFile", "export", "filter_files", "write"]


class Format(NamedTuple):
    """How to write a format.

    ``write(facts, entries, out)`` takes ``options`` by name. ``out`` is a binary stream, and ``filename`` the usual
    name of the file. A format that is a folder has no ``filename``, and its ``out`` is a ``WriteFile``.
    """

    write: Callable[..., ExportResult]
    filename: str
    options: tuple[str, ...] = ()
    needs_captions: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether the format consists of several files."""
        return not self.filename


FORMATS = {
    "csv": Format(write_csv, "files.csv", ("for_spreadsheets",)),
    "jsonl": Format(write_jsonl, "files.jsonl"),
    "parquet": Format(write_parquet, "files.parquet"),
    "imagefolder": Format(write_imagefolder, "metadata.jsonl", needs_captions=True),
    "imagefolder-parquet": Format(write_imagefolder_parquet, "metadata.parquet", needs_captions=True),
    "kohya": Format(write_kohya, ""),
    "cvat": Format(write_cvat, "manifest.jsonl", ("size_of",)),
    "croissant": Format(write_croissant, "croissant.json", ("license", "creator", "url")),
    "md5sum": Format(write_md5sum, "MD5SUMS"),
    "sha256sum": Format(write_sha256sum, "SHA256SUMS"),
    "rclone-md5": Format(write_rclone_md5, "MD5SUMS"),
    "rclone-files": Format(write_rclone_files, "files.txt"),
}
"""By the name of the format."""


def export(
    manifest: Manifest,
    format_name: str,
    out: IO[bytes] | WriteFile,
    *,
    filters: Filter = EVERYTHING,
    **options: Any,  # noqa: ANN401  # each format's own
) -> ExportResult:
    """Writes the manifest's files in a format: see ``Format``. Raises ``Invalid`` for an unknown format."""
    if format_name not in FORMATS:
        raise Invalid(f"{format_name!r} is not a format. Choose one of {', '.join(FORMATS)}")
    return write(FORMATS[format_name], filter_files(manifest, filters), out, **options)


def write(format_: Format, manifest: Manifest, out: IO[bytes] | WriteFile, **options: Any) -> ExportResult:  # noqa: ANN401  # each format's own
    """Writes the manifest's files in a format."""
    if format_.needs_captions:
        options["captions"] = manifest.captions
    return format_.write(manifest.facts, manifest.files, out, **options)


def filter_files(manifest: Manifest, filters: Filter) -> Manifest:
    """The manifest with only the files that the filters select. Its facts still count all files."""
    if filters == EVERYTHING:
        return manifest
    is_selected = filters.predicate()
    return manifest._replace(files=tuple(entry for entry in manifest.files if is_selected(entry.filename)))
