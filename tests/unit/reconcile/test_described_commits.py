"""Commits where sidecars and captions describe the files, in whatever order they arrive."""

import itertools
import json

import pytest
from unit.environments import Hand
from unit.values import PREFIX, STYLE

from s3_manifest.manifest.changes import decode_record
from s3_manifest.query import reads
from s3_manifest.query.reads import PageQuery
from s3_manifest.query.views import Filter
from s3_manifest.reconcile import observe
from s3_manifest.sidecars.formats import FileDescription, SidecarContent
from s3_manifest.storage.store import ReadFailed

PROMPTS, FOLDER, CAPTION = "prompt_metadata.json", "metadata.jsonl", "a.txt"


def prompts(**said):
    return json.dumps({f"{name}.jpg": item for name, item in said.items()}).encode()


def known(*names, **said):
    """A hand with a manifest of these files, and a sidecar that says this of them."""
    hand = Hand()
    hand.commit([*hand.upload(*(names or ("a.jpg",))), *hand.upload(PROMPTS, body=prompts(**said))])
    return hand


def only(hand):
    (entry,) = hand.entries()
    return entry


def said(hand):
    return {entry.filename: (entry.prompt, entry.good) for entry in hand.entries()}


ARRIVALS = {
    "a.jpg": b"bytes",
    PROMPTS: prompts(a={"good": False}),
    FOLDER: b'{"file_name": "a.jpg", "text": "from the folder", "labels": ["x"]}',
    CAPTION: b"from the caption",
}


@pytest.mark.parametrize("order", list(itertools.permutations(ARRIVALS)), ids="-".join)
def test_whatever_arrives_first_the_file_is_described_by_all(order):
    hand = Hand()
    for name in order:
        hand.commit(hand.upload(name, body=ARRIVALS[name]))
    (entry,) = hand.head().files
    assert (entry.prompt, entry.good, entry.labels) == ("from the folder", False, ("x",))
    assert [caption.filename for caption in hand.head().captions] == [CAPTION]
    assert (hand.head().total_files, hand.head().total_size_bytes) == (1, 5)


@pytest.mark.parametrize("order", list(itertools.permutations(ARRIVALS)), ids="-".join)
def test_whatever_goes_first_the_file_says_in_the_end_what_it_says_itself(order):
    hand = Hand()
    for name, body in ARRIVALS.items():
        hand.upload(name, body=body, metadata={"prompt": "its own"})
    hand.commit([PREFIX + name for name in ARRIVALS])
    for name in order:
        if name != "a.jpg":
            hand.store.remove(PREFIX + name)
            hand.commit([PREFIX + name])
    entry = only(hand)
    assert (entry.prompt, entry.good, entry.overridden) == ("its own", True, {})
    assert (hand.head().sidecars, hand.head().captions) == ((), ())


def test_a_sidecar_costs_no_look_at_the_files_it_speaks_of():
    hand = known("a.jpg", "b.jpg", "c.jpg")
    hand.store.requests.clear()
    hand.commit(hand.upload(PROMPTS, body=prompts(a="x", b="y")))
    assert hand.store.asked_for("HEAD") == [PREFIX + PROMPTS]
    assert said(hand) == {"a.jpg": ("x", True), "b.jpg": ("y", True), "c.jpg": (None, True)}


def test_a_file_costs_a_look_at_the_manifests_copy_of_what_is_said_of_it():
    hand = known(a="x")
    copy = hand.head().sidecars[0].copies[0].key
    hand.store.requests.clear()
    hand.commit(hand.upload("a.jpg", body=b"new"))
    assert hand.store.asked_for("GET") == [STYLE.head_key, copy]
    assert hand.store.asked_for("HEAD") == [PREFIX + "a.jpg"]
    assert said(hand) == {"a.jpg": ("x", True)}


def test_the_change_record_names_the_files_and_what_said_so():
    hand = known("a.jpg", "b.jpg", a="x", b="y")
    hand.commit(hand.upload(PROMPTS, body=prompts(a="x", b={"prompt": "z", "hidden": True})))
    assert hand.head().revision == 2
    (key,) = [key for key in hand.store.objects if f"changes/{2:012}" in key]
    record = decode_record(hand.store.objects[key][1])
    (removed,) = record.removed
    assert (record.added, record.modified, record.unlisted) == ((), (), ())
    assert (removed.filename, removed.before.prompt, removed.after.hidden) == ("b.jpg", "y", True)


