"""Hostile keys and links: nothing outside the folder is written or read, and all other files are copied."""

import json
import os

import pytest
from client.sides import bytes_by_name

from s3_manifest.manifest.encoding import encode_head

GOOD = ("good.png", "deep/good.png")
LONG = "x" * 300
NAMES = {
    "../../x": "leads out of its folder",
    "../dest-evil/x": "leads out of its folder",
    "..": "leads out of its folder",
    "a/../../x": "leads out of its folder",
    "/etc/x": "absolute path",
    "C:\\x": "backslash",
    "..\\x": "backslash",
    "a//b": "empty",
    "./x": "empty or `.`",
    "line\nbreak.png": "control character",
    "\x1b[2J.png": "control character",
    LONG: "more than 255 bytes",
    ".s3-manifest/lock": "working folder",
    ".S3-Manifest/x": "working folder",
    "beside": "a file and a folder of one name",
    "beside/b": "a file and a folder of one name",
}
ODD = {
    "con": "device on Windows",
    "what?.png": "do not allow",
    "dot.": "ends in a dot",
    "A.png": "the same name on this disk",
    "a.png": "the same name on this disk",
    "caf\u00e9.png": "the same name on this disk",
    "cafe\u0301.png": "the same name on this disk",
}


@pytest.fixture(autouse=True)
def _nothing_outside_is_changed(sides):
    yield
    assert sorted(path.name for path in sides.folder.parent.iterdir()) in (
        ["cache", "dest", "dest-evil"],
        ["dest", "dest-evil"],
    )
    assert [(path.name, path.read_bytes()) for path in (sides.folder.parent / "dest-evil").iterdir()] == [
        ("x", b"secret")
    ]


def refused(answer):
    """The reasons by filename, as the JSON document has them."""
    return {file["filename"]: file["error"] for file in json.loads(answer.stdout)["files"] if file["error"]}


def test_unsafe_names_are_each_refused_and_other_files_are_downloaded(sides):
    sides.put(*NAMES, *GOOD)
    answer = sides.pull("--json", exit_code=3)
    assert sides.files == bytes_by_name(*GOOD)
    reasons = refused(answer)
    assert reasons.keys() == NAMES.keys()
    assert [name for name, reason in NAMES.items() if reason not in reasons[name]] == []
    assert not any(character in answer.stderr for character in "\x1b\x07")
    assert len(answer.stderr.splitlines()) == len(NAMES)


def test_a_key_with_nul_is_refused_by_name(sides):
    sides.put(*GOOD)
    # The test server accepts no such key, but anyone with write access can forge a manifest.
    (entry, *_), head = sides.head.files, sides.head
    bad = entry.model_copy(update={"filename": "nul\0.png", "s3_key": sides.key("nul\0.png")})
    totals = {"total_files": 3, "total_size_bytes": head.total_size_bytes + bad.size_bytes}
    files = tuple(sorted((*head.files, bad), key=lambda entry: entry.filename))
    (generation,) = head.generations
    totals |= {"generations": (generation.model_copy(update={"image_count": 3}),)}
    head = head.model_copy(update={"files": files, **totals})
    sides.bucket.put(sides.collection.head_key, encode_head(head))
    answer = sides.pull("--json", exit_code=3)
    assert "control character" in refused(answer)["nul\0.png"]
    assert sides.files == bytes_by_name(*GOOD)


def test_names_that_another_disk_cannot_hold_are_refused_on_request(sides):
    sides.put(*ODD, *GOOD)
    answer = sides.pull("--portable", "--json", exit_code=3)
    assert sides.files == bytes_by_name(*GOOD)
    reasons = refused(answer)
    assert [name for name, reason in ODD.items() if reason not in reasons.get(name, "")] == []
    if os.uname().sysname == "Linux":
        sides.pull()
        assert sides.files == bytes_by_name(*ODD, *GOOD)


