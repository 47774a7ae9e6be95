from collections.abc import Iterator

import pytest
from client.transfers import Bucket, Proxy, fresh_bucket

from s3_manifest_cli.client.objects import Objects
from s3_manifest_cli.platform import Platform, running_platform


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    with running_platform() as running:
        yield running


@pytest.fixture
def bucket(platform: Platform) -> Bucket:
    return fresh_bucket(platform)


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    with Proxy(bucket.endpoint) as running:
        yield running


@pytest.fixture
def objects(bucket: Bucket, proxy: Proxy) -> Iterator[Objects]:
    """What is tested, with the proxy between it and S3."""
    with bucket.objects(proxy.endpoint) as made:
        yield made
