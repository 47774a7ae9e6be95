"""Commits where sidecars and captions describe the files, in any order of arrival."""

import itertools
import json

import pytest
from unit.environments import Harness
from unit.values import PREFIX, STYLE

from s3_manifest.manifest.changes import decode_record
from s3_manifest.query import reads
from s3_manifest.query.reads import Filter, PageQuery
from s3_manifest.reconcile import observe
from s3_manifest.sidecars.content import FileDescription, SidecarContent
from s3_manifest.storage.store import ReadFailed

PROMPTS, FOLDER, CAPTION = "prompt_metadata.json", "metadata.jsonl", "a.txt"


def prompts(**descriptions):
    return json.dumps({f"{name}.jpg": description for name, description in descriptions.items()}).encode()


def described_harness(*names, **descriptions):
    """A harness with a manifest of these files, and a sidecar with these descriptions."""
    harness = Harness()
    harness.commit([*harness.upload(*(names or ("a.jpg",))), *harness.upload(PROMPTS, body=prompts(**descriptions))])
    return harness


def only_entry(harness):
    (entry,) = harness.entries()
    return entry


def prompts_in_manifest(harness):
    return {entry.filename: (entry.prompt, entry.good) for entry in harness.entries()}


ARRIVALS = {
    "a.jpg": b"bytes",
    PROMPTS: prompts(a={"good": False}),
    FOLDER: b'{"file_name": "a.jpg", "text": "from the folder", "labels": ["x"]}',
    CAPTION: b"from the caption",
}


@pytest.mark.parametrize("order", list(itertools.permutations(ARRIVALS)), ids="-".join)
def test_a_file_is_described_by_all_sources_in_any_order_of_arrival(order):
    harness = Harness()
    for name in order:
        harness.commit(harness.upload(name, body=ARRIVALS[name]))
    (entry,) = harness.head().files
    assert (entry.prompt, entry.good, entry.labels) == ("from the folder", False, ("x",))
    assert [caption.filename for caption in harness.head().captions] == [CAPTION]
    assert (harness.head().total_files, harness.head().total_size_bytes) == (1, 5)


@pytest.mark.parametrize("order", list(itertools.permutations(ARRIVALS)), ids="-".join)
def test_removing_all_sidecars_in_any_order_restores_the_files_own_metadata(order):
    harness = Harness()
    for name, body in ARRIVALS.items():
        harness.upload(name, body=body, metadata={"prompt": "its own"})
    harness.commit([PREFIX + name for name in ARRIVALS])
    for name in order:
        if name != "a.jpg":
            harness.store.remove(PREFIX + name)
            harness.commit([PREFIX + name])
    entry = only_entry(harness)
    assert (entry.prompt, entry.good, entry.overridden) == ("its own", True, {})
    assert (harness.head().sidecars, harness.head().captions) == ((), ())


def test_a_sidecar_is_applied_without_observing_its_files():
    harness = described_harness("a.jpg", "b.jpg", "c.jpg")
    harness.store.requests.clear()
    harness.commit(harness.upload(PROMPTS, body=prompts(a="x", b="y")))
    assert harness.store.requests_for("HEAD") == [PREFIX + PROMPTS]
    assert prompts_in_manifest(harness) == {"a.jpg": ("x", True), "b.jpg": ("y", True), "c.jpg": (None, True)}


def test_a_file_is_described_from_the_manifests_copy_of_the_sidecar():
    harness = described_harness(a="x")
    copy = harness.head().sidecars[0].copies[0].key
    harness.store.requests.clear()
    harness.commit(harness.upload("a.jpg", body=b"new"))
    assert harness.store.requests_for("GET") == [STYLE.head_key, copy]
    assert harness.store.requests_for("HEAD") == [PREFIX + "a.jpg"]
    assert prompts_in_manifest(harness) == {"a.jpg": ("x", True)}


def test_the_change_record_names_the_files_and_the_sidecar():
    harness = described_harness("a.jpg", "b.jpg", a="x", b="y")
    harness.commit(harness.upload(PROMPTS, body=prompts(a="x", b={"prompt": "z", "hidden": True})))
    assert harness.head().revision == 2
    (key,) = [key for key in harness.store.objects if f"changes/{2:012}" in key]
    record = decode_record(harness.store.objects[key][1])
    (removed,) = record.removed
    assert (record.added, record.modified, record.unlisted) == ((), (), ())
    assert (removed.filename, removed.before.prompt, removed.after.hidden) == ("b.jpg", "y", True)


