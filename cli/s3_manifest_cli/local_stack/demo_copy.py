"""The part of the demo about local copies, with the commands that a user types."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from s3_manifest_cli.local_stack.demo_actor import ACTOR, NUMBER
from s3_manifest_cli.local_stack.demo_output import DemoFailed, headline
from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, STACK, Stack

COLLECTION = "style/17"
_PROMPTS = {"fox.png": "a fox in the reeds", "owl.png": "an owl at night", "sea.png": "the sea in winter"}


def run_copy_demo(stack: Stack) -> None:
    """Uploads a folder, repairs the copy, restores an old version, and reads both buckets. Raises ``DemoFailed``."""
    with tempfile.TemporaryDirectory(prefix="s3-manifest-") as name:
        folder = Path(name)
        pictures = folder / "pictures"
        pictures.mkdir()
        for number, (filename, prompt) in enumerate(_PROMPTS.items()):
            (pictures / filename).write_bytes(png(64 + number, (60 * number, 160, 90)))
            (pictures / filename).with_suffix(".txt").write_text(prompt)
        environment = os.environ | {
            **stack.platform.environment,
            "S3_MANIFEST_STACK": STACK,
            "S3_MANIFEST_CACHE": str(folder / "cache"),
        }

        def run(command: str, exit_code: int = 0) -> None:
            click.secho(f"  $ {command}", bold=True)
            program, *arguments = command.split()
            argv = [sys.executable, "-m", "s3_manifest_cli", *arguments]
            if program != "s3-manifest":
                argv = ["/bin/sh", "-c", command]
            done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            for line in (done.stdout + done.stderr).splitlines():
                click.echo(f"  {line}")
            if done.returncode != exit_code:
                raise DemoFailed(f"{command} exited with {done.returncode}, not {exit_code}")

        headline("12. A folder of pictures with captions becomes a style")
        run(f"s3-manifest push pictures {COLLECTION} --generation-type flux --wait 20")
        run(f"s3-manifest status pictures {COLLECTION}")

        first = stack.get(f"/api/manifests/{COLLECTION}", {"limit": 1}).body["revision"]
        headline("13. A local file is damaged, with the same size and time as before")
        run("touch -r pictures/owl.png time; printf X | dd of=pictures/owl.png seek=40 bs=1 conv=notrunc status=none")
        run("touch -r time pictures/owl.png; rm pictures/sea.png time")
        run(f"s3-manifest status pictures {COLLECTION}", exit_code=1)
        run(f"s3-manifest verify pictures {COLLECTION}", exit_code=1)
        run(f"s3-manifest pull {COLLECTION} pictures")
        run(f"s3-manifest verify pictures {COLLECTION}")

        headline("14. A picture is overwritten in S3, and its first version restored")
        run("cp pictures/sea.png pictures/fox.png")
        run(f"s3-manifest push pictures {COLLECTION} --wait 20")
        run(f"s3-manifest diff {COLLECTION}@{first} {COLLECTION}", exit_code=1)
        run(f"s3-manifest restore {COLLECTION} pictures --revision {first} --include fox.png")
        run(f"s3-manifest restore {COLLECTION} --in-s3 --revision {first} --wait 20")
        run(f"s3-manifest history {COLLECTION}")
        run(f"s3-manifest export {COLLECTION} md5sum --output MD5SUMS")
        run("cd pictures; md5sum --check ../MD5SUMS")

        headline("15. The stack's name is enough for both buckets")
        run("s3-manifest ls")
        run(f"s3-manifest pull actor/{NUMBER} actor")
        run(f"s3-manifest verify actor s3://{ACTOR_BUCKET}/system_actors/training_data/{ACTOR}/")
