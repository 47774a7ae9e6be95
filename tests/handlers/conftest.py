"""The functions as Lambda runs them: their environment, their account, their log."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import moto.sqs.models
import pytest
import urllib3
from botocore.session import Session
from moto import mock_aws
from moto.core.base_backend import BackendDict

import edit_handler
import query_handler
import reconcile_handler
import rescan_handler
import subscription_handler
import sweep_handler
from handlers.account import Account, botocore_session, listed
from handlers.lambda_answers import Reply, failed_ids, metrics_by_bucket_in, metrics_in
from handlers.lambda_events import ASSETS, BUCKET, REGION, Context, http_request, sqs_event
from s3_manifest.aws import runtime, settings
from s3_manifest.aws.clients import s3_client
from s3_manifest.manifest import layout
from s3_manifest.manifest.jobs import Job, encode_job
from s3_manifest.reconcile import lease
from s3_manifest.storage.s3 import S3Store
from s3_manifest_cli.client.access.http_api import HttpApi
from s3_manifest_cli.training_data import TrainingDataAPI
from s3_manifest_cli.training_data.direct import S3Service
from s3_manifest_cli.training_data.http import HttpService

Handle = Callable[..., list[str]]


def forget_settings() -> None:
    """Clears the caches that a new process starts without."""
    for cached in (
        settings.settings,
        runtime.stores,
        runtime.collections,
        runtime._events,
        runtime._sqs,
        runtime._subscriptions,
    ):
        cached.cache_clear()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """The functions' session, shared by a module: starting one with moto takes as long as a short test."""
    with mock_aws():
        session = botocore_session()
        boto3.setup_default_session(botocore_session=session)
        yield session