def test_links_at_a_files_place_and_in_its_path_are_not_followed(sides):
    evil = sides.folder.parent / "dest-evil"
    sides.put("at.png", "in/x", "under/deep/x", *GOOD)
    (sides.folder / "at.png").symlink_to(evil / "x")
    (sides.folder / "in").symlink_to(evil)
    (sides.folder / "under").mkdir()
    (sides.folder / "under/deep").symlink_to("../../dest-evil")
    answer = sides.pull("--json", exit_code=3)
    reasons = refused(answer)
    assert reasons.keys() == {"at.png", "in/x", "under/deep/x"}
    assert all("link" in reason for reason in reasons.values())
    assert {name: sides.files[name] for name in GOOD} == bytes_by_name(*GOOD)
    # The user's own links are reported, and never deleted.
    assert "symbolic link" in sides.pull("--delete", exit_code=3).stderr
    assert (sides.folder / "at.png").is_symlink()


def test_a_link_created_during_a_pull_is_not_followed(sides):
    sides.put("in/x", *GOOD)

    def plant():
        (sides.folder / "in").symlink_to(sides.folder.parent / "dest-evil")

    with sides.meanwhile("GET", "x", plant):
        answer = sides.pull("--json", exit_code=3)
    assert refused(answer).keys() == {"in/x"}


def test_a_push_reads_nothing_through_a_link(sides):
    sides.write(*GOOD)
    (sides.folder / "linked").symlink_to(sides.folder.parent / "dest-evil")
    (sides.folder / "x.png").symlink_to(sides.folder.parent / "dest-evil/x")
    (sides.folder / "good.txt").symlink_to(sides.folder.parent / "dest-evil/x")  # would be the prompt of good.png
    answer = sides.push()
    assert sides.objects == bytes_by_name(*GOOD)
    assert (
        "prompt" not in sides.bucket.client.head_object(Bucket=sides.bucket.name, Key=sides.key("good.png"))["Metadata"]
    )
    assert all(f"{name}: skipped, it is a symbolic link" in answer.stderr for name in ("linked", "x.png", "good.txt"))


def edited(sides, **changed):
    """Edits the first action of the plan; returns the path of the plan."""
    plan = sides.folder.parent / "cache/plan"
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    lines[1] |= changed
    plan.write_text("\n".join(map(json.dumps, lines)))
    return plan


@pytest.mark.parametrize("name", ["../dest-evil/x", "/etc/passwd", "a/../../dest-evil/x"])
def test_a_planned_path_that_leads_outside_the_folder_is_refused_by_name(sides, name):
    sides.cache.mkdir()
    plan = sides.cache / "plan"
    secret = sides.folder.parent / "dest-evil/x"
    identity = [secret.stat().st_size, secret.stat().st_mtime_ns, secret.stat().st_ctime_ns, secret.stat().st_ino]
    sides.put("a.png")
    sides.pull("--plan", plan, exit_code=1)
    answer = sides.call("pull", "--apply", edited(sides, filename=name), "--json", exit_code=3)
    assert refused(answer).keys() == {name}
    sides.write("b.png")
    sides.push("--plan", plan, exit_code=1)
    answer = sides.call("push", "--apply", edited(sides, filename=name, local=identity), "--json", exit_code=3)
    assert refused(answer).keys() == {name}
    sides.pull("--delete", "--plan", plan, "--include", "b.png", exit_code=1)
    answer = sides.call("pull", "--apply", edited(sides, filename=name, local=identity), "--json", exit_code=3)
    assert refused(answer).keys() == {name}
    assert sides.objects == bytes_by_name("a.png")


def test_a_plan_that_names_sidecars_is_refused_by_name(sides):
    sides.cache.mkdir()
    sides.write("b.png", "prompt_metadata.json")
    sides.push("--plan", sides.cache / "plan", exit_code=1)
    answer = sides.call("push", "--apply", edited(sides, filename="prompt_metadata.json"), "--json", exit_code=3)
    assert "not a file of style/16" in refused(answer)["prompt_metadata.json"]
    assert sides.objects == {}
