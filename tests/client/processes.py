"""Runs commands in separate processes, without the environment of the test run."""

import ctypes
import os
import subprocess
import sys

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_MAX_ATTEMPTS": "1",
}


def obey_permissions():
    """Drops root's right to ignore permissions; to be called in a new process.

    https://man7.org/linux/man-pages/man7/capabilities.7.html
    """
    if os.geteuid() == 0 and sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def start(environment, *arguments, **more):
    """Starts the command with this environment besides ``PATH``; stdout and stderr are pipes of text."""
    return subprocess.Popen(
        [sys.executable, "-m", "s3_manifest_cli", *map(str, arguments)],
        env={"PATH": os.environ["PATH"]} | environment,
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | more),
    )


def read_terminal(controller):
    """Returns what processes write to a terminal, until the last one has ended, and closes it."""
    shown = b""
    try:
        while block := os.read(controller, 65536):
            shown += block
    except OSError:  # Linux raises it after the other end is closed
        pass
    finally:
        os.close(controller)
    return shown


def run(*arguments, environment=None, **more):
    """Runs the command; ``environment`` extends ``ENVIRONMENT``."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 120} | more
    return subprocess.run(
        [sys.executable, "-m", "s3_manifest_cli", *map(str, arguments)],
        env=ENVIRONMENT | (environment or {}),
        check=False,
        preexec_fn=obey_permissions,
        **options,
    )
