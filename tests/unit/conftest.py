from datetime import timedelta
from typing import Any

import pytest
from unit.values import SMALL_PAGES

from s3_manifest.manifest import layout
from s3_manifest.reconcile import lease


@pytest.fixture
def small_pages(monkeypatch: Any) -> None:
    """Bounds by which a few files are many."""
    for name, bound in SMALL_PAGES.items():
        monkeypatch.setattr(layout, name, bound)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: Any) -> None:
    """Nobody else is at work on a collection, although the clock of a test stands still."""
    monkeypatch.setattr(lease, "_BUSY", timedelta(0))


@pytest.fixture
def busy(quiet: None, monkeypatch: Any) -> None:
    """What was written a moment ago may have several workers."""
    monkeypatch.setattr(lease, "_BUSY", timedelta(seconds=0.5))
