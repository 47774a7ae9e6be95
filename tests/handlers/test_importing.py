"""A cold start: importing a function reads no settings and sends no request."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

COUNT_CLIENTS = """
import socket
import sys
import boto3.session
import botocore.session

def refuse(*_, **__):
    sys.exit("a client was made, or a connection opened, by the import")

boto3.session.Session.client = boto3.session.Session.resource = refuse
botocore.session.Session.create_client = refuse
socket.socket.connect = refuse
__import__(sys.argv[1])
print("imported", callable(sys.modules[sys.argv[1]].handler))
"""

HANDLERS = [
    "edit_handler",
    "reconcile_handler",
    "query_handler",
    "rescan_handler",
    "subscription_handler",
    "sweep_handler",
]


@pytest.mark.parametrize("name", HANDLERS)
def test_importing_a_handler_needs_no_environment_and_creates_no_client(name: str) -> None:
    folders = [
        str(Path(importlib.util.find_spec(name).origin).parent),
        str(Path(importlib.util.find_spec("s3_manifest").origin).parents[1]),
    ]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COUNT_CLIENTS, name],
        env={"PYTHONPATH": ":".join(folders)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("imported True\n", "")
