import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from unit.values import SMALL_PAGES, entry, file_change, file_observation, head_of

from s3_manifest.manifest import layout
from s3_manifest.manifest.runs import Run, decode_page


@dataclass
class Shelf:
    """A manifest's entries and a plain dict of them: each commit changes both."""

    expected: dict = field(default_factory=dict)
    head: Any = None
    objects: dict = field(default_factory=dict)
    read: list = field(default_factory=list)
    layout: Any = None
    commits: int = 0

    def load(self, slots, indices):
        """The slots with these pages loaded."""
        self.read += [slots[index].key for index in indices]
        return [
            layout.loaded_run(slot, decode_page(self.objects[slot.key], slot)) if index in indices else slot
            for index, slot in enumerate(slots)
        ]

    def commit(self, changes):
        """Adds files (name: size) and removes files (name: None)."""
        slots, self.read = layout.head_slots(self.head), []
        touched = {layout.slot_index(slots, name) for name in changes}
        slots = self.load(slots, {i for i in touched if not isinstance(slots[i], layout.LoadedRun)})
        entries = {name: layout.find_entry(slots, name) for name in changes}
        assert entries == {name: self.expected.get(name) for name in changes}
        after = {name: None if size is None else entry(name, size=size) for name, size in changes.items()}
        self.apply(slots, [file_change(entries[name], after[name]) for name in changes if entries[name] != after[name]])
        self.expected |= after
        self.expected = {name: entry for name, entry in self.expected.items() if entry}
        return self

    def apply(self, slots, file_changes):
        self.commits += 1
        slots = layout.join_small_runs(layout.apply_changes(slots, file_changes))
        while unread := layout.pages_to_read(slots):
            slots = layout.join_small_runs(self.load(slots, set(unread)))
        built = self.layout = layout.build_layout(slots, name=f"commit{self.commits}")
        self.objects |= {key: run.page for key, run in built.new}
        self.head = head_of().model_copy(
            update={
                "files": built.with_role("files"),
                "pages": built.pages,
                "total_files": built.total_files,
                "total_size_bytes": built.total_size_bytes,
            }
        )

    def pages(self):
        return [(page, decode_page(self.objects[page.key], page)) for page in self.head.pages]

    def check(self):
        """Asserts that the manifest, its totals and its references match the dict."""
        entries = [*self.head.files, *(listed for _, run in self.pages() for listed in run.entries())]
        assert entries == [self.expected[name] for name in sorted(self.expected)]
        assert not (self.head.files and self.head.pages)
        assert self.layout.total_files == len(entries)
        assert self.layout.total_size_bytes == sum(listed.size_bytes for listed in entries)
        for page, run in self.pages():
            assert page == Run(list(run.entries())).page_ref(page.key)
            assert layout.MIN_PAGE <= len(run) <= layout.MAX_PAGE
        assert bool(self.head.pages) == (len(entries) > layout.MAX_INLINE)


def names(*numbers):
    return [f"{n:04}.jpg" for n in numbers]


def put(*numbers):
    return dict.fromkeys(names(*numbers), 3)


def remove(*numbers):
    return dict.fromkeys(names(*numbers))


PATTERNS = {
    "scattered": lambda rng: [rng.randrange(60) for _ in range(rng.randrange(1, 6))],
    "in a row": lambda rng: range(start := rng.randrange(50), start + rng.randrange(1, 12)),
    "at the end": lambda rng: range(50, 50 + rng.randrange(12)),
    "at the beginning": lambda rng: range(rng.randrange(12)),
    "all over": lambda rng: range(rng.randrange(2), 60, rng.randrange(1, 5)),
}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("share_put", [0.3, 0.5, 0.8], ids=["shrinking", "steady", "growing"])
@pytest.mark.usefixtures("small_pages")
def test_after_random_changes_pages_have_the_right_entries_and_sizes(pattern, share_put, seed):
    rng = random.Random(seed)
    shelf = Shelf().commit(put(*range(0, 60, 2)))
    for _ in range(25):
        before = {page.key: (page, body) for page in shelf.head.pages for body in [shelf.objects[page.key]]}
        sizes = {name: rng.randrange(1, 9) if rng.random() < share_put else None for name in names(*pattern(rng))}
        shelf.commit(sizes)
        shelf.check()
        # A page that was neither modified nor joined is the same object under the same key.
        retained = {page.key for page in shelf.head.pages} & before.keys()
        assert all(
            before[page.key] == (page, shelf.objects[page.key]) for page in shelf.head.pages if page.key in retained
        )
        unread = before.keys() - set(shelf.read)
        assert unread <= retained


@pytest.mark.parametrize(
    ("before", "changes", "pages"),
    [
        ([], put(*range(8)), 0),
        ([], put(*range(9)), 2),
        ([], put(*range(60)), 10),
        (range(8), put(8), 2),
        (range(9), remove(0), 0),
        (range(10), remove(0), 2),
        (range(9), remove(0, 1, 2, 3, 4, 5), 0),
        (range(9), remove(*range(9)), 0),
        (range(9), remove(*range(9)) | put(*range(20, 29)), 2),
        (range(60), remove(*range(60)), 0),
        (range(60), remove(*range(58)), 0),
    ],
)
@pytest.mark.usefixtures("small_pages")
def test_many_files_are_paged_and_few_are_inline_whatever_their_number_was_before(before, changes, pages):
    shelf = Shelf().commit(put(*before)).commit(changes)
    shelf.check()
    assert len(shelf.head.pages) == pages


