"""The HTTP API answers 429 to more requests than its parameters allow; the client waits and retries."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import pytest

from s3_manifest_cli.client.access import http_api
from s3_manifest_cli.client.access.http_api import HttpApi
from s3_manifest_cli.errors import Unavailable


@pytest.fixture
def api(monkeypatch) -> Iterator[tuple[HttpApi, list[int], list[str], list[float]]]:
    """A client of an API that answers with ``statuses`` in turn, the received bodies, and the client's delays."""
    statuses, bodies, delays = [], [], []
    monkeypatch.setattr(http_api.time, "sleep", delays.append)

    class Throttling(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            body = json.dumps({"message": "Too Many Requests"}).encode()
            self.send_response(statuses.pop(0))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Throttling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield HttpApi(f"http://127.0.0.1:{server.server_port}", boto3.Session(), "token"), statuses, bodies, delays
        server.shutdown()
        thread.join()


def test_a_throttled_request_is_retried_with_its_body_and_increasing_delays(api):
    client, statuses, bodies, delays = api
    statuses += [429, 429, 200]
    assert client.request("POST", "/api/manifests/rescan", body={"a": 1}).status == 200
    assert bodies == ['{"a":1}'] * 3
    assert 0 < delays[0] < 0.51
    assert 0.5 <= delays[1] <= 1


def test_a_request_that_stays_throttled_fails(api):
    client, statuses, bodies, delays = api
    statuses += [429] * 9
    with pytest.raises(Unavailable):
        client.request("POST", "/api/manifests/rescan", body={"a": 1})
    assert (len(bodies), len(delays)) == (5, 4)


@pytest.mark.parametrize("status", [403, 500, 503])
def test_only_throttled_requests_are_retried(api, status):
    client, statuses, bodies, delays = api
    statuses += [status, 200]
    with pytest.raises(Unavailable):
        client.request("POST", "/api/manifests/rescan", body={"a": 1})
    assert (len(bodies), delays) == (1, [])