def test_a_hidden_file_is_listed_apart_and_counted_nowhere_and_comes_back_as_it_was():
    hand = known("a.jpg", "b.jpg")
    before = hand.head()
    hand.commit(hand.upload(PROMPTS, body=prompts(a={"hidden": True})))
    head = hand.head()
    assert ([e.filename for e in head.files], [e.filename for e in head.hidden]) == (["b.jpg"], ["a.jpg"])
    assert (head.total_files, head.total_size_bytes, head.generations[0].image_count) == (1, 3, 1)
    hand.commit(hand.upload(PROMPTS, body=b"{}"))
    assert (hand.head().files, hand.head().hidden) == (before.files, ())
    assert hand.head().generations == before.generations


def test_a_hidden_file_is_followed_while_it_is_hidden():
    hand = known(a={"hidden": True})
    hand.commit(hand.upload("a.jpg", body=b"larger"))
    assert (hand.head().total_size_bytes, hand.head().hidden[0].size_bytes) == (0, 6)
    hand.store.remove(PREFIX + "a.jpg")
    hand.commit([PREFIX + "a.jpg"])
    assert hand.head().hidden == ()


def test_a_broken_sidecar_is_a_problem_and_harms_nothing_else():
    hand = known(a="x")
    hand.upload(FOLDER, body=b'{"file_name": "a.jpg", "text": "y", "labels": ["l"]}')
    hand.commit([*hand.upload(PROMPTS, body=b'{"a.jpg": '), PREFIX + FOLDER])
    (problem,) = hand.head().problems
    assert (problem.s3_key, problem.problem[:14]) == (PREFIX + PROMPTS, "it is not JSON")
    assert (only(hand).prompt, only(hand).labels) == ("y", ("l",))
    hand.commit(hand.upload(PROMPTS, body=prompts(a="mended")))
    assert (hand.head().problems, only(hand).prompt) == ((), "mended")


def test_a_problem_stays_told_while_others_change():
    hand = known("a.jpg")
    hand.commit(hand.upload(PROMPTS, body=b"["))
    problems = hand.head().problems
    hand.commit(hand.upload("b.jpg", FOLDER, body=b"{}"))
    assert [item.s3_key for item in hand.head().problems] == [PREFIX + FOLDER, PREFIX + PROMPTS]
    hand.store.remove(PREFIX + FOLDER)
    hand.commit([PREFIX + FOLDER])
    assert hand.head().problems == problems


@pytest.mark.parametrize(("size", "problem"), [(8 << 20, None), ((8 << 20) + 1, "8388609 bytes")])
def test_a_sidecar_that_is_too_large_is_not_read(size, problem):
    hand = known("a.jpg")
    said = prompts(a="x")
    hand.commit(hand.upload(PROMPTS, body=said + b" " * (size - len(said))))
    assert only(hand).prompt == (None if problem else "x")
    assert [problem in item.problem for item in hand.head().problems] == [True] * bool(problem)


@pytest.mark.parametrize("name", [PROMPTS, CAPTION])
def test_an_archived_sidecar_is_a_problem_and_no_failure(name):
    hand = Hand()
    outcome = hand.commit(hand.upload(name, archived=True, storage_class="GLACIER"))
    assert outcome.finished
    assert "GLACIER" in hand.head().problems[0].problem


def test_orphans_bare_images_and_broken_captions_are_listed():
    hand = Hand()
    hand.upload("a.txt", "lost.txt", body=b"text")
    hand.upload("bad.txt", body=b"\xff")
    hand.commit(hand.upload("a.jpg", "bad.png", "bare.webp", "notes.pdf"))
    assert [(item.s3_key.removeprefix(PREFIX), item.problem.split(",")[0]) for item in hand.head().problems] == [
        ("bad.txt", "it is not UTF-8; write it anew"),
        ("lost.txt", "there is no image that this is the caption of"),
        ("bare.webp", "it has no caption"),
    ]
    assert hand.head().total_files == 4


