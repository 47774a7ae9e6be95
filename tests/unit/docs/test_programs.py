"""The programs, commands, options, targets and routes that documents name exist and accept their arguments."""

import importlib
import json
import re
import shlex

import boto3
import click
import pytest
from unit.docs.pages import CONTRIBUTING, DOCUMENTS, PROJECT, blocks, code_spans

import query_handler
from s3_manifest.http import edit_routes, openapi, rescan_routes
from s3_manifest_cli.main import main

MAKEFILE = (PROJECT / "Makefile").read_text()
ROUTES = json.loads(openapi.document(query_handler.app, rescan_routes.app, edit_routes.app))["paths"]


def command_lines(program, lines):
    """The arguments of each line that calls ``program``, without prompt and comment, unless it has ``…`` or a pipe."""
    for line in lines:
        command = re.sub(r"^\s*(\$ |cd \S+ && )?(\.venv/bin/|\.\./\.venv/bin/)?", "", line)
        if command.startswith(program) and "…" not in command and "|" not in command:
            yield shlex.split(command, comments=True)[len(program.split()) :]


LINES = [line for block in blocks() for line in block.replace("\\\n", "").splitlines()]
SPANS = code_spans()


@pytest.mark.parametrize("arguments", list(command_lines("s3-manifest ", LINES)), ids=" ".join)
def test_the_client_accepts_each_command_line(arguments, tmp_path):
    name, *rest = [word.replace("~", str(tmp_path)) for word in arguments]
    (tmp_path / "storyboard").mkdir()
    command = main.get_command(click.Context(main), name)
    context = command.make_context(name, rest, parent=click.Context(main))
    assert not context.args


@pytest.mark.parametrize("arguments", list(command_lines("s3-manifest ", SPANS)), ids=" ".join)
def test_the_client_has_each_command_and_option_that_the_text_names(arguments):
    name, *rest = arguments
    if name.isupper():
        return
    command = main.get_command(click.Context(main), name)
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in rest if word.startswith("--")} <= options


class Parsed(Exception):
    """A program has accepted its arguments and would begin."""


@pytest.mark.parametrize("arguments", list(command_lines("python -m ", LINES + SPANS)), ids=" ".join)
def test_each_module_exists_and_accepts_its_arguments(arguments, monkeypatch):
    name, *rest = ["1" if word.isupper() else word for word in arguments]

    def parse(parser, *_):
        assert not parser.parse_known_args(rest)[1]
        raise Parsed

    monkeypatch.setattr("argparse.ArgumentParser.parse_args", parse)
    module = importlib.import_module(f"{name}.__main__" if name in {"benchmarks", "simulation"} else name)
    if rest:
        with pytest.raises(Parsed):
            module.main()


@pytest.mark.parametrize("arguments", list(command_lines("make ", LINES + SPANS)), ids=" ".join)
def test_each_target_exists(arguments):
    for name in arguments:
        variable, _, value = name.partition("=")
        assert re.search(rf"^{variable} \?=|\$\({variable}\)" if value else rf"^{name}:", MAKEFILE, re.MULTILINE), name


@pytest.mark.parametrize("arguments", list(command_lines("aws ", LINES + SPANS)), ids=lambda words: " ".join(words[:2]))
def test_the_aws_cli_has_each_operation_with_these_parameters(arguments):
    service, operation, *rest = arguments
    if service == "s3":  # the CLI's own commands
        return
    client = boto3.client(service, region_name="us-east-1")
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    options = {word[2:].replace("-", "") for word in rest if word.startswith("--")} - {"output", "query"}
    assert options <= {member.lower() for member in shape.members}


def requests():
    """Each method and path that a document names, without its query."""
    for document in DOCUMENTS:
        for methods, path in re.findall(
            r"((?:(?:GET|POST|PUT|PATCH|DELETE)(?:,| or|) )+)(/api/[^\s`?]*)", document.read_text()
        ):
            for method in re.findall(r"[A-Z]{3,}", methods):
                yield method, path


@pytest.mark.parametrize(("method", "path"), sorted(set(requests())))
def test_the_http_api_has_each_request(method, path):
    assert any(
        method.lower() in operations and re.fullmatch(re.sub(r"\\?{\w+\\?}", "[^/]+", re.escape(route)), path)
        for route, operations in ROUTES.items()
    )


REPOSITORY = ("benchmarks/", "cli/", "docs/", "events/", "functions/", "layers/", "tests/")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_each_path_of_the_repository_that_a_document_names_exists(document):
    for span in code_spans(document):
        path = span.partition("::")[0].partition(" ")[0]
        if path.startswith(REPOSITORY) and not re.search(r"[<>*{…]", path):
            assert (PROJECT / path).exists(), span


FOLDERS = {"L": "layers/manifest/s3_manifest", "C": "cli/s3_manifest_cli", "P": "."}


def test_each_file_that_a_newcomer_is_sent_to_exists():
    paths = re.findall(r"\b([LCP]) `([^`]+)`", CONTRIBUTING.read_text())
    assert len(paths) > 20
    for folder, path in paths:
        assert (PROJECT / FOLDERS[folder] / path).exists(), path
