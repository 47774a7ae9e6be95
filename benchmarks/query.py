"""*Query*: what one answer of the HTTP API costs from a manifest of a thousand files, and of a million.

The real query function, asked as API Gateway asks it, over S3 behind boto3 (``wire``).
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


class Asked(NamedTuple):
    """What a request took."""

    requests: int
    bytes: int
    cpu: float
    """Real seconds; only to be compared with another one of the same run."""
    status: int
    answer: dict[str, Any]


class Question(NamedTuple):
    """A request: how a collection of so many files is asked, and what its cost is compared with."""

    name: str
    query: Callable[[int], dict[str, str]]
    again: bool = False
    """Asked with the ETag that the first answer came with."""


QUESTIONS = (
    Question("1,000 files, the first", lambda _count: {"limit": "1000"}),
    Question("1,000 files from the middle on", lambda count: {"limit": "1000", "prefix": f"{count // 2:08d}"[:5]}),
    Question("`glob=*7.png`", lambda _count: {"limit": "1000", "glob": "*7.png"}),
    Question("`prefix=` of 100 files", lambda count: {"limit": "1000", "prefix": f"{count // 2:08d}"[:6]}),
    Question("not modified", lambda _count: {"limit": "1000"}, again=True),
)


class Asker:
    """The query function over a bucket with a manifest of so many files."""

    def __init__(self, function: ModuleType, count: int) -> None:
        self._function = function
        self._traffic = Traffic()
        self._played = 0.0
        self.store = wired_store(SyntheticCollection(count), self._traffic, self._playing_s3)

    def ask(self, query: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Asked:
        """One request, and what it took."""
        event = _event(query, headers or {})
        runtime.store = lambda: self.store  # type: ignore[assignment]
        self._traffic.clear()
        self._played = 0.0
        begun = process_time()
        answered = self._function.handler(event, _CONTEXT)
        cpu = process_time() - begun - self._played
        body = from_json(answered["body"]) if answered["body"] else {}
        requests, received = self._traffic.requests.total(), self._traffic.received
        return Asked(requests, received, cpu, answered["statusCode"], body | {"headers": answered["headers"]})

    @contextmanager
    def _playing_s3(self) -> Iterator[None]:
        begun = process_time()
        yield
        self._played += process_time() - begun


def section(sizes: Sequence[int] = SIZES, repeats: int = 15) -> Section:
    """Every question at every size, the sizes in turn."""
    with _query_function() as function:
        askers = {count: Asker(function, count) for count in sizes}
        rows: list[tuple[str, ...]] = []
        most_requests, most_cpu, most_unmodified = 0, 0.0, 0
        for question in QUESTIONS:
            rounds = [{count: _ask(askers[count], question, count) for count in sizes} for _ in range(repeats)]
            for count in sizes:
                here = rounds[0][count]
                cpu = median(one[count].cpu / one[min(sizes)].cpu for one in rounds)
                shown = len(here.answer.get("files", ()))
                told = (f"{here.status}", f"{shown:,}", f"{here.requests}", f"{here.bytes:,}", f"{cpu:.2f}")
                rows.append((question.name if count == sizes[0] else "", f"{count:,}", *told))
                most_requests, most_cpu = max(most_requests, here.requests), max(most_cpu, cpu)
                most_unmodified = max(most_unmodified, here.requests) if question.again else most_unmodified
    return Section(
        "Query",
        [
            Aim(f"a page: at most {MAX_REQUESTS} S3 requests", f"{most_requests}", most_requests <= MAX_REQUESTS),
            Aim(
                f"at most {MAX_RATIO:g} times the CPU at {min(sizes):,} files", f"{most_cpu:.2f}", most_cpu <= MAX_RATIO
            ),
            Aim("not modified: one S3 request", f"{most_unmodified}", most_unmodified == 1),
        ],
        "One answer of `GET /api/manifests/{kind}/{id}`; CPU as a multiple of that at the smallest size, medians of "
        f"{repeats} rounds.\n\n"
        + table(("", "files", "status", "files shown", "S3 requests", "bytes from S3", "CPU, times"), rows),
    )


def _ask(asker: Asker, question: Question, count: int) -> Asked:
    query = question.query(count)
    if not question.again:
        return asker.ask(query)
    first = asker.ask(query)
    return asker.ask(query, {"if-none-match": first.answer["headers"]["ETag"]})


@contextmanager
def _query_function() -> Iterator[ModuleType]:
    """The function's module, with the settings that a stack would give it."""
    os.environ |= {"BUCKET": BUCKET, "COLLECTIONS": "style=styles/{style_id}/", "MANIFEST_ROOT": "_manifests/"}
    os.environ["POWERTOOLS_LOG_LEVEL"] = "ERROR"
    path = PROJECT / "functions/query/query_handler.py"
    spec = importlib.util.spec_from_file_location("query_handler", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = runtime.store
    try:
        yield module
    finally:
        runtime.store = before


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