def test_without_captions_no_image_lacks_one():
    hand = Hand()
    hand.commit(hand.upload("a.jpg", "b.jpg"))
    assert hand.head().problems == ()


def test_of_very_many_problems_the_first_are_listed_and_the_rest_counted():
    hand = Hand()
    hand.commit(hand.upload("0.txt", *(f"{number:03}.jpg" for number in range(103))))
    problems = hand.head().problems
    assert len(problems) == 102
    assert (problems[-1].s3_key, problems[-1].problem) == (PREFIX, "3 more images have no caption")


def test_a_later_version_that_reads_more_of_the_same_sidecar_goes_by_that(monkeypatch):
    hand = Hand()
    with monkeypatch.context() as older:
        older.setattr(observe, "read_sidecar", lambda *_: SidecarContent(files={"b.jpg": FileDescription(prompt="b")}))
        hand.commit([*hand.upload("a.jpg", "b.jpg"), *hand.upload(PROMPTS, body=prompts(a="x", b="b"))])
    hand.commit([PREFIX + PROMPTS])
    assert said(hand) == {"a.jpg": ("x", True), "b.jpg": ("b", True)}
    hand.commit(hand.upload("a.jpg", body=b"new"))
    assert said(hand) == {"a.jpg": ("x", True), "b.jpg": ("b", True)}


def test_a_caption_that_is_replaced_while_it_is_read_is_read_again():
    hand = Hand()
    hand.commit(hand.upload("a.jpg"))
    hand.upload(CAPTION, body=b"old")
    head, texts = hand.store.head, iter([b"older", b"new"])

    def replaced(key):
        observation = head(key)
        if key.endswith(CAPTION) and (text := next(texts, None)):
            hand.upload(CAPTION, body=text)
        return observation

    hand.store.head = replaced
    hand.commit([PREFIX + CAPTION])
    assert hand.head().files[0].prompt == "new"


def test_a_caption_that_never_rests_is_tried_again_later():
    hand = Hand()
    hand.commit(hand.upload("a.jpg"))
    hand.upload(CAPTION, body=b"0")
    head, count = hand.store.head, itertools.count(1)

    def replaced(key):
        observation = head(key)
        hand.upload(CAPTION, body=str(next(count)).encode())
        return observation

    hand.store.head = replaced
    outcome = hand.commit([PREFIX + CAPTION])
    assert "replaced 3 times" in outcome.unreadable[PREFIX + CAPTION]
    assert hand.head().captions == ()


def test_a_sidecar_that_cannot_be_read_now_leaves_the_manifest_as_it_is():
    hand = known(a="x")
    hand.upload(PROMPTS, body=prompts(a="y"))
    get = hand.store.get

    def refused(key):
        if key.endswith(PROMPTS) and key.startswith(PREFIX):
            raise ReadFailed(key, "not read: 503")
        return get(key)

    hand.store.get = refused
    outcome = hand.commit([PREFIX + PROMPTS])
    assert list(outcome.unreadable) == [PREFIX + PROMPTS]
    assert only(hand).prompt == "x"


