import pytest
from unit.environments import replace_account


@pytest.fixture(autouse=True)
def _no_account(monkeypatch):
    replace_account(monkeypatch)
