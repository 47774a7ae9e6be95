"""The part of the demo that keeps a local copy, with the commands that a user types."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import Stack

COLLECTION = "style/17"
_PROMPTS = {"fox.png": "a fox in the reeds", "owl.png": "an owl at night", "sea.png": "the sea in winter"}


class Failed(click.ClickException):
    """A command did not end as it should."""


def walk_copy(stack: Stack) -> None:
    """Uploads a folder, breaks the copy and mends it, and brings an old version back. Raises ``Failed``."""
    with tempfile.TemporaryDirectory(prefix="s3-manifest-") as name:
        place = Path(name)
        pictures = place / "pictures"
        pictures.mkdir()
        for number, (filename, prompt) in enumerate(_PROMPTS.items()):
            (pictures / filename).write_bytes(png(64 + number, (60 * number, 160, 90)))
            (pictures / filename).with_suffix(".txt").write_text(prompt)

        def run(command: str, code: int = 0) -> None:
            click.secho(f"  $ {command}", bold=True)
            program, *arguments = command.split()
            if program == "s3-manifest":
                answer = _client(arguments, place, _environment(stack, place))
            else:
                shell = ["/bin/sh", "-c", command]
                answer = subprocess.run(shell, cwd=place, capture_output=True, text=True, check=False)
            for line in (answer.stdout + answer.stderr).splitlines():
                click.echo(f"  {line}")
            if answer.returncode != code:
                raise Failed(f"{command} ended with {answer.returncode}, not {code}")

        _headline("12. A folder of pictures with captions becomes a style")
        run(f"s3-manifest push pictures {COLLECTION} --generation-type flux --wait 20")
        run(f"s3-manifest status pictures {COLLECTION}")

        first = stack.get(f"/api/manifests/{COLLECTION}", {"limit": 1}).body["revision"]
        _headline("13. A local file is broken, without its size or its time telling")
        run("touch -r pictures/owl.png time; printf X | dd of=pictures/owl.png seek=40 bs=1 conv=notrunc status=none")
        run("touch -r time pictures/owl.png; rm pictures/sea.png time")
        run(f"s3-manifest status pictures {COLLECTION}", code=1)
        run(f"s3-manifest verify pictures {COLLECTION}", code=1)
        run(f"s3-manifest pull {COLLECTION} pictures")
        run(f"s3-manifest verify pictures {COLLECTION}")

        _headline("14. A picture is overwritten in S3, and the first one brought back")
        run("cp pictures/sea.png pictures/fox.png")
        run(f"s3-manifest push pictures {COLLECTION} --wait 20")
        run(f"s3-manifest diff {COLLECTION}@{first} {COLLECTION}", code=1)
        run(f"s3-manifest restore {COLLECTION} pictures --revision {first} --include fox.png")
        run(f"s3-manifest restore {COLLECTION} --in-s3 --revision {first} --wait 20")
        run(f"s3-manifest history {COLLECTION}")
        run(f"s3-manifest export {COLLECTION} md5sum --output MD5SUMS")
        run("cd pictures; md5sum --check ../MD5SUMS")


def _client(arguments: list[str], place: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "s3_manifest_cli", *arguments]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def _environment(stack: Stack, place: Path) -> Mapping[str, str]:
    return os.environ | {
        "AWS_ENDPOINT_URL": stack.platform.endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "S3_MANIFEST_BUCKET": stack.bucket,
        "S3_MANIFEST_CACHE": str(place / "cache"),
    }


def _headline(text: str) -> None:
    click.secho(f"\n{text}", bold=True)
