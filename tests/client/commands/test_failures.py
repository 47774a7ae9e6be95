"""How real processes fail: with one line on stderr, one exit code, and with --json one document on stdout."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner

from s3_manifest_cli import main as program_main
from s3_manifest_cli.main import main
from s3_manifest_cli.terminal.failures import is_json_requested

CLEAN = {
    "PATH": os.environ["PATH"],
    "HOME": "/nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}


def ended(*arguments, program="from s3_manifest_cli.program import run; run()", before="", **more):
    """Runs the command in a separate process, after the code in ``before``."""
    code = f"{textwrap.dedent(before)}\n{program}"
    options = {"env": CLEAN, "capture_output": True, "timeout": 60} | more
    return subprocess.run([sys.executable, "-c", code, *arguments], check=False, **options)


@pytest.mark.parametrize(
    "error", ["KeyError('ETag')", "RuntimeError('two\\nlines')", "RecursionError()", "MemoryError()"]
)
def test_an_unexpected_error_is_one_line_with_exit_code_3(error):
    before = f"""
        from s3_manifest_cli.client.manifests import deployment
        def broken(*_):
            raise {error}
        deployment.session_of = broken
    """
    answer = ended("ls", "--bucket", "b", "--json", before=before)
    (line,) = answer.stderr.decode().splitlines()
    assert line.startswith(f"Error: Unexpected error: {error.partition('(')[0]} at ")
    assert "Please report this bug" in line
    assert answer.returncode == 3
    document = json.loads(answer.stdout)
    assert (document["code"], document["exit_code"]) == ("unexpected", 3)
    assert f"Error: {document['error']}" == line


def test_a_traceback_is_printed_on_request_only():
    before = """
        from s3_manifest_cli.client.manifests import deployment
        def broken(*_):
            raise KeyError("ETag")
        deployment.session_of = broken
    """
    answer = ended("ls", "--bucket", "b", before=before, env=CLEAN | {"S3_MANIFEST_DEBUG": "1"})
    assert b"Traceback" in answer.stderr
    assert answer.returncode == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nonsense"], "usage"),
        (["ls", "--nonsense"], "usage"),
        (["pull", "style/16"], "invalid"),
        (["diff"], "usage"),
        (["doctor"], "usage"),
        (["verify", "a", "b", "c", "--bucket", "b"], None),
        (["ls"], "invalid"),
        (["ls", "--bucket", "b"], "NoCredentialsError"),
        (["ls", "--bucket", "b", "--profile", "nope"], "ProfileNotFound"),
        (["ls", "--stack", "nope"], "NoCredentialsError"),
        (["ls", "--api-url", "https://127.0.0.1:1"], "NoCredentialsError"),
        (["ls", "--api-url", "example.com"], "invalid_url"),
    ],
)
def test_with_json_every_failure_is_a_document(arguments, code):
    answer = CliRunner().invoke(main, [*arguments, "--json"], env=CLEAN)
    document = json.loads(answer.stdout)
    assert set(document) == {"error", "code", "remedy", "exit_code"}
    assert document["exit_code"] == answer.exit_code
    assert answer.exit_code in (2, 3)
    assert code in (None, document["code"])
    assert f"Error: {document['error']}" in answer.stderr
    assert document["remedy"] is None or document["error"].endswith(document["remedy"])


def test_an_argument_after_two_dashes_does_not_request_json():
    assert is_json_requested(["ls", "--json"])
    assert not is_json_requested(["ls", "--", "--json"])


def test_ctrl_c_while_everything_is_imported_ends_with_130_and_no_traceback():
    before = """
        import builtins, os, signal
        imported = builtins.__import__
        def interrupted(name, *more):
            if name == "click":
                os.kill(os.getpid(), signal.SIGINT)
            return imported(name, *more)
        builtins.__import__ = interrupted
        signal.signal(signal.SIGINT, signal.default_int_handler)
    """
    answer = ended("ls", "--json", before=before)
    assert answer.stderr == b"Interrupted. Run the command again to continue.\n"
    assert (answer.returncode, json.loads(answer.stdout)["code"]) == (130, "interrupted")


@pytest.mark.parametrize("swallowed", ["turned into an error", "dropped by a callback from C"])
def test_ctrl_c_ends_the_run_even_if_a_library_swallows_it(swallowed):
    body = {
        "turned into an error": """
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except BaseException as error:
                raise RuntimeError("the callback failed") from error
        """,
        "dropped by a callback from C": """
            ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), signal.SIGINT))()
            while True:
                time.sleep(0.01)
        """,
    }[swallowed]
    before = f"""
import ctypes, os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from s3_manifest_cli.client.manifests import deployment
def signing(*_):
{textwrap.indent(textwrap.dedent(body), "    ")}
deployment.session_of = signing
"""
    answer = ended("ls", "--bucket", "b", before=before)
    assert answer.stderr == b"Interrupted. Run the command again to continue.\n"
    assert answer.returncode == 130


def test_a_background_jobs_ignored_ctrl_c_stays_ignored():
    before = """
        import os, signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from s3_manifest_cli.client.manifests import deployment
        deployment.session_of = lambda *_: os.kill(os.getpid(), signal.SIGINT) or exit(7)
    """
    assert ended("ls", "--bucket", "b", before=before).returncode == 7


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")  # noqa: PTH110
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_behind_stdout_is_an_error(options):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        answer = ended("ls", "--help", *options, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert answer.stderr == b"Error: No space left on device\n"
    assert answer.returncode == 3


def test_a_reader_that_exits_early_is_an_error():
    read, write = os.pipe()
    os.close(read)
    answer = ended("ls", "--help", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert answer.stderr == b"Error: Standard output was closed before all output was written.\n"
    assert answer.returncode == 3


def test_a_closed_stdout_is_an_error():
    answer = ended("ls", "--help", preexec_fn=lambda: os.close(1))
    assert answer.stderr == b"Error: Standard output was closed before all output was written.\n"
    assert answer.returncode == 3


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_characters_outside_the_encoding_of_the_terminal_are_escaped(encoding):
    before = """
        from s3_manifest_cli.terminal.output import Printer
        from s3_manifest_cli.client.manifests import deployment
        deployment.session_of = lambda *_: Printer(False, False).write("größe 猫.png") or exit(0)
    """
    answer = ended("ls", "--bucket", "b", before=before, env=CLEAN | {"PYTHONIOENCODING": encoding})
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert re.search(rb"\\u732b\.png", answer.stdout)


def test_an_imported_command_raises_its_exceptions():
    with pytest.raises(Exception, match="No such command"):
        program_main.main(["nonsense"], standalone_mode=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("variable", ["S3_MANIFEST_API_TOKEN", "AWS_SESSION_TOKEN"])
def test_a_secret_that_a_header_cannot_hold_is_not_printed(variable):
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    options = ["--api-url"] if "API" in variable else ["--bucket", "b", "--endpoint-url"]
    answer = ended("ls", *options, "http://127.0.0.1:9", "--json", env=CLEAN | keys | {variable: "secret\nsecret"})
    assert answer.returncode == 3
    assert b"secret" not in answer.stdout + answer.stderr
    assert b"holds a character that HTTP does not allow" in answer.stderr
