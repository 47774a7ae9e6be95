"""MiniStack, the local AWS platform, as a child process on loopback."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import boto3
import click
from botocore.config import Config

REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY = "test", "test"  # MiniStack accepts any pair; this is its default
_START_SECONDS, _STOP_SECONDS = 30, 10


class PlatformFailed(click.ClickException):
    """MiniStack did not start; the text has the end of its log."""


@dataclass(frozen=True)
class Platform:
    """A running MiniStack: its endpoint for every AWS API, its log, and its certificate with TLS."""

    endpoint: str
    log: Path
    certificate: Path | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The context that trusts its certificate; None without TLS."""
        return ssl.create_default_context(cafile=self.certificate) if self.certificate else None

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which programs that use an AWS SDK reach it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str, config: Config | None = None) -> Any:  # noqa: ANN401  # as boto3 has it
        """Returns a boto3 client for this platform."""
        return boto3.Session().client(
            service,  # type: ignore[call-overload]  # the stubs want a literal
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=config,
            verify=str(self.certificate) if self.certificate else None,
        )


@contextmanager
def running_platform(
    port: int = 0, host: str = "127.0.0.1", *, enforce_iam: bool = False, tls: bool = False
) -> Iterator[Platform]:
    """Runs MiniStack until the block ends, and removes everything.

    ``port`` 0: a free one. ``enforce_iam`` enforces roles and resource policies; the template's policies deny plain
    HTTP, so the template then needs ``tls``. Raises ``PlatformFailed``.
    """
    port = port or free_port(host)
    with tempfile.TemporaryDirectory(prefix="s3-manifest-") as folder:
        log = Path(folder) / "ministack.log"
        platform = Platform(
            f"{'https' if tls else 'http'}://{host}:{port}",
            log,
            Path(folder) / "ministack-tls" / "server.crt" if tls else None,
        )
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ministack"],
                env=_environment(host, port, folder)
                | ({"AUTH": "true"} if enforce_iam else {})
                | ({"USE_SSL": "1"} if tls else {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, so that its workers end with it
            )
        try:
            _wait_until_up(process, platform)
            yield platform
        finally:
            _end(process)


def _environment(host: str, port: int, folder: str) -> dict[str, str]:
    # The functions have to trust its certificate, which the user's own bundle does not contain.
    excluded = ("AWS_", "SSL_CERT_", "REQUESTS_CA_BUNDLE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(excluded)}
    return inherited | {
        "BIND_HOST": host,
        "GATEWAY_PORT": str(port),
        "S3_PERSIST": "0",
        "TMPDIR": folder,
        # It runs functions in Docker if Docker is available; without it, they run the same way for everybody.
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
        # Listeners of services that are not used here.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        # Workers must not write into the packages of their Python.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def free_port(host: str) -> int:
    """Returns a free port."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(process: subprocess.Popen[bytes], platform: Platform) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            # The certificate's file may not exist yet.
            with urlopen(f"{platform.endpoint}/_ministack/health", timeout=1, context=platform.tls):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise PlatformFailed(
        f"MiniStack did not answer at {platform.endpoint}; its log ends:\n{platform.log.read_text()[-2000:]}"
        "\nIf another program uses the port, choose another: s3-manifest local serve --port N"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(_STOP_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
