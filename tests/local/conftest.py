"""One local stack for all tests of this folder: seconds to bring up, and each test has a collection of its own."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from s3_manifest_cli.platform import running_platform
from s3_manifest_cli.stack import Stack, deploy

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with running_platform() as platform:
        yield deploy(platform, "s3-manifest", {"BucketName": "storyboard-user-files", "BatchingWindowSeconds": "1"})


@pytest.fixture(scope="session")
def s3(stack: Stack) -> Any:
    return stack.platform.client("s3")


@pytest.fixture
def style() -> str:
    """The id of a style that no other test touches."""
    return f"style {next(_NUMBERS)}"


@pytest.fixture
def manifest_when(stack: Stack) -> Callable[..., dict[str, Any]]:
    """Asks over HTTP for a style's manifest until it says what it should."""

    def ask(style_id: str, says: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        answer = _eventually(
            lambda: stack.get("/api/s3/manifest", {"styleId": style_id}),
            lambda answer: answer.status == 200 and says(answer.body),
        )
        return answer.body

    return ask


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Asks until the answer holds; what it then was. Fails after half a minute."""
    return _eventually


def _eventually(ask: Callable[[], Any], holds: Callable[[Any], bool], seconds: float = 30) -> Any:
    give_up = time.monotonic() + seconds
    while not holds(answer := ask()):
        assert time.monotonic() < give_up, f"not so after {seconds} s: {answer}"
        time.sleep(0.05)
    return answer