def test_declared_generations_are_there_with_what_is_declared_and_count_their_files():
    hand = known("a.jpg", "b.jpg", a={"generation_id": 7, "generation_type": "flux"})
    declaration = {"generation_id": 7, "type": "flux", "generated_at": "2020-01-01", "metadata": {"steps": 4}}
    other = declaration | {"generation_id": 8}
    facts = json.dumps({"title": "Snow", "generations": [declaration, other]}).encode()
    hand.commit(hand.upload("collection.json", body=facts))
    counts = {(item.generation_id, item.type): item.image_count for item in hand.head().generations}
    assert counts == {(7, "flux"): 1, (8, "flux"): 0, (1, "s3_event"): 1}
    flux = hand.head().generations[0]
    assert (flux.generated_at, flux.metadata) == ("2020-01-01T00:00:00.000Z", {"steps": 4})
    hand.commit(hand.upload(PROMPTS, body=prompts(a={"generation_id": 8, "generation_type": "flux"})))
    assert {item.generation_id: item.image_count for item in hand.head().generations} == {7: 0, 8: 1, 1: 1}
    hand.store.remove(PREFIX + "collection.json")
    hand.commit([PREFIX + "collection.json"])
    (undeclared,) = (item for item in hand.head().generations if item.type == "flux")
    assert (undeclared.generation_id, undeclared.metadata, undeclared.declared) == (8, {}, False)
    assert undeclared.generated_at != flux.generated_at


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("pages", [1, 2, 3, 32])
def test_a_sidecar_of_very_many_files_is_applied_a_stretch_at_a_time(monkeypatch, pages):
    monkeypatch.setattr("s3_manifest.reconcile.working_set.MAX_PAGES", pages)
    hand = Hand()
    names = [f"{number:04}" for number in range(36)]
    hand.commit(hand.upload(*(f"{name}.jpg" for name in names)))
    before = hand.head().revision
    outcome = hand.commit(hand.upload(PROMPTS, body=prompts(**dict.fromkeys(names, "x"))))
    assert outcome.finished
    assert hand.head().revision - before == -(-len(hand.head().pages) // pages)
    assert {entry.prompt for entry in hand.entries()} == {"x"}
    assert hand.head().sidecars[0].is_applied


@pytest.mark.usefixtures("small_pages")
def test_a_stretch_that_time_does_not_suffice_for_is_left_to_the_next_delivery(monkeypatch):
    monkeypatch.setattr("s3_manifest.reconcile.working_set.MAX_PAGES", 1)
    hand = Hand()
    names = [f"{number:04}" for number in range(36)]
    hand.commit(hand.upload(*(f"{name}.jpg" for name in names)))
    (key,) = hand.upload(PROMPTS, body=prompts(**dict.fromkeys(names, "x")))
    left = iter([900, 900, 900, 900, 1, 1, 1, 1])
    hand.seconds_left = lambda: next(left)
    outcome = hand.commit([key])
    assert (outcome.finished, outcome.timed_out) == (False, [key])
    assert {entry.prompt for entry in hand.entries()} == {"x", None}
    hand.seconds_left = lambda: 900
    assert hand.commit([key]).finished
    assert {entry.prompt for entry in hand.entries()} == {"x"}


@pytest.mark.usefixtures("small_pages")
def test_images_and_captions_find_each_other_across_pages():
    hand = Hand()
    hand.commit(hand.upload(*(f"{number:04}.jpg" for number in range(36))))
    for number in range(36):
        hand.commit(hand.upload(f"{number:04}.txt", body=str(number).encode()))
    files = [entry for entry in hand.entries() if entry.is_file]
    assert [entry.prompt for entry in files] == [str(number) for number in range(36)]
    assert (hand.head().total_files, sum(page.unlisted for page in hand.head().pages)) == (36, 36)


@pytest.mark.usefixtures("small_pages")
def test_orphans_and_bare_images_of_many_files_are_listed_page_by_page():
    hand = Hand()
    numbers = range(36)
    hand.commit(hand.upload(*(f"{number:04}.jpg" for number in numbers if number % 3)))
    hand.commit(hand.upload(*(f"{number:04}.txt" for number in numbers if number % 4), body=b"text"))
    assert listed(hand, "orphans") == [f"{number:04}.txt" for number in numbers if number % 4 and not number % 3]
    assert listed(hand, "uncaptioned") == [f"{number:04}.jpg" for number in numbers if number % 3 and not number % 4]
    revision = hand.head().revision
    hand.commit(hand.upload("0004.txt", "0003.jpg"))
    assert listed(hand, "orphans", revision)[:1] == ["0003.txt"]
    assert listed(hand, "orphans")[:1] == ["0006.txt"]


def listed(hand, listing, revision=None):
    """The names of what is listed, a few at a time."""
    names, cursor = [], None
    while True:
        query = PageQuery(Filter(listing=listing), 3, cursor, revision)
        read = reads.page(hand.snapshot(), query)
        answer = json.loads(read.json)
        names += [entry["filename"] for entry in answer[listing]]
        if not (cursor := answer["cursor"]):
            return names
