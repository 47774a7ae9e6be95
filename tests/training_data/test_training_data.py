"""The Python API over HTTP: its requests and waits, without a server."""

from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from unit.values import ACTOR, EVENING, NOON, file_observation, head_of

from s3_manifest.query.training import actor_manifest
from s3_manifest.sweep.sweep import RECHECK_SECONDS
from s3_manifest_cli.training_data import EditResult, NotFound, get_training_data_api

URL = "https://api.invalid"


@pytest.fixture
def requests(monkeypatch):
    """Collects the sent requests; ``requests.answer`` returns the response to a method and a URL."""

    class Requests(list):
        answer = None

    requests = Requests()

    def request(_pool, method, url, *, headers, **_):
        requests.append((method, url, headers))
        status, body = requests.answer(method, url)
        return urllib3.HTTPResponse(body.encode(), status=status)

    monkeypatch.setattr("urllib3.PoolManager.request", request)
    return requests


CREDENTIAL = "by hand"


def test_requests_with_a_token_send_it_and_are_not_signed(requests):
    requests.answer = lambda *_: (404, '{"detail": "there is no actor"}')
    with pytest.raises(NotFound, match="there is no actor"):
        get_training_data_api(f"{URL}/", token=CREDENTIAL).get_training_data(42)
    assert requests == [("GET", f"{URL}/api/training-data/42?wait=20", {"Authorization": f"Bearer {CREDENTIAL}"})]


def test_a_rescan_is_requested_once_and_waited_for_even_if_it_finds_a_difference(requests, monkeypatch):
    monkeypatch.setattr("s3_manifest_cli.training_data.http._PAUSE_SECONDS", 0.0)
    waited = 0.0
    head = head_of(file_observation("a.jpg"), collection=ACTOR).model_copy(update={"last_verified_at": EVENING})
    manifest = actor_manifest(ACTOR, head, head.files).model_dump_json()

    def answer(_method, url):
        nonlocal waited
        waited += float(parse_qs(urlsplit(url).query)["wait"][0])
        under_way = f'{{"status": "rescanning", "manifest": "/x", "requested_at": "{NOON}"}}'
        return (200, manifest) if waited > RECHECK_SECONDS + 10 else (202, under_way)

    requests.answer = answer
    assert get_training_data_api(URL, token=CREDENTIAL).rescan_s3(42)["last_verified_at"] == EVENING
    assert ["force_rescan=true" in url for _, url, _ in requests] == [True, *[False] * (len(requests) - 1)]


def test_a_deployment_with_a_shorter_wait_is_polled_until_the_timeout(requests, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("s3_manifest_cli.training_data.http.time.monotonic", lambda: now[0])
    monkeypatch.setattr("s3_manifest_cli.training_data.http.time.sleep", lambda s: now.__setitem__(0, now[0] + s))

    def answer(_method, _url):
        now[0] += 2  # the longest wait of this deployment
        return 200, "{}"

    requests.answer = answer
    api = get_training_data_api(URL, token=CREDENTIAL)
    done = EditResult(actor_name="42", revision=None, reflects="x")
    assert api.wait_for(42, done, wait=30) is False
    assert now[0] == pytest.approx(30, abs=3)
    assert len(requests) == 11
