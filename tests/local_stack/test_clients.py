"""Common S3 clients with the local stack; skipped if they are not installed."""

import json
import os
import shutil
import subprocess

import pytest

from s3_manifest_cli.local_stack.platform import REGION

ODD_FILES = (
    "plain.png",
    "with space.png",
    "a+b=c&d.png",
    "100%25.png",
    "ünïcödé 🎨.png",
    "deep/er/still.png",
    "quote'and\"quote.png",
    "hash#and?question.png",
    "UPPER and lower.PNG",
    "ends with dot.",
    "~tilde!(star)*.png",
)

needs_rclone = pytest.mark.skipif(not shutil.which("rclone"), reason="rclone is not installed")
needs_aws = pytest.mark.skipif(not shutil.which("aws"), reason="the aws CLI is not installed")


@pytest.fixture
def run(stack, tmp_path):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = inherited | {
        **stack.platform.environment,
        "RCLONE_CONFIG": str(tmp_path / "rclone.conf"),
        "RCLONE_CONFIG_HERE_TYPE": "s3",
        "RCLONE_CONFIG_HERE_PROVIDER": "Other",
        "RCLONE_CONFIG_HERE_ENV_AUTH": "true",
        "RCLONE_CONFIG_HERE_ENDPOINT": stack.platform.endpoint,
        "RCLONE_CONFIG_HERE_REGION": REGION,
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def pictures(tmp_path):
    """Returns a folder of files with unusual names and different contents."""
    folder = tmp_path / "pictures"
    for name in ODD_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 3)
    return folder


@needs_rclone
@needs_aws
def test_the_manifest_equals_rclones_listing_after_copies_moves_and_deletions(stack, run, pictures, style, eventually):
    prefix = f"{stack.bucket}/styles/{style}"
    run("aws", "s3", "cp", "--recursive", str(pictures), f"s3://{prefix}/aws/")
    run("rclone", "copy", str(pictures), f"here:{prefix}/rclone/")
    run("aws", "s3", "mv", f"s3://{prefix}/aws/with space.png", f"s3://{prefix}/aws/moved + renamed.png")
    run("rclone", "moveto", f"here:{prefix}/rclone/100%25.png", f"here:{prefix}/rclone/sub folder/ü%.png")
    run("aws", "s3", "rm", f"s3://{prefix}/aws/plain.png")
    run("rclone", "deletefile", f"here:{prefix}/rclone/a+b=c&d.png")
    run("rclone", "copy", f"here:{prefix}/aws", f"here:{prefix}/copied by the server")

    listed = json.loads(run("rclone", "lsjson", "--recursive", "--files-only", "--hash", f"here:{prefix}"))
    expected = {entry["Path"]: (entry["Size"], entry["Hashes"]["md5"]) for entry in listed}
    assert len(expected) == 3 * len(ODD_FILES) - 3

    def in_manifest() -> dict[str, tuple[int, str]]:
        files = stack.get("/api/s3/manifest", {"styleId": style}).body.get("files", [])
        return {entry["filename"]: (entry["size_bytes"], entry["md5_hash"]) for entry in files}

    assert eventually(in_manifest, lambda found: found == expected) == expected
