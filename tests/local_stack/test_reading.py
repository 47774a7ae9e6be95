"""The client's reading commands with the deployed stack's name alone."""

import json

import pytest
from click.testing import CliRunner

from s3_manifest_cli.main import main

pytestmark = pytest.mark.slow


@pytest.fixture
def run(stack, tmp_path, monkeypatch):
    """Runs a command with ``--json``; returns its exit code and result."""
    for name, value in {
        "S3_MANIFEST_STACK": "s3-manifest",
        **stack.platform.environment,
        "S3_MANIFEST_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)

    def run(*arguments):
        result = CliRunner().invoke(main, [*map(str, arguments), "--json"], catch_exceptions=False)
        return result.exit_code, json.loads(result.stdout)

    return run


def test_a_style_is_listed_verified_and_repaired(run, stack, s3, style, manifest_when, silenced, tmp_path):
    folder, name = tmp_path / "folder", f"style/{style}"
    folder.mkdir()
    for filename, body in {"a.png": b"data", "b.png": b"more data"}.items():
        (folder / filename).write_bytes(body)
        s3.put_object(Bucket=stack.bucket, Key=f"styles/{style}/{filename}", Body=body)
    complete = manifest_when(style, lambda manifest: manifest["total_files"] == 2)
    assert run("info", name)[1]["total_files"] == 2
    assert [code for code, _ in (run("status", folder, name), run("verify", folder, name))] == [0, 0]
    code, result = run("verify", "--remote", name, "--read")
    assert (code, result["md5"]["read"]) == (0, 2)
    with silenced:
        s3.put_object(Bucket=stack.bucket, Key=f"styles/{style}/a.png", Body=b"atad")
        s3.delete_object(Bucket=stack.bucket, Key=f"styles/{style}/b.png")
    code, result = run("verify", "--remote", name, "--settle", 0.1)
    assert (code, {file["filename"]: file["state"] for file in result["files"]}) == (
        1,
        {"a.png": "modified", "b.png": "missing"},
    )
    code, (swept,) = run("rescan", name, "--wait", 30)
    assert code == 0
    assert sorted((file["filename"], file["sort"]) for file in swept["drift"]) == [
        ("a.png", "modified"),
        ("b.png", "removed"),
    ]
    code, result = run("history", name)
    assert result["changes"][-1]["removed"][0]["cause"] == "sweep"
    code, result = run("diff", f"{name}@{complete['revision']}", name)
    assert (code, result["totals"]["removed"]) == (1, 1)
    assert run("verify", folder, name)[0] == 1
