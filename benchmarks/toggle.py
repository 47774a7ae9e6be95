"""``python -m benchmarks.toggle``: no concurrent edit is lost, and the manifest agrees with the sidecar.

Starts ``s3-manifest local serve``; 32 clients PATCH files of one collection, their own and shared ones: good or bad,
prompts, labels, hidden. Meanwhile images arrive by presigned uploads. In the end the acknowledged edits, replayed in
the order of their numbers, must equal the sidecar exactly, and the manifest must equal sidecar and objects.
"""

import argparse
import hashlib
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote

from benchmarks.soak import serving, wait_until_idle
from s3_manifest.query.change_token import ChangeToken
from s3_manifest.query.cursors import decode_cursor
from s3_manifest_cli.local_stack.stack import Answer, Stack, http_put

STYLE = "16"
PREFIX = f"styles/{STYLE}/"
PATH = f"/api/styles/{STYLE}/images"
COMMON = ("common 1.png", "common 2.png", "deep/common.png")

# Longer than a function may run, including its waits: at a repeat, nothing of the previous request still runs.
TIMEOUT_SECONDS = 120.0

FieldsByName = dict[str, dict[str, Any]]


class Acknowledged(NamedTuple):
    """An edit that was answered with 200: its number, and the fields that it set (null: removed)."""

    edit: int
    files: FieldsByName


class Edits(NamedTuple):
    """The acknowledged edits of the clients, and counts of events."""

    acknowledged: list[Acknowledged]
    counted: Counter[str]


def own_files(client: int) -> list[str]:
    return [f"client {client:02d} {number}.png" for number in range(2)]


def change(chance: random.Random, client: int, number: int) -> dict[str, Any]:
    """One to three fields, each set or removed."""
    fields: dict[str, list[Any]] = {
        "good": [True, False, None],
        "prompt": [f"client {client}, edit {number}: größe {chance.randrange(10**6)}", None],
        "labels": [[f"label {number}", f"by {client}"], [], None],
        "hidden": [True, False, None],
    }
    return {name: chance.choice(fields[name]) for name in chance.sample(list(fields), chance.randrange(1, 4))}


def patch(stack: Stack, files: FieldsByName) -> Answer:
    if len(files) > 1:
        return stack.send("PATCH", PATH, {"files": files}, seconds=TIMEOUT_SECONDS)
    ((filename, fields),) = files.items()
    return stack.send("PATCH", f"{PATH}/{quote(filename, safe='')}", fields, seconds=TIMEOUT_SECONDS)


def warm_up(stack: Stack, clients: int) -> None:
    """Lets the platform start a process for each client, which takes a while on a small machine."""
    slowest = TIMEOUT_SECONDS
    with ThreadPoolExecutor(clients) as pool:
        while slowest > 5:
            started = time.monotonic()
            for future in [pool.submit(patch, stack, {"nothing.png": {"good": True}}) for _ in range(clients)]:
                assert future.result().status != 200
            slowest = time.monotonic() - started


def toggle(stack: Stack, client: int, edits: int) -> Edits:
    """The edits of one client, one after the other; each is repeated until it is acknowledged."""
    chance, result = random.Random(client), Edits([], Counter())
    for number in range(edits):
        filenames = chance.sample([*own_files(client), *COMMON], chance.choice([1, 1, 1, 2, 4]))
        files = {filename: change(chance, client, number) for filename in filenames}
        while True:
            answer = patch(stack, files)
            if answer.status == 200:
                break
            # 503: busy. The HTTP API sends the others, when the function timed out.
            assert answer.status in {429, 502, 503, 504}, answer
            result.counted[f"answers of {answer.status}"] += 1
            time.sleep(chance.random())
        result.counted["edits"] += 1
        result.counted["attempts"] += answer.body["attempts"]
        result.counted["unchanged"] += answer.body["attempts"] == 0
        edit = decode_cursor(answer.body["reflects"], ChangeToken).edit_number or 0
        result.acknowledged.append(Acknowledged(edit, files))
    return result


def upload(stack: Stack, filenames: Iterable[str], **more: object) -> dict[str, str]:
    """Uploads images with prompts by presigned URLs; the prompts by filename."""
    bodies = {filename: f"pixels of {filename}".encode() for filename in filenames}
    prompts = {filename: f"as uploaded: {filename} ü" for filename in bodies}
    images = [
        {"filename": name, "size": len(body), "md5": hashlib.md5(body).hexdigest(), "prompt": prompts[name]}
        for name, body in bodies.items()
    ]
    answer = stack.send("POST", f"/api/styles/{STYLE}/uploads", {"images": images, **more})
    assert answer.status == 200, answer
    for planned in answer.body["uploads"]:
        status = http_put(planned["url"], bodies[planned["filename"]], planned["headers"])
        assert status == 200, (status, planned)
    return prompts


