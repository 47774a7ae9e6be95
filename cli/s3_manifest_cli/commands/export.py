"""``s3-manifest export``."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from s3_manifest_cli.client.export import FORMATS, ExportResult, filter_files, write
from s3_manifest_cli.client.export.cvat import image_sizes
from s3_manifest_cli.client.export.output import atomic_file, folder_writer
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.manifests import Manifest
from s3_manifest_cli.terminal.manifest_warnings import doubts_json, exit_code, warn_of_doubts
from s3_manifest_cli.terminal.options import (
    FOLDER,
    deployment_options,
    filter_options,
    output_options,
    revision_options,
)
from s3_manifest_cli.terminal.output import Printer


@click.command()
@click.argument("collection")
@click.argument("format_", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.option(
    "--output",
    "-o",
    type=click.Path(allow_dash=True, path_type=Path),
    help="A file, or for kohya a folder; else stdout.",
)
@revision_options
@filter_options
@click.option("--images", "size_of", type=FOLDER, help="For cvat: where the images lie, to learn their sizes from.")
@click.option("--license", help="For croissant: the URL of the licence.")
@click.option("--creator", help="For croissant: who made it.")
@click.option("--url", help="For croissant: its page.")
@click.option("--for-spreadsheets", is_flag=True, help="For csv: no cell is taken for a formula.")
@deployment_options
@output_options
def export(
    collection: str,
    format_: str,
    output: Path | None,
    revision: int | None,
    at: str | None,
    filters: Filter,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # the formats' own
) -> None:
    """Write the manifest of COLLECTION as FORMAT, for other tools.

    \b
    csv, jsonl, parquet       a row for each file, with all that the manifest says of it
    imagefolder               metadata.jsonl, that Hugging Face datasets read beside the images; load it by its name:
                              load_dataset("imagefolder", data_files="…/metadata.jsonl", split="train")
    imagefolder-parquet       the same as metadata.parquet, with the types of all columns
    kohya                     captions beside the images, for trainers of LoRAs
    cvat                      manifest.jsonl of a cloud storage; wants --images
    croissant                 a description of the dataset in JSON-LD
    md5sum, sha256sum         for md5sum -c and sha256sum -c
    rclone-md5, rclone-files  for rclone checksum md5, and for --files-from-raw

    Files that the format cannot hold are named, and the exit code is 1; of an incomplete manifest it is 3.
    """  # click's mark for a paragraph that is not to be filled
    output = None if output == Path("-") else output
    given = _fit(format_, output, options, printer)
    with ExitStack() as stack:
        if "size_of" in given:
            given["size_of"] = stack.enter_context(image_sizes(given["size_of"]))
        manifest = deployment.manifests.read(deployment.collection(collection), revision=revision, at=at)
        unmatched = filters.unmatched([entry.filename for entry in manifest.files])
        printer.unmatched(unmatched)
        exported = _written(filter_files(manifest, filters), format_, output, given)
    is_past = revision is not None or at is not None
    warn_of_doubts(manifest.facts, printer, is_past=is_past)
    for problem in exported.problems:
        printer.error(f"{problem.s3_key}: {problem.problem}")
    if output:
        left_out = f", {exported.left_out:,} left out" if exported.left_out else ""
        printer.write(f"{exported.files:,} files of {collection} in {output}{left_out}")
        if format_ in {"imagefolder", "imagefolder-parquet"}:
            call = f'load_dataset("imagefolder", data_files={str(output)!r}, split="train")'
            printer.write(f"Load it in Python, where the images lie beside it: {call}")
        about = doubts_json(manifest.facts, is_past=is_past) | {"unmatched_filters": unmatched}
        printer.document(exported._asdict() | about)
    sys.exit(exit_code(facts=manifest.facts, failed=False, differs=bool(exported.problems)))


def _fit(format_: str, output: Path | None, options: Mapping[str, Any], printer: Printer) -> dict[str, Any]:
    """The options that were given. Raises ``UsageError`` where they do not fit the format, or each other."""
    chosen = FORMATS[format_]
    given = {name: value for name, value in options.items() if value not in (None, False)}
    for option in click.get_current_context().command.params:
        if option.name in given and option.name not in chosen.options:
            raise click.UsageError(f"{option.opts[0]} is not an option of {format_}")
    if chosen.is_folder and (output is None or output.is_file()):
        raise click.UsageError(f"{format_} makes a folder of files: name it with --output")
    if printer.as_json and output is None:
        raise click.UsageError("--json tells what was written to a file or folder: name that with --output")
    return given


def _written(manifest: Manifest, name: str, output: Path | None, options: Mapping[str, Any]) -> ExportResult:
    chosen = FORMATS[name]
    if output and chosen.is_folder:
        with Destination(output) as destination:
            return write(chosen, manifest, folder_writer(destination), **options)
    with atomic_file(output) if output else click.open_file("-", "wb") as out:
        return write(chosen, manifest, out, **options)
