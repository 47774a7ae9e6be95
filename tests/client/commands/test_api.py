"""The Python API: one module to import from, and functions that return their results."""

import ast
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest
from client.sides import bytes_by_name

import s3_manifest_cli
from s3_manifest_cli import (
    Cancellation,
    Cancelled,
    Filter,
    Invalid,
    NotFound,
    SyncOptions,
    UploadMetadata,
    apply_plan,
    main,
    prepare,
    pull,
    push,
    restore,
    sync,
)


def test_every_name_of_the_api_exists_and_is_typed():
    source = ast.parse(Path(s3_manifest_cli.__file__).read_text())
    (typed,) = (entry for entry in source.body if isinstance(entry, ast.If))
    for name in s3_manifest_cli.__all__:
        assert getattr(s3_manifest_cli, name).__name__ == name
    declared = {
        (entry.module, alias.asname)
        for entry in typed.body
        if isinstance(entry, ast.ImportFrom)
        for alias in entry.names
    }
    assert declared == {(module, name) for name, module in s3_manifest_cli._MODULE_OF.items()}
    assert set(s3_manifest_cli.__all__) <= set(dir(s3_manifest_cli))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        s3_manifest_cli.nonsense  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "imported"),
    [
        ("Filter, SyncOptions, Invalid", []),
        ("connect, status", ["boto3"]),
        ("pull", ["boto3", "s3_manifest_cli.client.transfer.crt"]),
    ],
)
def test_only_used_libraries_are_imported(names, imported):
    code = f"""
import sys
from s3_manifest_cli import {names}
print([name for name in ("boto3", "rich", "s3_manifest_cli.client.transfer.crt") if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == f"{imported}\n"


@pytest.mark.parametrize("name", main._COMMANDS)
def test_the_list_of_commands_shows_the_first_sentence_of_each_help(name):
    command = main.main.get_command(click.Context(main.main, **main.main.context_settings), name)
    assert command.get_short_help_str(1000) == main._COMMANDS[name].summary


def test_the_four_verbs_return_their_results(sides):
    sides.put("a.png", "b.png")
    deployment, collection = sides.deployment, sides.deployment.collection("style/16")
    result = pull(deployment, collection, sides.folder, Filter(include=("a*",)))
    (step,) = result.steps
    assert (step.action.action, step.action.filename, step.error) == ("download", "a.png", None)
    assert "md5" in step.proof
    sides.write("c.png")
    result = push(
        deployment, sides.folder, collection, options=SyncOptions(upload_metadata=UploadMetadata(generation_id="7"))
    )
    assert [(entry.action.action, entry.action.filename) for entry in result.done] == [("upload", "c.png")]
    sides.commit("c.png")
    sides.write("a.png", body=b"mine")
    sides.put("a.png", body=b"theirs")
    result = sync(deployment, sides.folder, collection)
    assert [entry.action.filename for entry in result.conflicts] == ["a.png"]
    assert [entry.action.filename for entry in result.done] == ["b.png"]
    result = sync(deployment, sides.folder, collection, options=SyncOptions(prefer="s3"))
    assert (sides.files["a.png"], result.conflicts, result.failed) == (b"theirs", [], [])
    result = restore(deployment, collection, sides.folder / "copy")
    assert len(result.done) == 3
    assert {name for name in sides.files if name.startswith("copy/")} == {"copy/a.png", "copy/b.png", "copy/c.png"}
    assert restore(deployment, collection, None).steps == ()


def test_invalid_calls_raise_errors_of_the_api(sides):
    collection = sides.collection
    with pytest.raises(NotFound, match="has no manifest"):
        pull(sides.deployment, collection, sides.folder)
    with pytest.raises(Invalid, match="There is no folder"):
        push(sides.deployment, sides.folder / "nowhere", collection)
    with pytest.raises(Invalid, match="not UTF-8"):
        pull(sides.deployment, collection, sides.folder / "\udcff")


def test_with_only_the_http_api_the_manifest_names_the_bucket_of_a_plan(sides):
    sides.put("a.png")
    deployment = sides.deployment._replace(bucket=None)
    plan = prepare(deployment, "pull", sides.folder, sides.collection).plan
    with pytest.raises(Invalid, match="s3://another/styles/16/, which is not in this deployment"):
        apply_plan(deployment, plan.model_copy(update={"s3_bucket": "another"}))
    apply_plan(deployment, plan)
    assert sides.files == bytes_by_name("a.png")


def test_a_cancelled_run_raises_and_the_next_one_continues(sides):
    sides.put("a.png", "slow.png", "z.png")
    cancellation, end = Cancellation(), threading.Event()

    def before(request):
        if request.method == "GET" and request.key.endswith("slow.png"):
            cancellation.cancel()
            end.wait(10)

    sides.proxy.before = before
    try:
        with pytest.raises(Cancelled):
            pull(sides.deployment, sides.collection, sides.folder, options=SyncOptions(cancellation=cancellation))
    finally:
        end.set()
    sides.proxy.before = lambda _: None
    pull(sides.deployment, sides.collection, sides.folder)
    assert sides.files == bytes_by_name("a.png", "slow.png", "z.png")
