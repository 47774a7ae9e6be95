"""The examples in docs/, run on the local stack as they are printed."""

import re
import subprocess
import sys

import pytest
from unit.docs.pages import example, page, section

from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET

pytestmark = pytest.mark.slow

PROMPTS = {"fox.png": "a fox in the reeds", "owl.png": "an owl at night", "sea.png": "the sea in winter"}
ACTOR, STYLE = "system_actors/training_data/0042_european_30_male", "styles/16"


@pytest.fixture
def shell(stack, tmp_path, monkeypatch):
    """Runs a command in a folder, with the environment that a user of the stack has."""
    program = tmp_path / "bin" / "s3-manifest"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m s3_manifest_cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    for name, value in stack.platform.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("S3_MANIFEST_BUCKET", stack.bucket)
    monkeypatch.setenv("S3_MANIFEST_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(command):
        return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False, cwd=folder)

    run.folder = folder  # type: ignore[attr-defined]
    return run


def masked(text):
    """Masks everything that differs between runs: times, MD5s, sizes and revisions."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "MD5", text)
    text = re.sub(r"[\d.,]+ (bytes|KiB)", "SIZE", text)
    return re.sub(r"(revision |@)\d+", r"\1N", text)


def transcript():
    """Yields each command of the example on the client's page, and its documented output."""
    for part in re.split(r"^  \$ ", section(page("client"), "Example"), flags=re.MULTILINE)[1:]:
        command, *printed = re.split(r"\n(?:\n\d+\. |```)", part)[0].splitlines()
        yield command, [line.removeprefix("  ") for line in printed]


def test_the_commands_of_the_client_page_print_the_documented_output(shell, stack):
    pictures = shell.folder / "pictures"
    pictures.mkdir()
    for number, (filename, prompt) in enumerate(PROMPTS.items()):
        (pictures / filename).write_bytes(png(64 + number, (60 * number, 160, 90)))
        (pictures / filename).with_suffix(".txt").write_text(prompt)
    first = None
    for command, printed in transcript():
        # The first upload takes one revision or several.
        ran = shell(re.sub(r"(?:(?<=@)|(?<=--revision ))1\b", str(first), command))
        assert ran.returncode in {0, 1}, (command, ran.stderr)
        lines = (ran.stdout + ran.stderr).replace(f"{shell.folder}/", "").splitlines()
        if "history" not in command:
            assert masked("\n".join(lines)) == masked("\n".join(printed)), command
        first = first or stack.get("/api/manifests/style/17", {"limit": 1}).body["revision"]


def test_the_python_examples_of_the_client_run(shell, stack, s3, manifest_when, capsys):
    for name, body in (("a.png", b"pixels"), ("a.txt", b"a fox")):
        s3.put_object(Bucket=stack.bucket, Key=f"{STYLE}/{name}", Body=body)
    manifest_when("16", lambda manifest: manifest["total_files"] == 1 and manifest["captions"])
    variables = {}
    exec(example("python", "Client", "python"), variables)  # noqa: S102  # the documents' own example
    assert (shell.folder / "pictures" / "a.png").read_bytes() == b"pixels"
    assert not (shell.folder / "pictures" / "a.txt").exists()
    assert "['a.png'] []" in capsys.readouterr().out.splitlines()
    exec(example("python", "Many collections", "python"), variables)  # noqa: S102  # it continues the first one
    assert (shell.folder / "data" / "16" / "a.png").read_bytes() == b"pixels"
    assert "16 2" in capsys.readouterr().out.splitlines()


def test_the_python_example_of_training_data_runs(shell, stack, s3, eventually, capsys):
    for name in ("image_000.png", "image_007.png"):
        s3.put_object(Bucket=ACTOR_BUCKET, Key=f"{ACTOR}/{name}", Body=name.encode())
    eventually(
        lambda: stack.get("/api/training-data/42"),
        lambda answer: answer.status == 200 and answer.body["total_images"] == 2,
    )
    (shell.folder / "out").mkdir()
    (shell.folder / "out" / "image_001.png").write_bytes(png(16, (1, 2, 3)))
    code = example("python", "Training data", "python").replace(
        "https://….execute-api.us-east-1.amazonaws.com", stack.api_url
    )
    variables = {}
    exec(code, variables)  # noqa: S102  # the documents' own example
    saved = variables["saved"]
    assert (saved["uploaded"], saved["removed"], saved["failed"]) == (["image_001.png"], ["image_007.png"], {})
    images = eventually(
        lambda: variables["api"].get_training_data(42)["images"],
        lambda images: (
            [(image["filename"], image["good"]) for image in images]
            == [("image_000.png", False), ("image_001.png", True)]
        ),
    )
    assert (images[1]["prompt"], images[1]["generation_type"]) == (
        "smiling, three-quarter view",
        "replicate_flux_kontext",
    )
    assert capsys.readouterr().out
