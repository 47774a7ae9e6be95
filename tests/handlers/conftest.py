"""The functions as Lambda runs them: their environment, their account, their log."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from moto import mock_aws

import query_handler
import reconcile_handler
import rescan_handler
import subscription_handler
from handlers.account import Account
from handlers.lambda_answers import Reply, failed_ids
from handlers.lambda_events import BUCKET, REGION, Context, http_request, sqs_event
from s3_manifest import runtime, settings

Reconcile = Callable[..., list[str]]


def forget_settings() -> None:
    """What a new process would not know."""
    for known in (settings.settings, runtime.store, runtime.collections, runtime._events, runtime._sqs):
        known.cache_clear()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The account, and the environment that the template gives to the functions in it."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        monkeypatch.setenv("AWS_REGION", REGION)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        account = Account()
        for name, value in {
            "BUCKET": BUCKET,
            "COLLECTIONS": "style=styles/{style_id}/,actor=system_actors/training_data/{actor_id}/",
            "MANIFEST_ROOT": "_manifests/",
            "URL_SUFFIX": "amazonaws.com",
            "S3_MANIFEST_ENDPOINT_URL": "",
            "CHANGE_QUEUE_URL": account.queue_url,
            "SWEEP_QUEUE_URL": account.sweep_queue_url,
            "MD5_MAX_BYTES": "104857600",
        }.items():
            monkeypatch.setenv(name, value)
        forget_settings()
        yield account
    forget_settings()


@pytest.fixture
def new_process(account: Account) -> Callable[[], None]:
    """Lets the next invocation be a cold one."""
    return forget_settings


@pytest.fixture
def reconcile(account: Account) -> Reconcile:
    """Hands a batch of messages, by id, to the reconcile function; the ids it reports as failed."""

    def reconcile(messages: Mapping[str, Any], context: Context | None = None) -> list[str]:
        return failed_ids(reconcile_handler.handler(sqs_event(messages), context or Context()))

    return reconcile


@pytest.fixture
def get(account: Account) -> Callable[..., Reply]:
    """Asks the query function; ``get(path, headers, name=value…)``."""

    def get(path: str, /, headers: Mapping[str, str] | None = None, method: str = "GET", **query: object) -> Reply:
        event = http_request(path, {name: str(value) for name, value in query.items()}, headers, method)
        return Reply(query_handler.handler(event, Context(function_name="query")))

    return get


@pytest.fixture
def post(account: Account) -> Callable[..., Reply]:
    """Asks the rescan function; ``post(path, body, headers, name=value…)``. The headers are curl's, told nothing."""
    told_nothing = {"content-type": "application/x-www-form-urlencoded"}

    def post(
        path: str, /, body: str | None = None, headers: Mapping[str, str] = told_nothing, **query: object
    ) -> Reply:
        event = http_request(path, {name: str(value) for name, value in query.items()}, headers, "POST", body)
        return Reply(rescan_handler.handler(event, Context(function_name="rescan")))

    return post


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """The lines that the functions have logged so far."""
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="utf-8", write_through=True)
    for module in (reconcile_handler, query_handler, rescan_handler, subscription_handler):
        monkeypatch.setattr(module.logger.registered_handler, "stream", stream)
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]
