"""One local stack with two buckets for all tests of this folder; each test has its own collection."""

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import s3_manifest_cli.local_stack.stack
from s3_manifest_cli.local_stack.platform import running_platform
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET, Stack, deploy_two_buckets

_NUMBERS = count(1)
_POLL_SECONDS = 2
_PARAMETERS = {
    "AnnounceChanges": "true",
    "CreateDashboard": "true",
}
_FUNCTION_ZIP = s3_manifest_cli.local_stack.stack.function_zip


@pytest.fixture(scope="session", autouse=True)
def short_recheck() -> Iterator[None]:
    """Changes the deployed sweep function: it waits two seconds instead of a minute before it compares again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_manifest_cli.local_stack.stack, "function_zip", _with_short_recheck)
        yield


def _with_short_recheck(code: Path) -> bytes:
    """Returns the function's zip; that of the sweep function has the shorter wait."""
    original = _FUNCTION_ZIP(code)
    if code.name != "sweep":
        return original
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "sweep_handler.py":
                content += b"\nimport s3_manifest.sweep.sweep\n"
                content += b"s3_manifest.sweep.sweep.RECHECK_SECONDS = %d\n" % _POLL_SECONDS
            target.writestr(name, content)
    return changed.getvalue()


@pytest.fixture(scope="session")
def stack(short_recheck: None) -> Iterator[Stack]:
    with running_platform() as platform:
        yield deploy_two_buckets(platform, _PARAMETERS)


@pytest.fixture(scope="session")
def s3(stack: Stack) -> Any:
    return stack.platform.client("s3")


@pytest.fixture
def style() -> str:
    """Returns the id of a style that no other test uses."""
    return f"style {next(_NUMBERS)}"


@pytest.fixture
def manifest_when(stack: Stack) -> Callable[..., dict[str, Any]]:
    """Requests a style's manifest until the condition holds."""

    def ask(style_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        answer = _eventually(
            lambda: stack.get("/api/s3/manifest", {"styleId": style_id}),
            lambda answer: answer.status == 200 and condition(answer.body),
        )
        return answer.body

    return ask


@pytest.fixture
def silenced(stack: Stack, s3: Any, messages_in: Callable[..., int]) -> AbstractContextManager[None]:
    """Turns the notifications of both buckets off while the block runs.

    First the changes and sweeps that are on the way arrive: a sweep of everything would see what the block changes.
    """
    buckets = (stack.bucket, ACTOR_BUCKET)
    configurations = {bucket: s3.get_bucket_notification_configuration(Bucket=bucket) for bucket in buckets}
    for configuration in configurations.values():
        del configuration["ResponseMetadata"]

    @contextmanager
    def silence() -> Iterator[None]:
        _eventually(lambda: messages_in("ChangeQueueUrl", "SweepQueueUrl"), lambda count: count == 0)
        for bucket in buckets:
            s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
        try:
            yield
        finally:
            for bucket, configuration in configurations.items():
                s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)

    return silence()


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Repeats a call until the condition holds; returns the result. Fails after half a minute."""
    return _eventually


def _eventually(ask: Callable[[], Any], holds: Callable[[Any], bool], seconds: float = 30) -> Any:
    give_up = time.monotonic() + seconds
    while not holds(answer := ask()):
        assert time.monotonic() < give_up, f"the condition does not hold after {seconds} s: {answer}"
        time.sleep(0.05)
    return answer


@pytest.fixture
def messages_in(stack: Stack) -> Callable[..., int]:
    """Counts the messages in queues, by the names of their outputs; delayed and in flight ones included."""
    sqs = stack.platform.client("sqs")

    def count(queue: str) -> int:
        answer = sqs.get_queue_attributes(QueueUrl=stack.outputs[queue], AttributeNames=["All"])
        attributes = answer["Attributes"].items()
        return sum(int(value) for name, value in attributes if name.startswith("ApproximateNumberOfMessages"))

    return lambda *queues: sum(map(count, queues))


@pytest.fixture
def finished_sweeps(messages_in: Callable[..., int]) -> None:
    """Waits for the sweeps that earlier tests requested: their messages are not those that a test expects."""
    _eventually(lambda: messages_in("SweepQueueUrl"), lambda count: count == 0)
