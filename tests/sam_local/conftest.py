"""Builds the project with `sam build`, and runs it with `sam local` in containers against a local S3."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NoReturn

import pytest
from local_stack.stacks import http_get

from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY, Platform, running_platform
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, BUCKET, PARAMETERS, Answer

_PROJECT = Path(__file__).parents[2]
_SECONDS = 240
# The architecture of the container images; the build serves both.
_ARCHITECTURE = ("--parameter-overrides", "Architecture=x86_64")


@dataclass(frozen=True)
class Buckets:
    """The versioned buckets of events/, which containers can reach, and the variables that name them.

    ``name`` is the deployment's own; keys of actors are in the other one, ``actors``.
    """

    name: str
    actors: str
    platform: Platform
    s3: Any
    queue_url: str
    env_vars: Path

    def put(self, key: str, body: bytes, **more: Any) -> None:
        self.s3.put_object(Bucket=self._bucket_of(key), Key=key, Body=body, **more)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self._bucket_of(key), Key=key)

    def manifest(self, prefix: str) -> dict[str, Any]:
        stored = self.s3.get_object(Bucket=self._bucket_of(prefix), Key=f"_manifests/{prefix}manifest.json")
        return json.loads(stored["Body"].read())

    def manifests(self, bucket: str) -> list[str]:
        """The keys below the manifest root of a bucket."""
        return [
            entry["Key"] for entry in self.s3.list_objects_v2(Bucket=bucket, Prefix="_manifests/").get("Contents", ())
        ]

    def _bucket_of(self, key: str) -> str:
        return self.actors if key.startswith("system_actors/") else self.name


@dataclass(frozen=True)
class Sam:
    """The SAM CLI and its build of the project."""

    project: Path
    executable: str
    built: Path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Returns the output; fails the test if the command fails."""
        done = subprocess.run(
            [self.executable, *arguments],
            cwd=self.project,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"sam {' '.join(map(str, arguments))} exited with {done.returncode}:\n{done.stderr}")
        return done

    def invoke(self, function: str, event: str | Path, *options: str | Path, template: Path | None = None) -> Any:
        """Returns a function's response to one of events/, or to another file."""
        path = event if isinstance(event, Path) else self.project / "events" / f"{event}.json"
        template = template or self.built / "template.yaml"
        done = self.run("local", "invoke", function, "--template", template, "--event", path, *_ARCHITECTURE, *options)
        # SAM exits with 0 even if the function fails, and prints nothing after a timeout.
        answer = json.loads(done.stdout or '{"errorMessage": "no answer"}')
        if isinstance(answer, dict) and "errorMessage" in answer:
            pytest.fail(f"{function} failed: {done.stdout}\n{done.stderr}")
        return answer

    def reconcile(self, event: str, buckets: Buckets) -> Any:
        return self.invoke("ReconcileFunction", event, "--env-vars", buckets.env_vars)


@dataclass(frozen=True)
class Api:
    """The HTTP API, served by `sam local start-api`."""

    url: str

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return http_get(self.url + path, headers or {})


@pytest.fixture(scope="session")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Sam:
    _require_docker()
    command = os.environ.get("SAM") or "sam"
    executable = shutil.which(command)
    if not executable:
        _unavailable(f"there is no {command!r}: install the SAM CLI, or set SAM to its path")
    built = tmp_path_factory.mktemp("sam") / "build"
    sam = Sam(_PROJECT, executable, built)
    sam.run("build", "--template", sam.project / "template.yaml", "--build-dir", built, "--no-cached")
    return sam


@pytest.fixture(scope="session")
def bridge_gateway() -> str:
    """This machine's address in the containers' network; they cannot reach its loopback."""
    _require_docker()
    (network, *_) = json.loads(_docker("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}").stdout)
    # Docker omits the gateway if it is the default, the first address.
    gateway = network.get("Gateway") or str(next(ip_network(network["Subnet"]).hosts()))
    try:
        socket.create_server((gateway, 0)).close()
    except OSError:
        _unavailable(f"the bridge's gateway {gateway} is not this machine, so containers cannot reach it")
    return gateway


@pytest.fixture
def buckets(bridge_gateway: str, tmp_path: Path) -> Iterator[Buckets]:
    with _buckets(bridge_gateway, tmp_path) as buckets:
        yield buckets


@pytest.fixture(scope="session")
def published(sam: Sam, bridge_gateway: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    """Read-only buckets with three files in style 16, one in actor 7, and their manifests."""
    with _buckets(bridge_gateway, tmp_path_factory.mktemp("published")) as buckets:
        for n in (1, 2, 3):
            buckets.put(f"styles/16/image_{n:03d}.jpg", b"jpeg" * n)
        buckets.put("system_actors/training_data/7/pose_002.png", b"png")
        sam.reconcile("sqs-batch", buckets)
        yield buckets


@pytest.fixture(scope="session")
def api(sam: Sam, published: Buckets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("api") / "sam.log"
    options: list[str | Path] = ["--template", sam.built / "template.yaml", "--env-vars", published.env_vars]
    # One container for all requests; EAGER would start one for each function.
    options += ["--warm-containers", "LAZY"]
    # SAM cannot read a conditional AuthorizerId, and never authorizes requests.
    options += ["--disable-authorizer", *_ARCHITECTURE]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sam.executable, "local", "start-api", "--host", "127.0.0.1", "--port", str(port), *options],
            cwd=sam.project,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_listening(process, port, log)
        yield Api(f"http://127.0.0.1:{port}")
    finally:
        _end(process)
        # SAM does not always remove its containers.
        for container in re.findall(r"SAM_CONTAINER_ID: (\w+)", log.read_text()):
            _docker("rm", "--force", "--volumes", container)


@contextmanager
def _buckets(gateway: str, folder: Path) -> Iterator[Buckets]:
    with running_platform(host=gateway) as platform:
        s3 = platform.client("s3")
        for name in (BUCKET, ACTOR_BUCKET):
            s3.create_bucket(Bucket=name)
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        queue = platform.client("sqs").create_queue(QueueName="sweeps")["QueueUrl"]
        variables = {
            "BUCKET": BUCKET,
            "COLLECTIONS": PARAMETERS["Collections"],
            "S3_MANIFEST_ENDPOINT_URL": platform.endpoint,
            "SWEEP_QUEUE_URL": queue,
        }
        env_vars = folder / "env-vars.json"
        env_vars.write_text(json.dumps({"Parameters": variables}))
        yield Buckets(BUCKET, ACTOR_BUCKET, platform, s3, queue, env_vars)


def _environment() -> dict[str, str]:
    """The environment of SAM; it passes the credentials and the region to the functions."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return inherited | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # SAM requests the account's id and works without it; this address refuses immediately.
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "1",
        "SAM_CLI_TELEMETRY": "0",
    }


def _require_docker() -> None:
    if not shutil.which("docker"):
        _unavailable("there is no `docker` on PATH")
    answer = _docker("version")
    if answer.returncode:
        _unavailable(f"no Docker engine answers: {answer.stderr.strip()}")


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("docker") or "docker", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS)


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("SAM_LOCAL_REQUIRED") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + _SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"start-api did not come up; its log ends:\n{log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
        return
