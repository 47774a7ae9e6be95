"""The Python API's own part, before any request reaches a deployment."""

import pytest
import urllib3

from s3_manifest_cli.training_data import NotFound, get_training_data_api


def test_with_a_token_requests_carry_it_and_are_not_signed(monkeypatch):
    sent = []

    def request(_pool, method, url, *, headers, **_):
        sent.append((method, url, headers))
        return urllib3.HTTPResponse(b'{"detail": "there is no actor"}', status=404)

    monkeypatch.setattr("urllib3.PoolManager.request", request)
    api = get_training_data_api("https://api.invalid/", token="secret")
    with pytest.raises(NotFound, match="there is no actor"):
        api.get_training_data(42)
    assert sent == [("GET", "https://api.invalid/api/training-data/42?wait=20", {"Authorization": "Bearer secret"})]
