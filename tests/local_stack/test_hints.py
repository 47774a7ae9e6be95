"""Commands that the client suggests work when pasted into the same shell."""

import re
import shlex
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from s3_manifest_cli.local_stack import serve
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import STACK
from s3_manifest_cli.main import main

CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": REGION}


@pytest.fixture
def run(monkeypatch, tmp_path):
    for name in ("S3_MANIFEST_STACK", "S3_MANIFEST_BUCKET", "S3_MANIFEST_API_URL", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    def run(arguments, environment, exit_code=0):
        answer = CliRunner().invoke(
            main, arguments, env=CREDENTIALS | {"S3_MANIFEST_CACHE": str(tmp_path)} | environment
        )
        assert answer.exit_code == exit_code, answer.output
        return answer

    return run


@pytest.mark.parametrize("access", ["environment", "options", "api"])
def test_the_command_that_pull_suggests_without_a_manifest_runs_when_pasted(stack, style, run, tmp_path, access):
    endpoint = stack.platform.endpoint
    environment = {
        "environment": {"S3_MANIFEST_STACK": STACK, "AWS_ENDPOINT_URL": endpoint},
        "options": {},
        "api": {},
    }[access]
    options = {
        "environment": [],
        "options": ["--stack", STACK, "--endpoint-url", endpoint, "--region", REGION],
        "api": ["--api-url", stack.api_url],
    }[access]
    output = run(["pull", f"style/{style}", str(tmp_path / "pictures"), *options], environment, exit_code=3).stderr
    assert f"style/{style} has no manifest yet. Upload something to " in output
    if access != "api":
        assert f"s3://{stack.bucket}/styles/{style}/" in output
    program, *arguments = shlex.split(re.search(r"run ['`](s3-manifest .*)['`]\.", output)[1])
    assert program == "s3-manifest"
    assert "rescan requested at" in run(arguments, {}).stdout


def test_serve_prints_the_stack_name_and_a_working_client_command(stack, style, run, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(serve, "local_stack", lambda _port: nullcontext(stack))
    monkeypatch.setattr(serve.signal, "pause", _end)
    serve.run_serve(0)
    output = capsys.readouterr().out
    assert re.search(rf"^  stack +{STACK}$", output, re.MULTILINE)
    line = re.search(r"^  (.*) pull style/16 pictures$", output, re.MULTILINE)[1]
    *assignments, program = shlex.split(line)
    assert Path(program).is_absolute()
    environment = dict(assignment.split("=", 1) for assignment in assignments)
    error = run(["pull", f"style/{style}", str(tmp_path / "pictures")], environment, exit_code=3).stderr
    assert f" --stack {STACK} --endpoint-url {stack.platform.endpoint}" in error
    exported = re.search(r"^  export PATH=\S+:\$PATH (.*)$", output, re.MULTILINE)[1]
    assert shlex.split(exported) == assignments


def _end():
    raise KeyboardInterrupt
