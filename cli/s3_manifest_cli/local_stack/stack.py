"""Deploys the project's template on the local platform, with the same wiring as on AWS."""

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import click
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from samtranslator.yaml_helper import yaml_parse

from s3_manifest.http import addressing
from s3_manifest_cli.local_stack.artifacts import PROJECT, function_zip, layer_is_built, layer_zip
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY, Platform, running_platform

STACK = "s3-manifest"
BUCKET, ACTOR_BUCKET = "storyboard-user-files", "story-boards-assets"
PARAMETERS = {
    "BucketName": BUCKET,
    "AdditionalBuckets": ACTOR_BUCKET,
    "Collections": f"style=styles/{{style_id}}/,actor=s3://{ACTOR_BUCKET}/system_actors/training_data/{{actor_id}}/",
}
"""Styles are in the stack's own bucket, actors in one that exists before the stack."""

_ARTIFACTS = "s3-manifest-artifacts"
# API Gateway answers within 30.
_TIMEOUT_SECONDS = 35.0


Query = Mapping[str, str | int]


@dataclass(frozen=True)
class Answer:
    """An HTTP response: status, headers with lower-case names, and the parsed JSON body (None: none)."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Stack:
    """A deployed stack and its outputs."""

    platform: Platform
    outputs: Mapping[str, str]

    @property
    def bucket(self) -> str:
        """The name of the stack's own bucket."""
        return self.outputs["BucketName"]

    @property
    def api_url(self) -> str:
        """The HTTP API's URL on this machine; on AWS it is the output ``ApiUrl``."""
        return f"{self.platform.endpoint}/_aws/execute-api/{self.outputs['ApiId']}/$default"

    def get(self, path: str, query: Query | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Sends a signed GET to the HTTP API."""
        return self.send("GET", path, query=query, headers=headers)

    def post(self, path: str, body: object = None, query: Query | None = None) -> Answer:
        """Sends a signed POST to the HTTP API, with a JSON body (None: none)."""
        return self.send("POST", path, body, query)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = _TIMEOUT_SECONDS,
    ) -> Answer:
        """Sends a signed request to the HTTP API, with a JSON body (None: none). Raises ``TimeoutError``."""
        content = None if body is None else json.dumps(body).encode()
        fields = {"Content-Type": "application/json"} if content else {}
        url = self.api_url + addressing.url(path, query or {})
        request = AWSRequest(method, url, data=content, headers={**fields, **(headers or {})})
        SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "execute-api", REGION).add_auth(request)
        signed = Request(url, data=content, headers=dict(request.headers), method=method)
        return http_send(signed, seconds, self.platform.tls)


def http_send(request: Request, seconds: float = _TIMEOUT_SECONDS, tls: SSLContext | None = None) -> Answer:
    """Sends a request; returns errors too."""
    status, headers, body = _receive(request, seconds, tls)
    return Answer(status, headers, json.loads(body) if body else None)


def http_put(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Sends a PUT, as for a presigned URL; returns the status."""
    return _receive(Request(url, data=body, headers=dict(headers), method="PUT"))[0]


def _receive(
    request: Request, seconds: float = _TIMEOUT_SECONDS, tls: SSLContext | None = None
) -> tuple[int, dict[str, str], bytes]:
    try:
        response = urlopen(request, timeout=seconds, context=tls)
    except HTTPError as error:
        response = error
    with response:
        return response.status, {name.lower(): value for name, value in response.headers.items()}, response.read()


def deploy(platform: Platform, name: str, parameters: Mapping[str, str] | None = None) -> Stack:
    """Deploys the checkout's ``template.yaml``. Raises ``botocore.exceptions.WaiterError`` if it fails."""
    cloudformation: Any = platform.client("cloudformation")
    cloudformation.create_stack(**deployment_request(platform, name, parameters))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    return existing_stack(platform, name)


def deploy_two_buckets(platform: Platform, parameters: Mapping[str, str] | None = None) -> Stack:
    """Creates the actors' bucket and deploys the stack with ``PARAMETERS`` and these. Raises as ``deploy``."""
    platform.client("s3").create_bucket(Bucket=ACTOR_BUCKET)
    return deploy(platform, STACK, PARAMETERS | dict(parameters or {}))


def deployment_request(platform: Platform, name: str, parameters: Mapping[str, str] | None) -> dict[str, Any]:
    """Uploads code and template; returns the parameters of a request that creates or updates a stack."""
    body = json.dumps(_package(template(), platform)).encode()
    # A request may contain only 51,200 bytes of template.
    platform.client("s3").put_object(Bucket=_ARTIFACTS, Key="template.json", Body=body)
    return {
        "StackName": name,
        "TemplateURL": f"{platform.endpoint}/{_ARTIFACTS}/template.json",
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }


def existing_stack(platform: Platform, name: str) -> Stack:
    """Returns a deployed stack."""
    (stack,) = platform.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return Stack(platform, {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]})


def template() -> dict[str, Any]:
    """Returns ``template.yaml`` with its short intrinsic functions in their long form."""
    parsed: dict[str, Any] = yaml_parse((PROJECT / "template.yaml").read_text())
    return parsed


def _package(template: dict[str, Any], platform: Platform) -> dict[str, Any]:
    """Uploads the code and returns the template that refers to it, like `aws cloudformation package`."""
    s3: Any = platform.client("s3")
    s3.create_bucket(Bucket=_ARTIFACTS)
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            field, content = "CodeUri", function_zip(PROJECT / resource["Properties"]["CodeUri"])
        elif resource["Type"] == "AWS::Serverless::LayerVersion":
            field, content = "ContentUri", layer_zip()
        else:
            continue
        s3.put_object(Bucket=_ARTIFACTS, Key=f"{name}.zip", Body=content)
        resource["Properties"][field] = {"Bucket": _ARTIFACTS, "Key": f"{name}.zip"}
    return template


@contextmanager
def _step(doing: str) -> Iterator[None]:
    """Prints a step when it starts, and its duration when it ends."""
    click.echo(f"  {doing} … ", nl=False)
    started = time.monotonic()
    yield
    click.echo(f"{time.monotonic() - started:.1f} s")


@contextmanager
def local_stack(port: int = 0) -> Iterator[Stack]:
    """Deploys the template on this machine and removes everything when the block ends, also on SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if not layer_is_built():
        with _step("Installing the dependencies of the functions (once)"):
            layer_zip()
    with running_platform(port) as platform:
        click.echo(f"  S3, SQS, Lambda and API Gateway answer at {platform.endpoint} (MiniStack)")
        with _step("Deploying template.yaml through CloudFormation"):
            stack = deploy_two_buckets(platform)
        yield stack
