from datetime import timedelta
from typing import Any

import pytest
from unit.values import SMALL_PAGES

from s3_manifest.manifest import layout
from s3_manifest.reconcile import lease


@pytest.fixture
def small_pages(monkeypatch: Any) -> None:
    """Lowers the bounds of pages, so that a few files suffice for a paged manifest."""
    for name, bound in SMALL_PAGES.items():
        monkeypatch.setattr(layout, name, bound)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: Any) -> None:
    """No collection counts as busy, although the clock of a test stands still."""
    monkeypatch.setattr(lease, "_BUSY", timedelta(0))


@pytest.fixture
def busy(quiet: None, monkeypatch: Any) -> None:
    """A head that was just written counts as busy, as in production."""
    monkeypatch.setattr(lease, "_BUSY", timedelta(seconds=0.5))
