import itertools
from collections.abc import Iterator

import pytest
from contract.answers import AnsweringServer
from contract.buckets import NAME, Bucket, in_memory, in_moto, in_s3

from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY, Platform, running_platform

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents requests to AWS, whatever credentials the machine has."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    with running_platform() as running:
        yield running


@pytest.fixture
def ministack_bucket(platform: Platform) -> Bucket:
    return in_s3(f"{NAME}-{next(_numbers)}", platform.endpoint)


@pytest.fixture(params=["moto", "ministack"])
def s3_bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    """A new bucket on each S3 server."""
    if request.param == "moto":
        with in_moto() as bucket:
            yield bucket
    else:
        yield request.getfixturevalue("ministack_bucket")


@pytest.fixture(params=["memory", "moto", "ministack"])
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    """A new bucket in every store."""
    if request.param == "memory":
        yield in_memory()
    elif request.param == "moto":
        with in_moto() as moto_bucket:
            yield moto_bucket
    else:
        yield request.getfixturevalue("ministack_bucket")


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with AnsweringServer() as running:
        yield running
