"""Replaces missing or damaged pages by what S3 holds in their range of filenames.

A repair is a commit like any other: load the head, then list the range and observe every key in it, then
compare-and-swap. The content of the lost page is unknown. If the new page equals, byte for byte, the one that the head
refers to, only an object was lost, and the history continues. Otherwise a new history begins, and followers have to
read the manifest again.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.layout import LoadedRun, Slot
from s3_manifest.manifest.model import Entry, Generation, Head, PageRef
from s3_manifest.manifest.runs import Run, Totals, sha256_hex
from s3_manifest.reconcile.commit import Committer
from s3_manifest.reconcile.delta import (
    CommitFacts,
    Delta,
    SidecarEffect,
    affected_filenames,
    apply,
    change_record,
    diff,
    in_order,
)
from s3_manifest.reconcile.environment import Environment
from s3_manifest.reconcile.observe import Observer
from s3_manifest.reconcile.result import CommitResult
from s3_manifest.reconcile.working_set import WorkingSet
from s3_manifest.sidecars.applied import Observation, SidecarUpdate
from s3_manifest.sidecars.captions import can_have_caption, caption_candidates
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.storage import heads
from s3_manifest.storage.snapshot import BrokenObject, Snapshot
from s3_manifest.storage.store import Conflict, ReadFailed, iter_listings

MAX_PAGES = 32
"""Broken pages that are repaired one by one; with more, the whole manifest has to be rebuilt."""

_MAX_KEYS = 4 * layout.MAX_PAGE
"""Keys observed per lost page. A sweep finds the rest; until then the manifest is not complete."""

_PARALLEL_READS = 32


class TooManyBrokenPages(Exception):
    """The manifest has to be rebuilt."""


class _PageSummary(NamedTuple):
    """What the repair of another page needs to know of a healthy one."""

    generations: Counter[tuple[int | str, str]]
    captioned: tuple[str, ...]
    """Images whose prompt is from a caption."""


class _LostRange(NamedTuple):
    """A broken page and the filenames it covers: from ``first`` to before ``end`` (None: to the end).

    ``after`` is the last filename of the page before.
    """

    ref: PageRef
    after: str
    first: str
    end: str | None

    def covers(self, filename: str) -> bool:
        return filename >= self.first and (self.end is None or filename < self.end)


def repair(environment: Environment, collection: Collection, broken: Iterable[str]) -> CommitResult:
    """Replaces those of these pages that the manifest still refers to, and others found broken on the way.

    The result is ``finished`` if time sufficed. Raises ``TooManyBrokenPages``, ``BrokenObjects`` (a copy of a sidecar
    is broken as well), ``UnreadableManifest``, ``StoreError``.
    """
    result = CommitResult(collection)
    _Repair(environment, result, set(broken)).run(layout.MAX_PAGE)
    return result


@dataclass
class _Repair(Committer):
    """Keeps what one attempt has read for the next: pages are immutable, so each is read once."""

    broken: set[str]
    max_keys: int = _MAX_KEYS
    summaries: dict[str, _PageSummary] = field(default_factory=dict)

    def attempt(self, conflicts: int) -> bool:
        """One commit that replaces the broken pages."""
        environment, result, collection = self.environment, self.result, self.result.collection
        if conflicts > 2:  # a long observation keeps losing against short ones
            self.max_keys = max(1, self.max_keys // 2)
        snapshot = environment.load(collection)
        before = result.head = snapshot.head
        if before is None:
            return True
        self._read_healthy_pages(snapshot, before)
        ranges = _lost_ranges(before.pages, self.broken)
        if not ranges:
            return True
        now = environment.now()
        descriptions = snapshot.restored_descriptions()
        observations, failures, covers_all = self._observe(ranges)
        observed = [item.key for item in observations]
        healthy: list[Slot] = [page for page in before.pages if page.key not in self.broken]
        working_set = WorkingSet(snapshot, healthy or [LoadedRun(Run(), Totals())])
        names = affected_filenames(collection, observations, ())
        needed = (name for name in names if layout.needs_page(working_set.slots, name))
        working_set.read({*map(collection.filename, observed), *needed})
        if working_set.broken:
            self.broken |= working_set.broken.keys()
            raise Conflict(collection.head_key, "another page is broken since the pages were read")
        base = before.model_copy(update={"generations": self._recount(before.generations)})
        entries = working_set.entries(names)
        effect = SidecarEffect(SidecarUpdate(descriptions, before.sidecars, ()), {})
        candidates = (observations, _as_announced(observations))
        deltas = [diff(base, collection, entries, candidate, {}, effect) for candidate in candidates]
        commit_id = environment.commit_id()
        if restored := _restore(ranges, deltas, f"{collection.pages_folder}{commit_id}"):
            self.write(restored.values())
            refs = {lost: run.page_ref(key) for lost, (key, run) in restored.items()}
            pages = tuple(refs.get(page.key, page) for page in before.pages)
            update = {"pages": pages, "commit": commit_id, "last_synced": max(now, before.last_synced)}
            head = before.model_copy(update=update)
        else:
            delta = deltas[0]
            new_layout = working_set.lay_out(delta.changes, commit_id)
            facts = CommitFacts(commit_id, now, covers_all, is_repair=True)
            head = apply(base, collection, delta, new_layout, facts)
            head = head.model_copy(update={"generations": _keep_dates(head.generations, before.generations)})
            record = change_record(head, before, (), is_repair=True)  # what the revision changed is unknown
            self.write(new_layout.new, heads.history_objects(collection, head, record))
        self.save(snapshot, head, (), observed)
        result.add_failures(failures)
        return True

    def _read_healthy_pages(self, snapshot: Snapshot, head: Head) -> None:
        """Reads pages that no attempt has read, to count the files of each generation; finds other broken pages."""
        unread = [page for page in head.pages if page.key not in self.summaries and page.key not in self.broken]
        for start in range(0, len(unread), _PARALLEL_READS):
            refs = unread[start : start + _PARALLEL_READS]
            for ref, run in zip(refs, snapshot.examine_pages(refs), strict=True):
                if isinstance(run, BrokenObject):
                    self.broken.add(ref.key)
                else:
                    self.summaries[ref.key] = _summarize(run)
        if sum(page.key in self.broken for page in head.pages) > MAX_PAGES:
            head_key = snapshot.collection.head_key
            raise TooManyBrokenPages(f"{head_key}: more than {MAX_PAGES} of its pages are broken")
        for key in self.summaries.keys() - ({page.key for page in head.pages} - self.broken):
            del self.summaries[key]

    def _observe(self, ranges: Sequence[_LostRange]) -> tuple[list[Observation], list[ReadFailed], bool]:
        """Lists and observes the ranges, after the head was read; also returns whether that was everything."""
        collection = self.result.collection
        listed = [self._list(lost) for lost in ranges]
        covers_all = all(len(keys) <= self.max_keys for keys in listed)
        keys = [key for part in listed for key in part[: self.max_keys]]
        listed_keys = set(keys)
        # A caption that is gone is not listed, but the image that it described may be in another page.
        for summary in self.summaries.values():
            for filename in summary.captioned:
                captions = [name for name in caption_candidates(filename) if any(lost.covers(name) for lost in ranges)]
                if any(collection.prefix + caption not in listed_keys for caption in captions):
                    keys.append(collection.prefix + filename)
        observations, failures = Observer(self.environment, collection, self.result.md5s).observe(keys)
        self.result.observed += len(keys)
        return observations, failures, covers_all and not failures

    def _list(self, lost: _LostRange) -> list[str]:
        """The keys of files and captions in a range, in order; at most one listing more than ``max_keys``."""
        environment, collection, keys = self.environment, self.result.collection, list[str]()
        after = collection.prefix + lost.after if lost.after else ""
        for listing in iter_listings(environment.store(collection), collection.prefix, after):
            for key in environment.collections.own_keys(collection, listing.keys):
                filename = collection.filename(key)
                if lost.end is not None and filename >= lost.end:
                    return keys
                if filename >= lost.first and filename not in SIDECARS:
                    keys.append(key)
            if len(keys) > self.max_keys:
                break
        return keys

    def _recount(self, generations: Iterable[Generation]) -> tuple[Generation, ...]:
        """The generations with the files that the healthy pages have of them."""
        counts = sum((summary.generations for summary in self.summaries.values()), Counter[tuple[int | str, str]]())
        groups = (
            group.model_copy(update={"image_count": counts[group.generation_id, group.type]}) for group in generations
        )
        return tuple(group for group in groups if group.image_count or group.declared)


def _summarize(run: Run) -> _PageSummary:
    entries = list(run.entries())
    captioned = (entry for entry in entries if can_have_caption(entry.filename) and "prompt" in entry.overridden)
    return _PageSummary(
        Counter((entry.generation_id, entry.generation_type) for entry in entries if entry.is_file),
        tuple(entry.filename for entry in captioned),
    )


def _lost_ranges(refs: Sequence[PageRef], broken: set[str]) -> list[_LostRange]:
    """The ranges of the broken pages; none if the head holds all entries now."""
    ends = [*(ref.first for ref in refs[1:]), None]
    lasts = ["", *(ref.last for ref in refs[:-1])]
    return [
        _LostRange(ref, last, ref.first if last else "", end)
        for ref, last, end in zip(refs, lasts, ends, strict=False)
        if ref.key in broken
    ]


def _as_announced(observations: Iterable[Observation]) -> list[Observation]:
    """The observations as earlier versions recorded them, whose source was the event that came first."""

    def convert(item: Observation) -> Observation:
        if not isinstance(entry := item.state, Entry):
            return item
        generation_type = "s3_event" if entry.generation_type == entry.source else entry.generation_type
        return item._replace(state=entry.model_copy(update={"source": "s3_event", "generation_type": generation_type}))

    return list(map(convert, observations))


def _restore(ranges: Sequence[_LostRange], deltas: Sequence[Delta], name: str) -> dict[str, tuple[str, Run]]:
    """New pages that equal the lost ones, each by the lost one's key; none unless all do."""
    restored: dict[str, tuple[str, Run]] = {}
    for lost in ranges:
        for delta in deltas:
            if any(not any(other.covers(change.filename) for other in ranges) for change in delta.changes):
                return {}
            entries = {change.filename: change.after for change in delta.changes if lost.covers(change.filename)}
            run = Run([entry for _, entry in sorted(entries.items()) if entry])
            if len(run) and sha256_hex(run.page) == lost.ref.sha256:
                restored[lost.ref.key] = f"{name}-{len(restored)}.json", run
                break
        else:
            return {}
    return restored


def _keep_dates(generations: Iterable[Generation], before: Iterable[Generation]) -> tuple[Generation, ...]:
    """The generations, none younger than before, whether its first file is still known or not."""
    dates = {(group.generation_id, group.type): group.generated_at for group in before if not group.declared}

    def keep_date(group: Generation) -> Generation:
        date = dates.get((group.generation_id, group.type), group.generated_at)
        is_younger = not group.declared and date < group.generated_at
        return group.model_copy(update={"generated_at": date}) if is_younger else group

    return in_order(map(keep_date, generations))
