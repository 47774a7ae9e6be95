"""The programs that the client is compared with, each in its own venv below ``.local/yardsticks``.

They are installed once, from ``requirements-*.txt``. The report names programs that cannot be installed.
"""

import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from s3_manifest_cli.local_stack.artifacts import PROJECT

ACCESS_KEY, SECRET_KEY, REGION = "test", "test-secret", "us-east-1"
_FOLDER = PROJECT / ".local" / "yardsticks"
_VENVS = {"rclone": "rclone", "s5cmd": "rclone", "aws": "awscli", "dvc": "dvc"}


class Missing(NamedTuple):
    """Why a program is not available."""

    reason: str


def program(name: str) -> Path | Missing:
    """The path of ``rclone``, ``s5cmd``, ``aws`` or ``dvc``; installs the program if necessary."""
    folder = _installed(_VENVS[name])
    return folder if isinstance(folder, Missing) else folder / "bin" / name


def version(path: Path) -> str:
    """The version that the program prints."""
    argument = "version" if path.name in {"rclone", "s5cmd"} else "--version"
    output = subprocess.run([path, argument], capture_output=True, text=True, check=True, env=environment("")).stdout
    return output.split("\n")[0].split(" ")[0 if path.name in {"aws", "dvc"} else -1].rpartition("/")[2]


def ours() -> Path:
    """The ``s3-manifest`` command of this checkout."""
    return Path(sys.executable).with_name("s3-manifest")


def environment(endpoint: str, **more: str) -> Mapping[str, str]:
    """The environment of every program: the server's address, and none of the user's own settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_", "S3_"))}
    return inherited | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CONFIG_FILE": str(_no_settings()),
        "AWS_SHARED_CREDENTIALS_FILE": str(_no_settings()),
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_ENDPOINT_URL": endpoint,  # as s5cmd calls it
        # rclone's remote ``bench:``. https://rclone.org/s3/#rclone
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "Rclone",
        "RCLONE_CONFIG_BENCH_ENDPOINT": endpoint,
        "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
        "DVC_NO_ANALYTICS": "true",
        **more,
    }


@cache
def _no_settings() -> Path:
    # DVC requires an existing file.
    path = _FOLDER / "no-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@cache
def _installed(name: str) -> Path | Missing:
    requirements = PROJECT / "benchmarks" / f"requirements-{name}.txt"
    folder, pinned = _FOLDER / name, requirements.read_text()
    done = folder / "installed.txt"
    if done.exists() and done.read_text() == pinned:
        return folder
    print(f"Installing {requirements.name} into {folder} …", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, clear=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run([*pip, "-r", requirements], capture_output=True, text=True, check=False)
    if result.returncode:
        return Missing(f"{requirements.name} cannot be installed: {result.stderr.strip().splitlines()[-1]}")
    done.write_text(pinned)
    return folder
