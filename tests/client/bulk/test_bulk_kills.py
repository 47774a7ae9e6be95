"""A pull of many collections that is killed, and completed by the same command."""

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from client.bulk.conftest import Several
from client.processes import start
from client.sides import content_of

from s3_manifest.manifest.filenames import WORKING_FOLDER

pytestmark = pytest.mark.slow

ACTORS, IMAGES = 289, 6
HALF = ACTORS * IMAGES // 2
_SECONDS = 120


@pytest.fixture
def filenames(several: Several) -> dict[str, list[str]]:
    """The images of each actor, by the actor's id; no two images have the same bytes."""
    ids = [f"{number:04}_european_20_female" for number in range(1, ACTORS + 1)]
    made = {actor: [f"{actor[:4]}_{image}.png" for image in range(IMAGES)] for actor in ids}
    bucket = several.sides.bucket
    with ThreadPoolExecutor(8) as pool:
        for actor, names in made.items():
            collection = several.sides.collections.lookup("actor", actor)
            assert collection
            for name in names:
                pool.submit(bucket.put, collection.prefix + name, content_of(name))
    for actor, names in made.items():
        several.commit(f"actor/{actor}", *names)
    return made


class HalfServed:
    """Lets the proxy answer half of the GETs of images; the others wait until ``release``."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self._released = threading.Event()
        self._lock, self._served = threading.Lock(), 0

    def before(self, request) -> None:
        if request.method == "GET" and request.key.endswith(".png"):
            with self._lock:
                is_late = self._served == HALF
                self._served += not is_late
            if is_late:
                self.is_reached.set()
                self._released.wait(_SECONDS)

    def release(self) -> None:
        self._released.set()


def test_a_pull_of_289_actors_that_is_killed_halfway_is_completed_by_the_same_command(several, filenames, tmp_path):
    data, half = tmp_path / "data", HalfServed()
    sides = several.sides
    threads = frozenset(threading.enumerate())
    expected = {f"{actor}/{name}": content_of(name) for actor, names in filenames.items() for name in names}
    command = ("pull", "actor/*", data / "{id}", "--json")

    sides.proxy.before = half.before
    killed = _started(sides, *command)
    try:
        assert half.is_reached.wait(_SECONDS)
        _wait_for(lambda: len(_files(data)) == HALF)
    finally:
        killed.kill()
        half.release()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    present = _files(data)
    assert len(present) == HALF
    assert present.items() <= expected.items()

    _wait_until_disconnected(threads)
    sides.proxy.seen.clear()
    lines = _finished(_started(sides, *command))
    assert lines[-1]["total"] == {
        "collections": ACTORS,
        "failed": 0,
        "counts": lines[-1]["total"]["counts"] | {"downloaded": len(expected) - HALF},
    }
    requested = [request.key.rpartition("/")[2] for request in sides.proxy.of("GET", ".png")]
    assert sorted(requested) == sorted(path.rpartition("/")[2] for path in expected.keys() - present.keys())
    assert _files(data) == expected
    assert not list(data.rglob(WORKING_FOLDER))

    sides.proxy.seen.clear()
    lines = _finished(_started(sides, "status", data / "{id}", "actor/*", "--json"))
    assert [line["totals"] for line in lines[:-1] if line["totals"]["synced"] != IMAGES] == []
    assert (len(lines), lines[-1]["total"]["counts"]["synced"]) == (ACTORS + 1, len(expected))
    assert [request.method for request in sides.proxy.seen] == ["GET"]  # one listing


def _started(sides, *arguments):
    return start({"HOME": str(sides.cache)} | sides.environment, *arguments)


def _finished(process):
    """The JSON lines of a command that succeeds without a warning."""
    stdout, stderr = process.communicate(timeout=_SECONDS * 2)
    assert (process.returncode, stderr) == (0, "")
    return list(map(json.loads, stdout.splitlines()))


def _files(data: Path) -> dict[str, bytes]:
    """The whole images below the folder, each by its actor and name."""
    paths = [path for path in data.glob("*/*") if path.is_file()]
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in paths}


def _wait_for(condition) -> None:
    give_up = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def _wait_until_disconnected(earlier: frozenset[threading.Thread]) -> None:
    """Waits for the proxy's threads, which may still read what the killed process sent.

    ``earlier`` ones serve clients of other tests, which may keep their connections.
    """
    for thread in threading.enumerate():
        if thread not in earlier and "process_request_thread" in thread.name:
            thread.join(_SECONDS)
            assert not thread.is_alive()