def arrive(stack: Stack, toggled: threading.Event, limit: int) -> dict[str, str]:
    """Uploads images while others are edited."""
    prompts: dict[str, str] = {}
    while not toggled.is_set() and len(prompts) < limit:
        names = [f"arrived {len(prompts) + number:05d}.png" for number in range(10)]
        prompts |= upload(stack, names, generation={"generation_id": 7, "metadata": {"model": "sdxl"}})
        time.sleep(0.2)
    return prompts


def replayed(acknowledged: Iterable[Acknowledged]) -> FieldsByName:
    """The sidecar after exactly these edits, in the order of their numbers."""
    sidecar: FieldsByName = {}
    for _, files in sorted(acknowledged, key=lambda edit: edit.edit):
        for filename, fields in files.items():
            merged = {**sidecar.get(filename, {}), **fields}
            sidecar[filename] = {name: value for name, value in merged.items() if value is not None}
            if not sidecar[filename]:
                del sidecar[filename]
    return sidecar


def expected(sidecar: FieldsByName, prompts: Mapping[str, str]) -> FieldsByName:
    """The expected files of the manifest: the sidecar's fields override the objects'."""
    files: FieldsByName = {name: {"good": True, "labels": [], "prompt": prompt} for name, prompt in prompts.items()}
    for filename, fields in sidecar.items():
        files[filename] |= fields
    return {
        name: {field: fields[field] for field in ("good", "labels", "prompt")}
        for name, fields in files.items()
        if not fields.get("hidden")
    }


def in_manifest(stack: Stack) -> FieldsByName:
    """The same from the HTTP API, page by page."""
    files: FieldsByName = {}
    query: dict[str, str | int] = {"limit": 1000}
    while True:
        answer = stack.get(f"/api/manifests/style/{STYLE}", query)
        assert answer.status == 200, answer
        for file in answer.body["files"]:
            files[file["filename"]] = {field: file[field] for field in ("good", "labels", "prompt")}
        if not answer.body["cursor"]:
            return files
        query["cursor"] = answer.body["cursor"]


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    names = sorted(first.keys() | second.keys())
    return [f"{name}: {first.get(name)} / {second.get(name)}" for name in names if first.get(name) != second.get(name)]


def run(stack: Stack, clients: int, edits: int, images: int) -> bool:
    """Runs the benchmark and prints its results; whether no edit was lost and everything agrees."""
    prompts = upload(stack, [*COMMON, *(name for client in range(clients) for name in own_files(client))])
    warm_up(stack, clients)
    toggled, started = threading.Event(), time.monotonic()
    with ThreadPoolExecutor(clients + 1) as pool:
        arriving = pool.submit(arrive, stack, toggled, images)
        toggling = [pool.submit(toggle, stack, client, edits) for client in range(clients)]
        try:
            results = [future.result() for future in toggling]
        finally:
            toggled.set()
        seconds = time.monotonic() - started
        arrived = arriving.result()
    waited = wait_until_idle(stack)
    acknowledged = [edit for result in results for edit in result.acknowledged]
    counted = sum((result.counted for result in results), Counter[str]())
    s3 = stack.platform.client("s3")
    sidecar: FieldsByName = json.loads(
        s3.get_object(Bucket=stack.bucket, Key=f"{PREFIX}prompt_metadata.json")["Body"].read()
    )
    lost = differences(replayed(acknowledged), sidecar)
    wrong = differences(expected(sidecar, prompts | arrived), in_manifest(stack))
    conflicts = counted["attempts"] - counted["edits"] + counted["unchanged"]
    print(f"{clients} clients made {counted['edits']} edits in {seconds:.0f} s, while {len(arrived)} images arrived:")
    print(f"{counted['attempts']} writes attempted, {conflicts} conflicts retried,")
    refused = ", ".join(f"{count} {event}" for event, count in sorted(counted.items()) if event.startswith("answers"))
    print(f"{counted['unchanged']} edits that changed nothing; {refused or 'no request had to be repeated'}")
    print(f"the queue was empty {waited:.0f} s after the last")
    print(f"the sidecar describes {len(sidecar)} files; the manifest lists {len(in_manifest(stack))}")
    for title, defects in {"LOST": lost, "IN THE SIDECAR / IN THE MANIFEST": wrong}.items():
        for difference in defects[:10]:
            print(f"{title}: {difference}")
    print("no edit was lost" if not lost else f"{len(lost)} FILES LOST EDITS")
    print("the manifest agrees with the sidecar" if not wrong else f"THE MANIFEST DIFFERS IN {len(wrong)} FILES")
    return not lost and not wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.toggle")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--edits", type=int, default=25, help="edits of each client")
    parser.add_argument("--images", type=int, default=1000, help="maximum number of images that arrive meanwhile")
    parser.add_argument("--port", type=int, default=4572)
    arguments = parser.parse_args()
    with serving(arguments.port) as (stack, _):
        return 0 if run(stack, arguments.clients, arguments.edits, arguments.images) else 1


if __name__ == "__main__":
    sys.exit(main())