@pytest.mark.usefixtures("small_pages")
def test_changes_around_the_threshold_read_and_write_only_the_few_pages_of_a_small_manifest():
    shelf = Shelf().commit(put(*range(9)))
    for _ in range(3):
        shelf.commit(remove(0))
        assert (len(shelf.read), shelf.layout.new, shelf.head.pages) == (2, (), ())
        shelf.commit(put(0))
        assert (shelf.read, len(shelf.layout.new)) == ([], 2)


# Of 36 files in six pages of six: the pages read and the pages written for a change.
@pytest.mark.parametrize(
    ("changes", "read", "written", "pages"),
    [
        ({}, 0, 0, 6),
        (remove(99), 1, 0, 6),
        (remove(0), 1, 1, 6),
        (put(0, 1, 2) | {"0000.jpg": 9}, 1, 1, 6),
        (dict.fromkeys(("0007a", "0008a"), 1), 1, 2, 7),
        (remove(1, 7, 13), 3, 3, 6),
        (remove(0, 1, 2, 3), 1, 1, 6),
        (remove(0, 1, 2, 3, 4), 2, 2, 6),
        (remove(0, 1, 2, 3, 4, 6), 2, 1, 5),
        (remove(30, 31, 32, 33, 34), 2, 2, 6),
        (remove(0, 1, 2, 3, 4, 5), 1, 0, 5),
        (remove(*range(6), *range(12, 18), *range(30, 36)), 3, 0, 3),
        (remove(4, 5, 0, 1, 2) | remove(6, 7, 8, 9, 10), 2, 1, 5),
        (remove(*range(28)), 6, 0, 0),
        (remove(*range(35)), 6, 0, 0),
    ],
)
@pytest.mark.usefixtures("small_pages")
def test_only_the_pages_that_a_change_needs_are_read_and_written(changes, read, written, pages):
    shelf = Shelf().commit(put(*range(36)))
    assert [page.total_files for page in shelf.head.pages] == [6] * 6
    shelf.commit(changes)
    shelf.check()
    assert (len(shelf.read), len(shelf.layout.new), len(shelf.head.pages)) == (read, written, pages)


@pytest.mark.usefixtures("small_pages")
def test_changes_without_effect_keep_every_page():
    shelf = Shelf().commit(put(*range(36)))
    before = shelf.head.pages
    shelf.commit(put(*range(36)))
    assert (shelf.head.pages, shelf.layout.new) == (before, ())


@pytest.mark.usefixtures("small_pages")
def test_each_page_is_named_after_the_commit_and_its_number():
    shelf = Shelf().commit(put(*range(20)))
    assert [key for key, _ in shelf.layout.new] == [f"commit1-{n}.json" for n in range(4)]


@pytest.mark.parametrize(
    ("name", "index"),
    [("", 0), ("0000.jpg", 0), ("0005.jpg", 0), ("0005.jpgx", 0), ("0006.jpg", 1), ("0035.jpg", 5), ("\U0010ffff", 5)],
)
@pytest.mark.usefixtures("small_pages")
def test_a_filename_belongs_to_the_page_whose_range_contains_it(name, index):
    assert layout.slot_index(Shelf().commit(put(*range(36))).head.pages, name) == index


@pytest.mark.usefixtures("small_pages")
def test_modifying_an_unread_page_is_an_error():
    slots = layout.head_slots(Shelf().commit(put(*range(36))).head)
    with pytest.raises(TypeError, match="must be read before"):
        layout.apply_changes(slots, [file_change(None, entry("0001.jpg"))])


@pytest.mark.parametrize("few", [0, 1, SMALL_PAGES["MAX_INLINE"]])
@pytest.mark.usefixtures("small_pages")
def test_a_small_manifest_needs_no_page(few):
    slots = layout.head_slots(head_of(*(file_observation(name) for name in names(*range(few)))))
    assert layout.pages_to_read(layout.join_small_runs(slots)) == []


def test_thousands_of_files_are_added_and_removed_with_the_real_bounds():
    shelf = Shelf().commit(put(*range(2000)))
    assert shelf.head.pages == ()
    shelf.commit(put(*range(2000, 5000)))
    shelf.check()
    assert len(shelf.head.pages) == 3
    shelf.commit(put(5000))
    shelf.check()
    assert (len(shelf.read), len(shelf.layout.new)) == (1, 1)
    shelf.commit(remove(*range(1000, 3999)))
    shelf.check()
    assert len(shelf.head.pages) > 1
    shelf.commit(remove(*range(2)))
    shelf.check()
    assert (shelf.head.pages, len(shelf.head.files)) == ((), 2000)
