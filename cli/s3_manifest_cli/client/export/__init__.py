"""A manifest in other formats: what reads them is what the tests read them with.

Each function takes what the manifest says of the collection, and its files' entries, sorted by filename and
read once, and is deterministic: from the same manifest, the same bytes.
"""

from collections.abc import Callable
from typing import IO, Any, NamedTuple

from s3_manifest_cli.client.export.captions import write_kohya
from s3_manifest_cli.client.export.croissant import write_croissant
from s3_manifest_cli.client.export.cvat import SizeOf, write_cvat
from s3_manifest_cli.client.export.exported import Exported, Put
from s3_manifest_cli.client.export.imagefolder import write_imagefolder, write_imagefolder_parquet
from s3_manifest_cli.client.export.parquet import write_parquet
from s3_manifest_cli.client.export.rclone import write_rclone_files, write_rclone_md5
from s3_manifest_cli.client.export.sums import write_md5sum, write_sha256sum
from s3_manifest_cli.client.export.tables import write_csv, write_jsonl
from s3_manifest_cli.client.local.filters import EVERYTHING, Filter
from s3_manifest_cli.client.manifests.manifests import Manifest
from s3_manifest_cli.errors import Invalid

__all__ = ["FORMATS", "Exported", "Format", "Put", "SizeOf", "export", "filter_files", "write"]


class Format(NamedTuple):
    """How a format is written.

    ``write(facts, entries, out)``, and options by name. ``filename`` is what its readers look for, or what is
    usual, and ``out`` a binary stream; of one that ``is_folder``, ``out`` is a ``Put``, and ``filename`` is empty.
    """

    write: Callable[..., Exported]
    filename: str
    options: tuple[str, ...] = ()
    wants_captions: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it makes several files."""
        return not self.filename


FORMATS = {
    "csv": Format(write_csv, "files.csv", ("for_spreadsheets",)),
    "jsonl": Format(write_jsonl, "files.jsonl"),
    "parquet": Format(write_parquet, "files.parquet"),
    "imagefolder": Format(write_imagefolder, "metadata.jsonl", wants_captions=True),
    "imagefolder-parquet": Format(write_imagefolder_parquet, "metadata.parquet", wants_captions=True),
    "kohya": Format(write_kohya, ""),
    "cvat": Format(write_cvat, "manifest.jsonl", ("size_of",)),
    "croissant": Format(write_croissant, "croissant.json", ("license", "creator", "url")),
    "md5sum": Format(write_md5sum, "MD5SUMS"),
    "sha256sum": Format(write_sha256sum, "SHA256SUMS"),
    "rclone-md5": Format(write_rclone_md5, "MD5SUMS"),
    "rclone-files": Format(write_rclone_files, "files.txt"),
}
"""The formats by name."""


def export(
    manifest: Manifest,
    format_name: str,
    out: IO[bytes] | Put,
    *,
    filters: Filter = EVERYTHING,
    **options: Any,  # noqa: ANN401  # each format's own
) -> Exported:
    """Writes the manifest's files in that format: see ``Format``. Raises ``Invalid`` where there is no such format."""
    if format_name not in FORMATS:
        raise Invalid(f"there is no format {format_name!r}; there are {', '.join(FORMATS)}")
    return write(FORMATS[format_name], filter_files(manifest, filters), out, **options)


def write(chosen: Format, manifest: Manifest, out: IO[bytes] | Put, **options: Any) -> Exported:  # noqa: ANN401  # each format's own
    """Writes the manifest's files in the format that was chosen."""
    if chosen.wants_captions:
        options["captions"] = manifest.captions
    return chosen.write(manifest.facts, manifest.files, out, **options)


def filter_files(manifest: Manifest, filters: Filter) -> Manifest:
    """The manifest with only the files that the filters select; its facts are still those of all files."""
    if filters == EVERYTHING:
        return manifest
    selects = filters.compiled()
    return manifest._replace(files=tuple(entry for entry in manifest.files if selects(entry.filename)))
