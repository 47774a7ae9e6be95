"""*Query*: the cost of one response of the HTTP API, from a manifest of a thousand files and of a million.

The real query function, invoked as by API Gateway, over S3 behind boto3 (``wire``).
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from time import process_time
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from pydantic_core import from_json

from benchmarks.manifests import COLLECTION, SyntheticCollection
from benchmarks.table import Aim, Section, table
from benchmarks.traffic import Traffic
from benchmarks.wire import BUCKET, wired_store
from s3_manifest.aws import runtime
from s3_manifest_cli.local_stack.stack import PROJECT

SIZES = (1_000, 10_000, 100_000, 1_000_000)
MAX_REQUESTS = 3
MAX_RATIO = 2.0

_PATH = f"/api/manifests/{COLLECTION.kind}/{COLLECTION.id}"


class Cost(NamedTuple):
    """The cost of one request."""

    requests: int
    bytes: int
    cpu: float
    """Real seconds; comparable only within one run."""
    status: int
    answer: dict[str, Any]


class Request(NamedTuple):
    """A kind of request; ``query`` returns its parameters for a number of files."""

    name: str
    query: Callable[[int], dict[str, str]]
    conditional: bool = False
    """Repeated with the ETag of its first response."""


REQUESTS = (
    Request("1,000 files, the first", lambda _count: {"limit": "1000"}),
    Request("1,000 files from the middle on", lambda count: {"limit": "1000", "prefix": f"{count // 2:08d}"[:5]}),
    Request("`glob=*7.png`", lambda _count: {"limit": "1000", "glob": "*7.png"}),
    Request("`prefix=` of 100 files", lambda count: {"limit": "1000", "prefix": f"{count // 2:08d}"[:6]}),
    Request("not modified", lambda _count: {"limit": "1000"}, conditional=True),
)


class Client:
    """Invokes the query function over a bucket with a manifest of ``count`` files."""

    def __init__(self, function: ModuleType, count: int) -> None:
        self._function = function
        self._traffic = Traffic()
        self._server_cpu = 0.0
        self.store = wired_store(SyntheticCollection(count), self._traffic, self._as_server)

    def send(self, query: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Cost:
        """Sends one request and measures its cost."""
        event = _event(query, headers or {})
        runtime.stores = lambda: {BUCKET: self.store}  # type: ignore[assignment]
        self._traffic.clear()
        self._server_cpu = 0.0
        start = process_time()
        answered = self._function.handler(event, _CONTEXT)
        cpu = process_time() - start - self._server_cpu
        body = from_json(answered["body"]) if answered["body"] else {}
        requests, received = self._traffic.requests.total(), self._traffic.received
        return Cost(requests, received, cpu, answered["statusCode"], body | {"headers": answered["headers"]})

    @contextmanager
    def _as_server(self) -> Iterator[None]:
        start = process_time()
        yield
        self._server_cpu += process_time() - start


def section(sizes: Sequence[int] = SIZES, repeats: int = 15) -> Section:
    """Every request at every size, alternating the sizes."""
    with _query_function() as function:
        clients = {count: Client(function, count) for count in sizes}
        rows: list[tuple[str, ...]] = []
        most_requests, most_cpu, most_unmodified = 0, 0.0, 0
        for request in REQUESTS:
            rounds = [{count: _send(clients[count], request, count) for count in sizes} for _ in range(repeats)]
            for count in sizes:
                cost = rounds[0][count]
                cpu = median(costs[count].cpu / costs[min(sizes)].cpu for costs in rounds)
                shown = len(cost.answer.get("files", ()))
                cells = (f"{cost.status}", f"{shown:,}", f"{cost.requests}", f"{cost.bytes:,}", f"{cpu:.2f}")
                rows.append((request.name if count == sizes[0] else "", f"{count:,}", *cells))
                most_requests, most_cpu = max(most_requests, cost.requests), max(most_cpu, cpu)
                most_unmodified = max(most_unmodified, cost.requests) if request.conditional else most_unmodified
    return Section(
        "Query",
        [
            Aim(f"a page: at most {MAX_REQUESTS} S3 requests", f"{most_requests}", most_requests <= MAX_REQUESTS),
            Aim(
                f"at most {MAX_RATIO:g} times the CPU at {min(sizes):,} files", f"{most_cpu:.2f}", most_cpu <= MAX_RATIO
            ),
            Aim("not modified: one S3 request", f"{most_unmodified}", most_unmodified == 1),
        ],
        "One response of `GET /api/manifests/{kind}/{id}`; CPU as a multiple of that at the smallest size, medians of "
        f"{repeats} rounds.\n\n"
        + table(("", "files", "status", "files shown", "S3 requests", "bytes from S3", "CPU, times"), rows),
    )


def _send(client: Client, request: Request, count: int) -> Cost:
    query = request.query(count)
    if not request.conditional:
        return client.send(query)
    first = client.send(query)
    return client.send(query, {"if-none-match": first.answer["headers"]["ETag"]})


@contextmanager
def _query_function() -> Iterator[ModuleType]:
    """The module of the function, with the settings that a stack sets."""
    os.environ |= {"BUCKET": BUCKET, "COLLECTIONS": "style=styles/{style_id}/", "MANIFEST_ROOT": "_manifests/"}
    os.environ["POWERTOOLS_LOG_LEVEL"] = "ERROR"
    path = PROJECT / "functions/query/query_handler.py"
    spec = importlib.util.spec_from_file_location("query_handler", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = runtime.stores
    try:
        yield module
    finally:
        runtime.stores = before


_CONTEXT = SimpleNamespace(
    function_name="query",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:query",
    aws_request_id="00000000-0000-0000-0000-000000000000",
    get_remaining_time_in_millis=lambda: 30_000,
)


def _event(query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html"""
    return {
        "version": "2.0",
        "routeKey": "GET /api/{proxy+}",
        "rawPath": _PATH,
        "rawQueryString": urlencode(query),
        "queryStringParameters": dict(query),
        "headers": dict(headers),
        "requestContext": {"http": {"method": "GET", "path": _PATH}, "stage": "$default"},
        "isBase64Encoded": False,
    }
