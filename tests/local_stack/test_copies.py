"""pull, push, sync and restore with the whole stack, which updates the manifest."""

import json

import pytest
from click.testing import CliRunner

from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.main import main

pytestmark = pytest.mark.slow

WAIT = ("--wait", "30")


@pytest.fixture(params=["s3", pytest.param("http", marks=pytest.mark.slow)])
def call(request, stack, tmp_path):
    """Runs the command, which reads manifests from S3 or over HTTP."""
    reached = {"s3": {"S3_MANIFEST_BUCKET": stack.bucket}, "http": {"S3_MANIFEST_API_URL": stack.api_url}}
    environment = {
        **stack.platform.environment,
        "S3_MANIFEST_CACHE": str(tmp_path / "cache"),
        **reached[request.param],
    }

    def call(*arguments, exit_code=0):
        answer = CliRunner().invoke(main, list(map(str, arguments)), env=environment)
        assert answer.exit_code == exit_code, (answer.output, answer.exception)
        return answer

    return call


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_people_share_a_style(call, stack, s3, style, tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for index, name in enumerate(("a.png", "b c.png", "deep/ü 🎨.png", "bad.png")):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_bytes(png(16, (index, 7, 9)))
    (mine / "a.txt").write_text("a man in the rain\n")
    collection, options = f"style/{style}", ("--bucket", stack.bucket)
    # The collection does not exist yet.
    call("push", mine, collection, *options, *WAIT, "--generation-type", "flux")
    assert "Nothing to do." in call("push", mine, collection).stdout
    # The first files of the push may have been committed before the others.
    revision = json.loads(call("info", collection, "--json").stdout)["revision"]
    call("pull", collection, theirs)
    assert files(theirs) == files(mine)

    (theirs / "a.png").write_bytes(png(16, (1, 1, 1)))
    (theirs / "bad.png").unlink()
    (theirs / "new.png").write_bytes(png(16, (2, 2, 2)))
    call("sync", theirs, collection, "--delete", *WAIT)
    call("pull", collection, mine, "--delete")
    assert files(mine) == files(theirs)
    assert "bad.png" not in files(mine)

    (theirs / "a.png").write_bytes(b"theirs")
    (mine / "a.png").write_bytes(b"mine")
    call("sync", theirs, collection, *WAIT)
    assert "conflict  a.png" in call("sync", mine, collection, exit_code=1).stdout
    call("sync", mine, collection, "--prefer", "s3")
    assert (mine / "a.png").read_bytes() == b"theirs"

    call("restore", collection, "--in-s3", "--revision", revision, "--include", "*a*.png", *WAIT)
    call("pull", collection, mine)
    assert (mine / "bad.png").read_bytes() == png(16, (3, 7, 9))
    call("status", mine, collection)


def test_a_push_without_events_fails_and_suggests_doctor(call, stack, style, tmp_path, silenced):
    (tmp_path / "a.png").write_bytes(b"x")
    with silenced:
        answer = call(
            "push", tmp_path, f"style/{style}", "--bucket", stack.bucket, "--include", "a.png", "--wait", 1, exit_code=1
        )
    assert "s3-manifest doctor" in answer.stderr
