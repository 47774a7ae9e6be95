"""``python -m benchmarks.toggle``: of edits made at once none is lost, and the manifest says what the sidecar says.

Starts ``s3-manifest local serve``; 32 clients PATCH files of one collection, each its own and some that all
of them have in common: good or bad, prompts, labels, hidden. Meanwhile images arrive by presigned uploads. In
the end the edits that were answered, replayed in the order of their numbers, must come to the sidecar to the
letter, and the manifest must equal what the sidecar and the objects say.
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

# More than a function may take, with what it waits for before: whoever asks again knows that nothing goes on of before.
PATIENCE_SECONDS = 120.0

Said = dict[str, dict[str, Any]]


class Acknowledged(NamedTuple):
    """An edit that was answered with 200: its number, and what it set (null: took out)."""

    edit: int
    said: Said


class Edits(NamedTuple):
    """What the clients were answered, and how often what happened."""

    acknowledged: list[Acknowledged]
    counted: Counter[str]


def own_files(client: int) -> list[str]:
    return [f"client {client:02d} {number}.png" for number in range(2)]


def change(chance: random.Random, client: int, number: int) -> dict[str, Any]:
    """One to three fields, each set to something or taken out."""
    fields: dict[str, list[Any]] = {
        "good": [True, False, None],
        "prompt": [f"client {client}, edit {number}: größe {chance.randrange(10**6)}", None],
        "labels": [[f"label {number}", f"by {client}"], [], None],
        "hidden": [True, False, None],
    }
    return {name: chance.choice(fields[name]) for name in chance.sample(list(fields), chance.randrange(1, 4))}


def patch(stack: Stack, said: Said) -> Answer:
    if len(said) > 1:
        return stack.send("PATCH", PATH, {"files": said}, seconds=PATIENCE_SECONDS)
    ((filename, fields),) = said.items()
    return stack.send("PATCH", f"{PATH}/{quote(filename, safe='')}", fields, seconds=PATIENCE_SECONDS)


def warm_up(stack: Stack, clients: int) -> None:
    """Lets the platform start as many processes as there are clients, which takes their time on a small machine."""
    slowest = PATIENCE_SECONDS
    with ThreadPoolExecutor(clients) as pool:
        while slowest > 5:
            started = time.monotonic()
            for one in [pool.submit(patch, stack, {"nothing.png": {"good": True}}) for _ in range(clients)]:
                assert one.result().status != 200
            slowest = time.monotonic() - started


def toggle(stack: Stack, client: int, edits: int) -> Edits:
    """One client's edits, one after the other; what is answered 503 is asked for again until it is done."""
    chance, found = random.Random(client), Edits([], Counter())
    for number in range(edits):
        files = chance.sample([*own_files(client), *COMMON], chance.choice([1, 1, 1, 2, 4]))
        said = {filename: change(chance, client, number) for filename in files}
        while True:
            answer = patch(stack, said)
            if answer.status == 200:
                break
            # 503: busy. The others are the HTTP API's own, where the function's time ran out.
            assert answer.status in {429, 502, 503, 504}, answer
            found.counted[f"answers of {answer.status}"] += 1
            time.sleep(chance.random())
        found.counted["edits"] += 1
        found.counted["attempts"] += answer.body["attempts"]
        found.counted["unchanged"] += answer.body["attempts"] == 0
        found.acknowledged.append(Acknowledged(decode_cursor(answer.body["reflects"], ChangeToken).edit or 0, said))
    return found


def upload(stack: Stack, filenames: Iterable[str], **more: object) -> dict[str, str]:
    """Uploads images by presigned URLs, each with a prompt; the prompts by filename."""
    bodies = {filename: f"pixels of {filename}".encode() for filename in filenames}
    prompts = {filename: f"as uploaded: {filename} ü" for filename in bodies}
    images = [
        {"filename": name, "size": len(body), "md5": hashlib.md5(body).hexdigest(), "prompt": prompts[name]}
        for name, body in bodies.items()
    ]
    answer = stack.send("POST", f"/api/styles/{STYLE}/uploads", {"images": images, **more})
    assert answer.status == 200, answer
    for one in answer.body["uploads"]:
        status = http_put(one["url"], bodies[one["filename"]], one["headers"])
        assert status == 200, (status, one)
    return prompts


def arrive(stack: Stack, toggled: threading.Event, most: int) -> dict[str, str]:
    """Images that arrive while others are toggled."""
    prompts: dict[str, str] = {}
    while not toggled.is_set() and len(prompts) < most:
        names = [f"arrived {len(prompts) + number:05d}.png" for number in range(10)]
        prompts |= upload(stack, names, generation={"generation_id": 7, "metadata": {"model": "sdxl"}})
        time.sleep(0.2)
    return prompts


