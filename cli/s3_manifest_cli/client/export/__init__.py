"""The manifest in formats of other tools; the tests read each format with the tool that it is for.

Imports ``access``, ``local`` and ``manifests``. A format's function takes the facts of the collection and the
entries of its files, sorted by filename, and reads these once. The same manifest always gives the same bytes.
"""

from collections.abc import Callable
from typing import IO, Any, NamedTuple

from s3_manifest_cli.client.export import captions, checksum_lists, croissant, cvat, imagefolder, tables
from s3_manifest_cli.client.export.writer import ExportResult, WriteFile
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.manifests import Manifest
from s3_manifest_cli.errors import Invalid

__all__ = ["FORMATS", "ExportResult", "Format", "export"]


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
    "csv": Format(tables.write_csv, "files.csv", ("for_spreadsheets",)),
    "jsonl": Format(tables.write_jsonl, "files.jsonl"),
    "parquet": Format(tables.write_parquet, "files.parquet"),
    "imagefolder": Format(imagefolder.write_imagefolder, "metadata.jsonl", needs_captions=True),
    "imagefolder-parquet": Format(imagefolder.write_imagefolder_parquet, "metadata.parquet", needs_captions=True),
    "kohya": Format(captions.write_kohya, ""),
    "cvat": Format(cvat.write_cvat, "manifest.jsonl", ("size_of",)),
    "croissant": Format(croissant.write_croissant, "croissant.json", ("license", "creator", "url")),
    "md5sum": Format(checksum_lists.write_md5sum, "MD5SUMS"),
    "sha256sum": Format(checksum_lists.write_sha256sum, "SHA256SUMS"),
    "rclone-md5": Format(checksum_lists.write_rclone_md5, "MD5SUMS"),
    "rclone-files": Format(checksum_lists.write_rclone_files, "files.txt"),
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
    """Writes the files that the filters select in a format: see ``Format``. The facts are those of all files.

    Raises ``Invalid`` for an unknown format.
    """
    if format_name not in FORMATS:
        raise Invalid(f"{format_name!r} is not a format. Choose one of {', '.join(FORMATS)}")
    chosen = FORMATS[format_name]
    if chosen.needs_captions:
        options["captions"] = manifest.captions
    is_selected = filters.predicate()
    entries = (entry for entry in manifest.files if is_selected(entry.filename))
    return chosen.write(manifest.facts, entries, out, **options)
