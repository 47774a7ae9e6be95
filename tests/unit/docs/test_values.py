"""The values that pages show: examples are accepted by what reads them, and tables list exactly what exists."""

import json
import re
from typing import get_args

import pytest
from unit.docs.pages import PROJECT, blocks, code_in, code_spans, page, rows, section

import s3_manifest_cli
from s3_manifest.aws import announcements
from s3_manifest.edits.planning import PresignedUpload
from s3_manifest.edits.uploads import UploadRequest
from s3_manifest.http.edit_requests import FileUpdate
from s3_manifest.manifest.encoding import decode_head
from s3_manifest.manifest.model import Md5Source
from s3_manifest.sidecars import captions, content, formats
from s3_manifest_cli import training_data
from s3_manifest_cli.client.export import FORMATS
from s3_manifest_cli.local_stack.stack import template

MANIFEST, SIDECARS, DEPLOY, HTTP = page("manifest"), page("sidecars"), page("deploy"), page("http-api")
PARAMETERS = template()["Parameters"]


def block(text, language):
    """The only code block of a text in a language."""
    (content,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return content


def test_the_example_of_a_manifest_is_decoded():
    text = block(section(MANIFEST, "Example"), "json")
    head = decode_head(text.encode())
    assert (head.id, head.revision, head.total_files) == ("16", 3, 1)
    assert head.files[0].prompt == "a lighthouse at dawn"


def test_every_field_of_a_manifest_and_of_an_entry_is_described_unless_it_is_obvious():
    described = {name.removeprefix("files[].") for row in rows(section(MANIFEST, "Fields")) for name in code_in(row[0])}
    example = json.loads(block(section(MANIFEST, "Example"), "json"))
    obvious = {"schema", "kind", "style_id", "style_title", "s3_bucket", "s3_prefix", "files"}
    assert example.keys() - obvious <= described
    assert example["files"][0].keys() - {"size_bytes", "content_type", "storage_class"} <= described


def test_each_proof_of_an_md5_is_described():
    described = {name for row in rows(section(MANIFEST, "MD5")) for name in code_in(row[0])}
    assert described == {*get_args(Md5Source), "null"}


def test_the_example_of_an_announcement_has_all_fields_and_matches_the_rule():
    text = section(MANIFEST, "Announcements")
    event = json.loads(block(text, "json"))
    announcements.Announcement.model_validate(event["detail"])
    assert event["detail"].keys() == announcements.Announcement.model_fields.keys()
    assert (event["source"], event["detail-type"]) == (announcements.SOURCE, announcements.DETAIL_TYPE)
    pattern = json.loads(re.search(r"'({.*})'", text)[1])
    assert pattern.keys() <= event.keys()
    assert pattern["detail"].keys() <= event["detail"].keys()


@pytest.mark.parametrize("name", ["prompt_metadata.json", "metadata.jsonl", "metadata.csv"])
def test_the_example_of_a_sidecar_is_read_without_a_problem(name):
    text = SIDECARS.partition(f"### {name}\n")[2].partition("\n### ")[0]
    read = formats.read_sidecar(name, block(text, name.rpartition(".")[2]).encode())
    assert not read.problems
    assert read.files["a.png"].prompt == "a fox"


def test_the_example_of_a_collection_is_read_without_a_problem():
    text = SIDECARS.partition("### collection.json\n")[2].partition("\n## ")[0]
    read = formats.read_sidecar("collection.json", block(text, "json").encode())
    assert not read.problems
    assert (read.title, [generation.generation_id for generation in read.generations]) == ("Dynamic Simplicity", [7])


def test_each_parameter_of_the_template_is_described_with_its_default():
    described = {}
    for names, default, _ in rows(section(DEPLOY, "Parameters")):
        described |= dict.fromkeys(code_in(names), default)
    assert described.keys() == PARAMETERS.keys()
    for name, cell in described.items():
        default = str(PARAMETERS[name]["Default"])
        assert default in "".join(code_in(cell)) + cell or default in {"", "104857600"}, name


def test_each_export_format_is_described():
    described = [name for row in rows(section(page("client"), "Exporting")) for name in code_in(row[0])]
    assert sorted(described) == sorted(FORMATS)


def test_the_example_of_an_upload_is_accepted_and_answered_with_these_fields():
    request, answer = re.search(
        r"POST /api/training-data/42/uploads\n({.*?})\n\n({.*?})\n```", HTTP, re.DOTALL
    ).groups()
    uploads = UploadRequest.model_validate_json(request)
    assert [image.filename for image in uploads.images] == ["a.png"]
    fields = set(re.findall(r'"(\w+)":', answer.partition('"generation"')[0])) - {"uploads"}
    assert fields <= PresignedUpload.model_fields.keys()


@pytest.mark.parametrize("body", re.findall(r"`({\"(?:good|files)\".*?})`", HTTP))
def test_the_example_of_an_edit_is_accepted(body):
    value = json.loads(body.replace(", …}}", "}}"))
    for change in value.get("files", {"a.png": value}).values():
        FileUpdate.model_validate(change)


def sources(*folders):
    return "".join(path.read_text() for folder in folders for path in (PROJECT / folder).rglob("*.py"))


def test_each_log_message_of_the_page_on_operation_is_written_by_the_functions():
    code = sources("layers", "functions")
    for row in rows(section(page("operate"), "Logs")):
        assert f'"{code_in(row[0])[0]}"' in code, row


def test_each_headline_in_an_excerpt_of_the_demo_exists_in_the_demo():
    code = sources("cli/s3_manifest_cli/local_stack")
    headlines = re.findall(r"^\d+\. (.+)$", "\n".join(blocks()), re.MULTILINE)
    assert len(headlines) > 5
    assert [headline for headline in headlines if headline not in code] == []


def test_the_documented_limits_of_sidecars_equal_those_of_the_code():
    limits = dict(rows(section(page("operate"), "Limits")))
    sizes = (formats.MAX_SIDECAR_BYTES >> 20, formats.MAX_COLLECTION_BYTES >> 10, captions.MAX_CAPTION_BYTES >> 10)
    assert limits["sidecars"].startswith(
        "{} MB (some 50,000 files), `collection.json` {} KB, a caption {} KB".format(*sizes)
    )
    texts = (content.MAX_PROMPT_BYTES >> 10, content.MAX_TEXT_BYTES >> 10, content.MAX_LABELS)
    assert limits["texts in a sidecar"] == "a prompt {} KB, other texts {} KB, {} labels per file".format(*texts)


def test_each_class_that_the_page_on_python_names_can_be_imported():
    names = {span for span in code_spans(PROJECT / "docs" / "python.md") if re.fullmatch(r"[A-Z]\w*[a-z]\w*", span)}
    assert {"SyncOptions", "TrainingDataAPI"} <= names
    assert [name for name in names if not (hasattr(s3_manifest_cli, name) or hasattr(training_data, name))] == []
