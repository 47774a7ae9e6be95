"""Croissant, the JSON-LD description of a dataset by MLCommons."""

import shutil
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO
from urllib.parse import quote

from pydantic_core import to_json

from s3_manifest.manifest.model import Entry, Facts, Problem
from s3_manifest_cli.client.export.checksum_lists import sha256_of
from s3_manifest_cli.client.export.writer import ExportResult, UnsupportedFile, write_each

_IN_MEMORY = 16 << 20

# The context that the specification recommends: https://docs.mlcommons.org/croissant/docs/croissant-spec.html
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {
    name: f"cr:{name}"
    for name in (
        *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet"),
        *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
        *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
    )
}

_FIELDS = {
    "file": "sc:Text",
    "content_url": "sc:URL",
    "size_bytes": "sc:Integer",
    "last_modified": "sc:DateTime",
    "prompt": "sc:Text",
    "good": "sc:Boolean",
    "labels": "sc:Text",
    "generation_id": "sc:Text",
    "generation_type": "sc:Text",
}


def write_croissant(
    facts: Facts,
    entries: Iterable[Entry],
    out: BinaryIO,
    *,
    license: str | None = None,  # noqa: A002  # the property's name
    creator: str | None = None,
    url: str | None = None,
) -> ExportResult:
    """Describes the collection in Croissant 1.0: a ``FileObject`` for each file, and a record set with the prompts.

    A file without a known MD5 or SHA-256 is a problem: readers refuse a description without either. A description also
    needs the ``license`` (its URL) and the ``creator``, which the manifest does not hold: each missing one is a problem
    of the collection's prefix. ``url`` is the page of the dataset, by default its place in S3. The version is the
    revision as a major version, since a revision may replace and remove files.
    https://docs.mlcommons.org/croissant/docs/croissant-spec.html
    """
    with SpooledTemporaryFile(_IN_MEMORY) as records:

        def file_object(entry: Entry) -> bytes:
            body = to_json(_file_object(entry))
            separator = b",\n" if records.tell() else b"\n"
            records.write(separator + to_json(_record(entry)))
            return separator + body

        dataset = to_json(_dataset(facts, license, creator, url))
        out.write(dataset.removesuffix(b"}") + b',"distribution":[')
        exported = write_each("croissant", entries, out.write, file_object)
        out.write(b'],"recordSet":[')
        if exported.files:
            out.write(to_json(_record_set()).removesuffix(b"}") + b',"data":[')
            records.seek(0)
            shutil.copyfileobj(records, out)
            out.write(b"]}")
        out.write(b"]}\n")
    return exported._replace(problems=(*_missing(facts, license=license, creator=creator), *exported.problems))


def _dataset(facts: Facts, license_url: str | None, creator: str | None, url: str | None) -> dict[str, Any]:
    optional = {"license": license_url, "creator": creator and {"@type": "sc:Organization", "name": creator}}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.title or f"{facts.kind} {facts.id}",
        "description": f"The files of {facts.kind} {facts.id}, as listed at revision {facts.revision}.",
        "url": url or f"s3://{facts.s3_bucket}/{quote(facts.s3_prefix)}",
        "datePublished": facts.created_at,
        "version": f"{facts.revision}.0.0",
        **{name: value for name, value in optional.items() if value},
    }


def _missing(facts: Facts, **properties: str | None) -> Iterator[Problem]:
    for name, value in properties.items():
        if not value:
            problem = f"a Croissant description needs the {name}, which the manifest does not hold. Pass --{name}"
            yield Problem(s3_key=facts.s3_prefix, problem=problem)


def _file_object(entry: Entry) -> dict[str, Any]:
    digests = {"md5": entry.md5_hash, "sha256": sha256_of(entry)}
    known = {name: digest for name, digest in digests.items() if digest}
    if not known:
        raise UnsupportedFile("neither its MD5 nor its SHA-256 is known")
    return {
        "@type": "cr:FileObject",
        # An id is a relative IRI. The folder keeps filenames from being read as absolute ones, or as ids of records.
        "@id": f"files/{quote(entry.filename)}",
        "name": entry.filename,
        "contentUrl": entry.s3_url,
        "contentSize": f"{entry.size_bytes} B",
        "encodingFormat": entry.content_type or "application/octet-stream",
        **known,
    }


def _record_set() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": "One record for each file.",
        "key": {"@id": "records/file"},
        "field": [
            {"@type": "cr:Field", "@id": f"records/{name}", "name": name, "dataType": kind}
            | ({"repeated": True} if name == "labels" else {})
            for name, kind in _FIELDS.items()
        ],
    }


def _record(entry: Entry) -> dict[str, Any]:
    renamed = {"file": entry.filename, "content_url": entry.s3_url, "generation_id": str(entry.generation_id)}
    return {f"records/{name}": renamed[name] if name in renamed else getattr(entry, name) for name in _FIELDS}