def test_a_hidden_file_is_listed_separately_not_counted_and_restored_unchanged():
    harness = described_harness("a.jpg", "b.jpg")
    before = harness.head()
    harness.commit(harness.upload(PROMPTS, body=prompts(a={"hidden": True})))
    head = harness.head()
    assert ([e.filename for e in head.files], [e.filename for e in head.hidden]) == (["b.jpg"], ["a.jpg"])
    assert (head.total_files, head.total_size_bytes, head.generations[0].image_count) == (1, 3, 1)
    harness.commit(harness.upload(PROMPTS, body=b"{}"))
    assert (harness.head().files, harness.head().hidden) == (before.files, ())
    assert harness.head().generations == before.generations


def test_a_hidden_file_is_updated_and_removed_while_hidden():
    harness = described_harness(a={"hidden": True})
    harness.commit(harness.upload("a.jpg", body=b"larger"))
    assert (harness.head().total_size_bytes, harness.head().hidden[0].size_bytes) == (0, 6)
    harness.store.remove(PREFIX + "a.jpg")
    harness.commit([PREFIX + "a.jpg"])
    assert harness.head().hidden == ()


def test_a_broken_sidecar_is_reported_and_other_sidecars_still_apply():
    harness = described_harness(a="x")
    harness.upload(FOLDER, body=b'{"file_name": "a.jpg", "text": "y", "labels": ["l"]}')
    harness.commit([*harness.upload(PROMPTS, body=b'{"a.jpg": '), PREFIX + FOLDER])
    (problem,) = harness.head().problems
    assert (problem.s3_key, problem.problem[:14]) == (PREFIX + PROMPTS, "it is not JSON")
    assert (only_entry(harness).prompt, only_entry(harness).labels) == ("y", ("l",))
    harness.commit(harness.upload(PROMPTS, body=prompts(a="mended")))
    assert (harness.head().problems, only_entry(harness).prompt) == ((), "mended")


def test_a_problem_stays_reported_while_other_files_change():
    harness = described_harness("a.jpg")
    harness.commit(harness.upload(PROMPTS, body=b"["))
    problems = harness.head().problems
    harness.commit(harness.upload("b.jpg", FOLDER, body=b"{}"))
    assert [item.s3_key for item in harness.head().problems] == [PREFIX + FOLDER, PREFIX + PROMPTS]
    harness.store.remove(PREFIX + FOLDER)
    harness.commit([PREFIX + FOLDER])
    assert harness.head().problems == problems


@pytest.mark.parametrize(("size", "problem"), [(8 << 20, None), ((8 << 20) + 1, "8388609 bytes")])
def test_a_sidecar_that_is_too_large_is_not_read(size, problem):
    harness = described_harness("a.jpg")
    body = prompts(a="x")
    harness.commit(harness.upload(PROMPTS, body=body + b" " * (size - len(body))))
    assert only_entry(harness).prompt == (None if problem else "x")
    assert [problem in item.problem for item in harness.head().problems] == [True] * bool(problem)


@pytest.mark.parametrize("name", [PROMPTS, CAPTION])
def test_an_archived_sidecar_is_reported_and_does_not_fail_the_commit(name):
    harness = Harness()
    outcome = harness.commit(harness.upload(name, archived=True, storage_class="GLACIER"))
    assert outcome.finished
    assert "GLACIER" in harness.head().problems[0].problem


def test_orphans_uncaptioned_images_and_broken_captions_are_listed():
    harness = Harness()
    harness.upload("a.txt", "lost.txt", body=b"text")
    harness.upload("bad.txt", body=b"\xff")
    harness.commit(harness.upload("a.jpg", "bad.png", "bare.webp", "notes.pdf"))
    assert [(item.s3_key.removeprefix(PREFIX), item.problem.split(",")[0]) for item in harness.head().problems] == [
        ("bad.txt", "it is not UTF-8; save it as UTF-8"),
        ("lost.txt", "no image or video belongs to this caption"),
        ("bare.webp", "it has no caption"),
    ]
    assert harness.head().total_files == 4


