"""The client from Python: one place to import it from, and functions that return what they did."""

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


def test_every_name_of_the_api_is_there_and_is_typed():
    source = ast.parse(Path(s3_manifest_cli.__file__).read_text())
    (typed,) = (one for one in source.body if isinstance(one, ast.If))
    for name in s3_manifest_cli.__all__:
        assert getattr(s3_manifest_cli, name).__name__ == name
    declared = {(one.module, alias.asname) for one in typed.body for alias in one.names}
    assert declared == {(place, name) for name, place in s3_manifest_cli._PLACE_OF.items()}
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
def test_nobody_waits_for_what_is_not_imported(names, imported):
    code = f"""
import sys
from s3_manifest_cli import {names}
print([name for name in ("boto3", "rich", "s3_manifest_cli.client.transfer.crt") if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == f"{imported}\n"


@pytest.mark.parametrize("name", main._COMMANDS)
def test_the_help_of_all_commands_is_what_each_says_of_itself(name):
    command = main.main.get_command(click.Context(main.main, **main.main.context_settings), name)
    assert command.get_short_help_str(1000) == main._COMMANDS[name].summary


def test_the_four_verbs_return_what_they_did(sides):
    sides.put("a.png", "b.png")
    there, collection = sides.deployment, sides.deployment.collection("style/16")
    result = pull(there, collection, sides.folder, Filter(include=("a*",)))
    (step,) = result.steps
    assert (step.action.action, step.action.filename, step.error) == ("download", "a.png", None)
    assert "md5" in step.proof
    sides.write("c.png")
    result = push(
        there, sides.folder, collection, options=SyncOptions(upload_metadata=UploadMetadata(generation_id="7"))
    )
    assert [(one.action.action, one.action.filename) for one in result.done] == [("upload", "c.png")]
    sides.commit("c.png")
    sides.write("a.png", body=b"mine")
    sides.put("a.png", body=b"theirs")
    result = sync(there, sides.folder, collection)
    assert [one.action.filename for one in result.conflicts] == ["a.png"]
    assert [one.action.filename for one in result.done] == ["b.png"]
    result = sync(there, sides.folder, collection, options=SyncOptions(prefer="s3"))
    assert (sides.files["a.png"], result.conflicts, result.failed) == (b"theirs", [], [])
    result = restore(there, collection, sides.folder / "copy")
    assert len(result.done) == 3
    assert {name for name in sides.files if name.startswith("copy/")} == {"copy/a.png", "copy/b.png", "copy/c.png"}
    assert restore(there, collection, None).steps == ()


def test_what_cannot_be_is_an_error_of_the_api(sides):
    collection = sides.collection
    with pytest.raises(NotFound, match="has no manifest"):
        pull(sides.deployment, collection, sides.folder)
    with pytest.raises(Invalid, match="There is no folder"):
        push(sides.deployment, sides.folder / "nowhere", collection)
    with pytest.raises(Invalid, match="not UTF-8"):
        pull(sides.deployment, collection, sides.folder / "\udcff")


def test_where_only_the_http_api_is_named_the_manifest_tells_the_bucket_that_a_plan_may_be_about(sides):
    sides.put("a.png")
    there = sides.deployment._replace(bucket=None)
    plan = prepare(there, "pull", sides.folder, sides.collection).plan
    with pytest.raises(Invalid, match="s3://another/styles/16/, which is not of this deployment"):
        apply_plan(there, plan.model_copy(update={"s3_bucket": "another"}))
    apply_plan(there, plan)
    assert sides.files == bytes_by_name("a.png")


def test_a_run_that_is_asked_to_stop_says_so_and_the_next_one_goes_on(sides):
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
