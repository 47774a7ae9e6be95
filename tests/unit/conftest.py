from typing import Any

import pytest
from unit.values import SMALL_PAGES

from s3_manifest import layout


@pytest.fixture
def small_pages(monkeypatch: Any) -> None:
    """Bounds by which a few files are many."""
    for name, bound in SMALL_PAGES.items():
        monkeypatch.setattr(layout, name, bound)