def test_uncaptioned_images_are_not_reported_where_no_captions_exist():
    harness = Harness()
    harness.commit(harness.upload("a.jpg", "b.jpg"))
    assert harness.head().problems == ()


def test_the_first_problems_of_a_manifest_are_listed_and_the_others_counted():
    harness = Harness()
    harness.commit(harness.upload("0.txt", *(f"{number:03}.jpg" for number in range(103))))
    problems = harness.head().problems
    assert len(problems) == 102
    assert (problems[-1].s3_key, problems[-1].problem) == (PREFIX, "3 more images have no caption")


def test_a_version_that_reads_more_of_an_unchanged_sidecar_applies_it(monkeypatch):
    harness = Harness()
    with monkeypatch.context() as older:
        older.setattr(observe, "read_sidecar", lambda *_: SidecarContent(files={"b.jpg": FileDescription(prompt="b")}))
        harness.commit([*harness.upload("a.jpg", "b.jpg"), *harness.upload(PROMPTS, body=prompts(a="x", b="b"))])
    harness.commit([PREFIX + PROMPTS])
    assert prompts_in_manifest(harness) == {"a.jpg": ("x", True), "b.jpg": ("b", True)}
    harness.commit(harness.upload("a.jpg", body=b"new"))
    assert prompts_in_manifest(harness) == {"a.jpg": ("x", True), "b.jpg": ("b", True)}


def test_a_caption_that_is_replaced_while_it_is_read_is_read_again():
    harness = Harness()
    harness.commit(harness.upload("a.jpg"))
    harness.upload(CAPTION, body=b"old")
    head, texts = harness.store.head, iter([b"older", b"new"])

    def replaced(key):
        observation = head(key)
        if key.endswith(CAPTION) and (text := next(texts, None)):
            harness.upload(CAPTION, body=text)
        return observation

    harness.store.head = replaced
    harness.commit([PREFIX + CAPTION])
    assert harness.head().files[0].prompt == "new"


def test_a_caption_that_is_replaced_constantly_is_reported_as_unreadable():
    harness = Harness()
    harness.commit(harness.upload("a.jpg"))
    harness.upload(CAPTION, body=b"0")
    head, count = harness.store.head, itertools.count(1)

    def replaced(key):
        observation = head(key)
        harness.upload(CAPTION, body=str(next(count)).encode())
        return observation

    harness.store.head = replaced
    outcome = harness.commit([PREFIX + CAPTION])
    assert "replaced 3 times" in outcome.unreadable[PREFIX + CAPTION]
    assert harness.head().captions == ()


def test_a_temporarily_unreadable_sidecar_leaves_the_manifest_unchanged():
    harness = described_harness(a="x")
    harness.upload(PROMPTS, body=prompts(a="y"))
    get = harness.store.get

    def refused(key):
        if key.endswith(PROMPTS) and key.startswith(PREFIX):
            raise ReadFailed(key, "not read: 503")
        return get(key)

    harness.store.get = refused
    outcome = harness.commit([PREFIX + PROMPTS])
    assert list(outcome.unreadable) == [PREFIX + PROMPTS]
    assert only_entry(harness).prompt == "x"