def replayed(acknowledged: Iterable[Acknowledged]) -> Said:
    """What a sidecar says after these edits, one after the other by number, and no other."""
    found: Said = {}
    for _, said in sorted(acknowledged, key=lambda one: one.edit):
        for filename, fields in said.items():
            after = {name: value for name, value in {**found.get(filename, {}), **fields}.items() if value is not None}
            found[filename] = after
            if not after:
                del found[filename]
    return found


def expected(sidecar: Said, prompts: Mapping[str, str]) -> Said:
    """What the manifest has to say of the files it shows: the sidecar's words over the objects'."""
    told: Said = {name: {"good": True, "labels": [], "prompt": prompt} for name, prompt in prompts.items()}
    for filename, fields in sidecar.items():
        told[filename] |= fields
    return {
        name: {field: said[field] for field in ("good", "labels", "prompt")}
        for name, said in told.items()
        if not said.get("hidden")
    }


def in_manifest(stack: Stack) -> Said:
    """The same from the HTTP API, page by page."""
    found: Said = {}
    query: dict[str, str | int] = {"limit": 1000}
    while True:
        answer = stack.get(f"/api/manifests/style/{STYLE}", query)
        assert answer.status == 200, answer
        for file in answer.body["files"]:
            found[file["filename"]] = {field: file[field] for field in ("good", "labels", "prompt")}
        if not answer.body["cursor"]:
            return found
        query["cursor"] = answer.body["cursor"]


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    names = sorted(one.keys() | other.keys())
    return [f"{name}: {one.get(name)} / {other.get(name)}" for name in names if one.get(name) != other.get(name)]


def run(stack: Stack, clients: int, edits: int, images: int) -> bool:
    """Whether nothing was lost and all agree; prints what was done."""
    prompts = upload(stack, [*COMMON, *(name for client in range(clients) for name in own_files(client))])
    warm_up(stack, clients)
    toggled, started = threading.Event(), time.monotonic()
    with ThreadPoolExecutor(clients + 1) as pool:
        arriving = pool.submit(arrive, stack, toggled, images)
        toggling = [pool.submit(toggle, stack, client, edits) for client in range(clients)]
        try:
            done = [one.result() for one in toggling]
        finally:
            toggled.set()
        seconds = time.monotonic() - started
        arrived = arriving.result()
    waited = wait_until_idle(stack)
    acknowledged = [one for edits_of_one in done for one in edits_of_one.acknowledged]
    counted = sum((one.counted for one in done), Counter[str]())
    s3 = stack.platform.client("s3")
    sidecar: Said = json.loads(s3.get_object(Bucket=stack.bucket, Key=f"{PREFIX}prompt_metadata.json")["Body"].read())
    lost = differences(replayed(acknowledged), sidecar)
    wrong = differences(expected(sidecar, prompts | arrived), in_manifest(stack))
    conflicts = counted["attempts"] - counted["edits"] + counted["unchanged"]
    print(f"{clients} clients made {counted['edits']} edits in {seconds:.0f} s, while {len(arrived)} images arrived:")
    print(f"{counted['attempts']} writes tried, {conflicts} lost to another and tried again,")
    refused = ", ".join(f"{count} {what}" for what, count in sorted(counted.items()) if what.startswith("answers"))
    print(f"{counted['unchanged']} edits that changed nothing; {refused or 'no request had to be repeated'}")
    print(f"the queue was empty {waited:.0f} s after the last")
    print(f"the sidecar speaks of {len(sidecar)} files, the manifest of {len(in_manifest(stack))}")
    for title, found in {"LOST": lost, "IN THE SIDECAR / IN THE MANIFEST": wrong}.items():
        for difference in found[:10]:
            print(f"{title}: {difference}")
    print("no edit was lost" if not lost else f"{len(lost)} FILES LOST EDITS")
    print("the manifest says what the sidecar says" if not wrong else f"THE MANIFEST DIFFERS IN {len(wrong)} FILES")
    return not lost and not wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.toggle")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--edits", type=int, default=25, help="of each client")
    parser.add_argument("--images", type=int, default=1000, help="that arrive meanwhile at most")
    parser.add_argument("--port", type=int, default=4572)
    arguments = parser.parse_args()
    with serving(arguments.port) as (stack, _):
        return 0 if run(stack, arguments.clients, arguments.edits, arguments.images) else 1


if __name__ == "__main__":
    sys.exit(main())
