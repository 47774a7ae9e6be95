"""``s3-manifest export``."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import click

from s3_manifest.manifest.model import Facts
from s3_manifest_cli.client.bulk.folders import local_path, local_paths
from s3_manifest_cli.client.export import FORMATS, ExportResult
from s3_manifest_cli.client.export import export as export_files
from s3_manifest_cli.client.export.cvat import image_sizes
from s3_manifest_cli.client.export.output import atomic_file, folder_writer
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.filters import Filter
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.manifests import Manifest
from s3_manifest_cli.terminal.bulk_output import BulkCommand, Request, run_many
from s3_manifest_cli.terminal.options import (
    FOLDER,
    Many,
    common_options,
    filter_options,
    many_options,
    missing,
    revision_options,
)
from s3_manifest_cli.terminal.output import Printer, exit_with, manifest_fields, number

_FORMAT = click.Choice(list(FORMATS))


# A Click command: its parameters are its options.
@click.command()
@click.argument("collection", metavar="COLLECTION", required=False)
@click.argument("format_", metavar="FORMAT", type=_FORMAT, required=False)
@click.option(
    "--output",
    "-o",
    type=click.Path(allow_dash=True, path_type=Path),
    help="Write to this file (for kohya: folder) instead of stdout.",
)
@revision_options
@many_options
@filter_options
@click.option("--images", "size_of", type=FOLDER, help="For cvat: read the image sizes from this folder.")
@click.option("--license", help="For croissant: set the URL of the licence.")
@click.option("--creator", help="For croissant: set the creator.")
@click.option("--url", help="For croissant: set the URL of the dataset.")
@click.option("--for-spreadsheets", is_flag=True, help="For csv: keep spreadsheets from reading a cell as a formula.")
@common_options
def export(
    collection: str | None,
    format_: str | None,
    output: Path | None,
    revision: int | None,
    at: str | None,
    many: Many,
    filters: Filter,
    deployment: Deployment,
    printer: Printer,
    **options: Any,  # noqa: ANN401  # the formats' own
) -> None:
    """Export the manifest of COLLECTION to FORMAT, for other tools.

    \b
    csv, jsonl, parquet       one row per file, with all fields of the manifest
    imagefolder               metadata.jsonl for Hugging Face datasets, read by
                              load_dataset("imagefolder", data_files=METADATA)
    imagefolder-parquet       the same as metadata.parquet, with typed columns
    kohya                     caption files beside the images, for LoRA trainers
    cvat                      manifest.jsonl of a cloud storage; needs --images
    croissant                 description of the dataset in JSON-LD
    md5sum, sha256sum         checksum lists for md5sum -c and sha256sum -c
    rclone-md5, rclone-files  lists for rclone checksum md5 and --files-from-raw

    Files that FORMAT cannot represent are listed, and the exit code is 1. If the
    manifest is incomplete, the exit code is 3.

    \b
    Examples:
      s3-manifest export style/16 csv --output style-16.csv
      s3-manifest export style/16 md5sum --output MD5SUMS
      s3-manifest export 'style/*' csv --output 'style-{id}.csv'
    """  # \b keeps click from reflowing the paragraph
    if many.is_given and format_ is None:
        collection, format_ = None, _FORMAT.convert(collection, None, None) if collection else None
    absent = {"COLLECTION": collection or many.is_given, "FORMAT": format_}
    if format_ is None or not all(absent.values()):
        raise missing(*(name for name, value in absent.items() if not value), choices={"FORMAT": FORMATS})
    name = many.name(collection)
    output = None if output == Path("-") else output
    used_options = _checked_options(format_, output, options, printer)
    are_many = many.are_selected(name, output)
    images: Path | None = used_options.get("size_of")

    def run(request: Request) -> NoReturn:
        own = used_options | {"filters": filters}
        with ExitStack() as stack:
            if images:
                folder = local_path(images, request.collection) if are_many else images
                own["size_of"] = stack.enter_context(image_sizes(folder))
            manifest = deployment.manifests.read(request.collection, revision=revision, at=at)
            unmatched = filters.unmatched([entry.filename for entry in manifest.files])
            request.printer.warn_of_filters(unmatched)
            exported = _write(manifest, format_, request.path, own)
        is_past = revision is not None or at is not None
        _report(exported, manifest.facts, format_, request, unmatched=unmatched, is_past=is_past)

    if are_many:
        if output is None:
            raise click.UsageError("Many collections need a file each. Pass --output, such as --output 'files-{id}'.")
        if images:
            local_paths(images, ())  # an error before any request
        run_many(BulkCommand("export", run, _numbers), deployment, many.names(name), output, printer)
    run(Request(deployment, deployment.collection(name), name, output, printer))


def _report(
    exported: ExportResult, facts: Facts, format_: str, request: Request, *, unmatched: Sequence[str], is_past: bool
) -> NoReturn:
    printer, output = request.printer, request.path
    printer.warn_of_manifest(facts, is_past=is_past)
    for problem in exported.problems:
        printer.error(f"{problem.s3_key}: {problem.problem}")
    if output:
        skipped = f" ({number(exported.left_out, 'file')} skipped)" if exported.left_out else ""
        printer.write(f"Exported {number(exported.files, 'file')} of {request.name} to {output}{skipped}.")
        if format_ in {"imagefolder", "imagefolder-parquet"}:
            call = f'load_dataset("imagefolder", data_files={str(output)!r}, split="train")'
            printer.write(f"To load it in Python, with the images beside it: {call}")
        fields = manifest_fields(facts, is_past=is_past) | {"unmatched_filters": unmatched}
        printer.document(exported._asdict() | fields)
    exit_with(facts=facts, differs=bool(exported.problems))


def _numbers(document: Mapping[str, Any]) -> Mapping[str, int]:
    return {"exported": document["files"], "skipped": document["left_out"], "problems": len(document["problems"])}


def _checked_options(format_: str, output: Path | None, options: Mapping[str, Any], printer: Printer) -> dict[str, Any]:
    """The options in use. Raises ``UsageError`` if they do not suit the format or each other."""
    chosen = FORMATS[format_]
    used_options = {name: value for name, value in options.items() if value not in (None, False)}
    for option in click.get_current_context().command.params:
        if option.name in used_options and option.name not in chosen.options:
            raise click.UsageError(f"{option.opts[0]} does not apply to {format_}.")
    if chosen.is_folder and (output is None or output.is_file()):
        raise click.UsageError(f"{format_} writes a folder of files. Pass --output FOLDER.")
    if printer.as_json and output is None:
        raise click.UsageError("--json reports on a file or folder that was written. Pass --output.")
    return used_options


def _write(manifest: Manifest, name: str, output: Path | None, options: Mapping[str, Any]) -> ExportResult:
    if output and FORMATS[name].is_folder:
        with Destination(output) as destination:
            return export_files(manifest, name, folder_writer(destination), **options)
    with atomic_file(output) if output else click.open_file("-", "wb") as out:
        return export_files(manifest, name, out, **options)
