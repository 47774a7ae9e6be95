"""The documents' commands: the ones that deploy are accepted by the template, and curl's signature by AWS."""

import os
import re
import shlex
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from unit.docs.pages import PROJECT, blocks, commands

from s3_manifest_cli.local_stack.stack import template

SAMCONFIG = tomllib.loads((PROJECT / "samconfig.toml").read_text())
PARAMETERS = template()["Parameters"]


@pytest.mark.parametrize("line", commands("sam deploy"))
def test_a_deployment_takes_at_most_two_parameters_that_the_template_accepts(line):
    _, _, *arguments = shlex.split(line)
    overrides = []
    if arguments:
        option, *overrides = arguments
        assert option == "--parameter-overrides"
    assert len(overrides) <= 2
    for override in overrides:
        name, _, value = override.partition("=")
        assert re.fullmatch(PARAMETERS[name]["AllowedPattern"], value)


def test_no_example_asks_questions_that_edit_the_projects_own_files():
    assert not [block for block in blocks() if "--guided" in block]


@pytest.mark.parametrize("environment", ["default", "prod"])
def test_samconfig_answers_every_question_of_a_deployment(environment):
    answers = SAMCONFIG[environment]["deploy"]["parameters"]
    assert {"stack_name", "resolve_s3", "capabilities"} <= answers.keys()
    for override in answers.get("parameter_overrides", ()):
        name, _, value = override.partition("=")
        assert value in [str(value) for value in PARAMETERS[name]["AllowedValues"]]
    assert all("Default" in parameter for parameter in PARAMETERS.values())


def test_the_examined_stack_is_the_deployed_one():
    stack = SAMCONFIG["default"]["deploy"]["parameters"]["stack_name"]
    assert f"s3-manifest doctor --stack {stack}" in commands("s3-manifest doctor")


class Signature(SigV4Auth):
    """The signature that AWS expects: it decodes, encodes and sorts the query itself.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """

    def canonical_query_string(self, request: AWSRequest) -> str:
        pairs = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
        return "&".join(f"{k}={v}" for k, v in sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in pairs))


@pytest.fixture
def requests() -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """The URL of a server that answers anything, and its requests: path and headers."""
    received = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_curl_signs_as_aws_expects(requests):
    url, received = requests
    (command,) = [block for block in blocks() if block.startswith("curl --aws-sigv4")]
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2lu/+EXAMPLE==")
    environment = {
        **os.environ,
        "API_URL": url,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token,
    }
    subprocess.run(["/bin/sh", "-c", command], env=environment, check=True, capture_output=True, timeout=30)
    ((path, headers),) = received
    signed, signature = re.search(r"SignedHeaders=(.*?), *Signature=(.*)", headers["authorization"]).groups()
    assert "x-amz-security-token" in signed.split(";")
    request = AWSRequest("GET", url + path, headers={name: headers[name] for name in signed.split(";")})
    request.context["timestamp"] = headers["x-amz-date"]
    expected = Signature(credentials, "execute-api", "us-east-1")
    text = expected.string_to_sign(request, expected.canonical_request(request))
    assert signature == expected.signature(text, request)
