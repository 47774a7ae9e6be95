"""The Python API over HTTP: its requests and waits, without a server."""

from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from unit.values import ACTOR, EVENING, NOON, file_observation, head_of

from s3_manifest.query.training import actor_manifest
from s3_manifest.sweep.sweep import RECHECK_SECONDS
from s3_manifest_cli.training_data import (
    EditResult,
    Invalid,
    NotFound,
    TrainingDataManifest,
    TrainingDataSync,
    get_training_data_api,
)
from s3_manifest_cli.training_data.http import HttpService

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


def place_of(api):
    """The URL or the bucket of the deployment."""
    service = api._service
    return service.api._url if isinstance(service, HttpService) else service.locate("nobody").s3_bucket


STACK, API, BUCKET = {"S3_MANIFEST_STACK": "team"}, {"S3_MANIFEST_API_URL": URL}, {"S3_MANIFEST_BUCKET": "variable"}


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        (STACK, {}, "bucket of team"),
        (STACK | API | BUCKET, {}, "bucket of team"),
        (API | BUCKET, {}, URL),
        (BUCKET, {}, "variable"),
        (STACK | API | BUCKET, {"bucket": "argument"}, "argument"),
        (API | BUCKET, {"stack": "other"}, "bucket of other"),
        (STACK | BUCKET, {"api_url": "https://argument.invalid"}, "https://argument.invalid"),
        ({}, {"api_url": URL, "bucket": "argument"}, URL),
    ],
)
def test_the_deployment_comes_from_the_arguments_then_from_a_stack_an_api_or_a_bucket(
    monkeypatch, environment, arguments, expected
):
    for name in STACK | API | BUCKET:
        monkeypatch.delenv(name, raising=False)
    credentials = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x")
    for name, value in {**environment, **credentials, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    settings = "s3_manifest_cli.client.manifests.deployment._stack_settings"
    monkeypatch.setattr(settings, lambda _session, stack, _endpoint: {"BucketName": f"bucket of {stack}"})
    for api in (
        get_training_data_api(**arguments),
        *([TrainingDataSync()._api, TrainingDataManifest("1", "b")._api] if not arguments else []),
    ):
        assert place_of(api) == expected


def test_a_positional_argument_is_the_url_of_the_api(monkeypatch):
    monkeypatch.setenv("S3_MANIFEST_STACK", "team")
    assert place_of(get_training_data_api(URL, token=CREDENTIAL)) == URL


def test_an_unknown_option_is_a_type_error():
    options: dict[str, str] = {"bucket": "x", "bukket": "x"}
    with pytest.raises(TypeError, match="bukket"):
        get_training_data_api(**options)


def test_a_generation_is_named_by_its_result_or_id(requests, tmp_path):
    api = get_training_data_api(URL, token=CREDENTIAL)
    manifest, other = TrainingDataManifest("1", api=api), TrainingDataManifest("2", api=api)
    first = manifest.add_generation("flux", generation_id=7)
    manifest.add_generation("flux", generation_id="twice")
    manifest.add_generation("kontext", generation_id="twice")
    for name, generation in {"a.png": first, "b.png": 7, "c.png": None}.items():
        manifest.add_image(tmp_path / name, generation=generation)
    requests.answer = lambda *_: (404, '{"detail": "there is no actor"}')
    staged = {image["filename"]: image["generation_id"] for image in manifest.get_all_images()}
    assert staged == {"a.png": 7, "b.png": 7, "c.png": None}
    for wrong, problem in {"twice": "several staged", 8: "no staged", "7": "no staged"}.items():
        with pytest.raises(Invalid, match=problem):
            manifest.add_image(tmp_path / "d.png", generation=wrong)
    with pytest.raises(Invalid, match="no staged"):
        other.add_image(tmp_path / "a.png", generation=first)
    with pytest.raises(Invalid, match="generation flux: generation_id"):
        manifest.add_generation("flux", generation_id=-1)