def test_declared_generations_are_listed_with_their_fields_and_file_counts():
    harness = described_harness("a.jpg", "b.jpg", a={"generation_id": 7, "generation_type": "flux"})
    declaration = {"generation_id": 7, "type": "flux", "generated_at": "2020-01-01", "metadata": {"steps": 4}}
    other = declaration | {"generation_id": 8}
    facts = json.dumps({"title": "Snow", "generations": [declaration, other]}).encode()
    harness.commit(harness.upload("collection.json", body=facts))
    counts = {(item.generation_id, item.type): item.image_count for item in harness.head().generations}
    assert counts == {(7, "flux"): 1, (8, "flux"): 0, (1, "s3_event"): 1}
    flux = harness.head().generations[0]
    assert (flux.generated_at, flux.metadata) == ("2020-01-01T00:00:00.000Z", {"steps": 4})
    harness.commit(harness.upload(PROMPTS, body=prompts(a={"generation_id": 8, "generation_type": "flux"})))
    assert {item.generation_id: item.image_count for item in harness.head().generations} == {7: 0, 8: 1, 1: 1}
    harness.store.remove(PREFIX + "collection.json")
    harness.commit([PREFIX + "collection.json"])
    (undeclared,) = (item for item in harness.head().generations if item.type == "flux")
    assert (undeclared.generation_id, undeclared.metadata, undeclared.declared) == (8, {}, False)
    assert undeclared.generated_at != flux.generated_at


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("pages", [1, 2, 3, 32])
def test_a_large_sidecar_is_applied_one_range_of_pages_per_commit(monkeypatch, pages):
    monkeypatch.setattr("s3_manifest.reconcile.working_set.MAX_PAGES", pages)
    harness = Harness()
    names = [f"{number:04}" for number in range(36)]
    harness.commit(harness.upload(*(f"{name}.jpg" for name in names)))
    before = harness.head().revision
    outcome = harness.commit(harness.upload(PROMPTS, body=prompts(**dict.fromkeys(names, "x"))))
    assert outcome.finished
    assert harness.head().revision - before == -(-len(harness.head().pages) // pages)
    assert {entry.prompt for entry in harness.entries()} == {"x"}
    assert harness.head().sidecars[0].is_applied


@pytest.mark.usefixtures("small_pages")
def test_a_range_that_time_ran_out_for_is_left_to_the_next_delivery(monkeypatch):
    monkeypatch.setattr("s3_manifest.reconcile.working_set.MAX_PAGES", 1)
    harness = Harness()
    names = [f"{number:04}" for number in range(36)]
    harness.commit(harness.upload(*(f"{name}.jpg" for name in names)))
    (key,) = harness.upload(PROMPTS, body=prompts(**dict.fromkeys(names, "x")))
    left = iter([900, 900, 900, 900, 1, 1, 1, 1])
    harness.seconds_left = lambda: next(left)
    outcome = harness.commit([key])
    assert (outcome.finished, outcome.timed_out) == (False, [key])
    assert {entry.prompt for entry in harness.entries()} == {"x", None}
    harness.seconds_left = lambda: 900
    assert harness.commit([key]).finished
    assert {entry.prompt for entry in harness.entries()} == {"x"}


@pytest.mark.usefixtures("small_pages")
def test_captions_describe_images_across_pages():
    harness = Harness()
    harness.commit(harness.upload(*(f"{number:04}.jpg" for number in range(36))))
    for number in range(36):
        harness.commit(harness.upload(f"{number:04}.txt", body=str(number).encode()))
    files = [entry for entry in harness.entries() if entry.is_file]
    assert [entry.prompt for entry in files] == [str(number) for number in range(36)]
    assert (harness.head().total_files, sum(page.unlisted for page in harness.head().pages)) == (36, 36)


@pytest.mark.usefixtures("small_pages")
def test_orphans_and_uncaptioned_images_are_listed_page_by_page():
    harness = Harness()
    numbers = range(36)
    harness.commit(harness.upload(*(f"{number:04}.jpg" for number in numbers if number % 3)))
    harness.commit(harness.upload(*(f"{number:04}.txt" for number in numbers if number % 4), body=b"text"))
    assert listed(harness, "orphans") == [f"{number:04}.txt" for number in numbers if number % 4 and not number % 3]
    assert listed(harness, "uncaptioned") == [f"{number:04}.jpg" for number in numbers if number % 3 and not number % 4]
    revision = harness.head().revision
    harness.commit(harness.upload("0004.txt", "0003.jpg"))
    assert listed(harness, "orphans", revision)[:1] == ["0003.txt"]
    assert listed(harness, "orphans")[:1] == ["0006.txt"]


def listed(harness, listing, revision=None):
    """The names in a listing, read three at a time."""
    names, cursor = [], None
    while True:
        query = PageQuery(Filter(listing=listing), 3, cursor, revision)
        read = reads.page(harness.snapshot(), query)
        answer = json.loads(read.json)
        names += [entry["filename"] for entry in answer[listing]]
        if not (cursor := answer["cursor"]):
            return names