@pytest.fixture
def account(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """A new account, and the environment that the template gives to the functions in it."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("moto.s3.responses.ActionResult", listed)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    BackendDict.reset()
    with Account().used_by(session) as account:
        for name, value in {
            "BUCKET": BUCKET,
            "COLLECTIONS": "style=styles/{style_id}/,actor=system_actors/training_data/{actor_id}/",
            "MANIFEST_ROOT": "_manifests/",
            "URL_SUFFIX": "amazonaws.com",
            "S3_MANIFEST_ENDPOINT_URL": "",
            "STACK_NAME": "images",
            "CHANGE_QUEUE_URL": account.queue_url,
            "SWEEP_QUEUE_URL": account.sweep_queue_url,
            "EVENT_BUS": "",
            "HISTORY_DAYS": "30",
            "MD5_MAX_BYTES": "104857600",
        }.items():
            monkeypatch.setenv(name, value)
        forget_settings()
        account.subscribe("2020-01-01T00:00:00.000Z")
        yield account
    forget_settings()


@pytest.fixture
def two_buckets(account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account of a deployment whose actors are in a bucket of their own, below the same prefix as the styles."""
    account.make_bucket(ASSETS)
    account.subscribe("2020-01-01T00:00:00.000Z", bucket=ASSETS)
    monkeypatch.setenv("COLLECTIONS", f"style=library/{{style_id}}/,actor=s3://{ASSETS}/library/{{actor_id}}/")
    forget_settings()
    return account


@pytest.fixture
def new_process(account: Account) -> Callable[[], None]:
    """Makes the next invocation a cold start."""
    return forget_settings


@pytest.fixture
def reconcile(account: Account) -> Handle:
    """Sends a batch of messages, by id, to the reconcile function; returns the ids of the failed ones."""

    def reconcile(messages: Mapping[str, Any], context: Context | None = None, receives: int = 1) -> list[str]:
        return failed_ids(reconcile_handler.handler(sqs_event(messages, receives), context or Context()))

    return reconcile


@pytest.fixture
def sweep(account: Account) -> Handle:
    """Sends jobs, by id, as queue messages to the sweep function; returns the ids of the failed ones."""

    def sweep(jobs: Mapping[str, Job | str], context: Context | None = None, receives: int = 1) -> list[str]:
        bodies = {id_: job if isinstance(job, str) else encode_job(job) for id_, job in jobs.items()}
        context = context or Context(300.0, function_name="sweep")
        return failed_ids(sweep_handler.handler(sqs_event(bodies, receives), context))

    return sweep


@pytest.fixture
def pass_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Advances the clock of the queues."""
    clock, passed = moto.sqs.models.unix_time_millis, 0.0

    def pass_seconds(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        now = passed
        monkeypatch.setattr(moto.sqs.models, "unix_time_millis", lambda: clock() + now * 1000)

    return pass_seconds


@pytest.fixture
def sweep_on(account: Account, sweep: Handle, pass_seconds: Callable[[float], None]) -> Callable[..., list[str]]:
    """Runs the sweep function on the sweep queue until it is empty; returns the bodies of the messages."""

    def sweep_on(context: Callable[[], Context] | None = None) -> list[str]:
        swept = []
        while bodies := account.queued():
            for body in bodies:
                assert sweep({"m": body}, context and context()) == []
                swept.append(body)
                assert len(swept) < 200, "it has no end"
            pass_seconds(61)
        return swept

    return sweep_on


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so small that a few files need pages."""
    for name, bound in {"MAX_INLINE": 8, "MAX_PAGE": 6, "MIN_PAGE": 2}.items():
        monkeypatch.setattr(layout, name, bound)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No commit yields to another writer, although the collection was written a moment ago."""
    monkeypatch.setattr(lease, "_BUSY", timedelta(0))


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries do not wait."""
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.fixture
def get(account: Account) -> Callable[..., Reply]:
    """Sends a request to the query function: ``get(path, headers, name=value…)``."""

    def get(path: str, /, headers: Mapping[str, str] | None = None, method: str = "GET", **query: object) -> Reply:
        event = http_request(path, {name: str(value) for name, value in query.items()}, headers, method)
        return Reply(query_handler.handler(event, Context(function_name="query")))

    return get


@pytest.fixture
def post(account: Account) -> Callable[..., Reply]:
    """Sends a request to the rescan function: ``post(path, body, headers, name=value…)``, with curl's headers."""
    curl_headers = {"content-type": "application/x-www-form-urlencoded"}

    def post(
        path: str, /, body: str | None = None, headers: Mapping[str, str] = curl_headers, **query: object
    ) -> Reply:
        event = http_request(path, {name: str(value) for name, value in query.items()}, headers, "POST", body)
        return Reply(rescan_handler.handler(event, Context(function_name="rescan")))

    return post


@pytest.fixture
def edit(account: Account) -> Callable[..., Reply]:
    """Sends a request to the edit function: ``edit(method, path, body, headers, context, name=value…)``."""

    def edit(
        method: str,
        path: str,
        /,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        context: Context | None = None,
        **query: object,
    ) -> Reply:
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        event = http_request(path, {name: str(value) for name, value in query.items()}, headers, method, text)
        return Reply(edit_handler.handler(event, context or Context(29.0, function_name="edit")))

    return edit


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """The lines that the functions have logged so far."""
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="utf-8", write_through=True)
    for module in (edit_handler, reconcile_handler, query_handler, rescan_handler, subscription_handler, sweep_handler):
        monkeypatch.setattr(module.logger.registered_handler, "stream", stream)
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.fixture
def metrics(log: object, capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, list[float]]]:
    """Returns the values of each metric that the functions printed since the previous call."""
    return lambda: metrics_in(capsys.readouterr().out)


@pytest.fixture
def metrics_by_bucket(log: object, capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, Any]]:
    """As ``metrics``, for each bucket that the functions printed metrics of; "" has those of the whole stack."""
    return lambda: metrics_by_bucket_in(capsys.readouterr().out)


@pytest.fixture(params=["http", "s3"])
def training_api(request: pytest.FixtureRequest, account: Account, monkeypatch: pytest.MonkeyPatch) -> TrainingDataAPI:
    """The Python API of training data, in front of the functions and directly in S3."""
    if request.param == "s3":
        session = boto3.DEFAULT_SESSION
        reads, writes = s3_client(session=session), s3_client(retries=False, session=session)
        stores = {bucket: S3Store(bucket, reads, writes) for bucket in runtime.collections().buckets}
        return TrainingDataAPI(S3Service(stores, runtime.collections(), runtime.enqueue))

    def send(_pool: object, method: str, url: str, **sent: Any) -> urllib3.BaseHTTPResponse:
        parts, body = urlsplit(url), sent.get("body")
        event = http_request(unquote(parts.path), None, sent["headers"], method, body and body.decode(), parts.query)
        function = query_handler if method == "GET" else edit_handler
        answer = function.handler(event, Context(29.0))
        return urllib3.HTTPResponse(answer["body"].encode(), status=answer["statusCode"], headers=answer["headers"])

    monkeypatch.setattr("urllib3.PoolManager.request", send)
    return TrainingDataAPI(HttpService(HttpApi("https://api.invalid", boto3.Session(), "by hand")))
