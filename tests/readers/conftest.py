"""The libraries that read exports are large: `make .venv/readers` installs them. Without them the tests are skipped.

Where READERS_REQUIRED is set they run anyway, and fail.
"""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[1] / "requirements-readers.txt"


def missing():
    """The packages of the requirements that are not installed."""
    for line in REQUIREMENTS.read_text().splitlines():
        name, pinned, _ = line.partition("==")
        try:
            if pinned:
                version(name)
        except PackageNotFoundError:
            yield name


def pytest_collect_file():
    if (packages := ", ".join(missing())) and "READERS_REQUIRED" not in os.environ:
        pytest.skip(f"without {packages}: make .venv/readers")
