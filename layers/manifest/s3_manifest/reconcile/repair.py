"""Replaces missing or damaged pages by what S3 holds in their range of filenames.

A repair is a commit like any other: load the head, then list the range and observe every key in it, then
compare-and-swap. The content of the lost page is unknown. If the new page equals, byte for byte, the one that the head
refers to, only an object was lost, and the history continues. Otherwise a new history begins, and followers have to
read the manifest again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, get_args

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.layout import LoadedRun, Slot
from s3_manifest.manifest.model import Entry, Generation, Head, PageRef, Source
from s3_manifest.manifest.runs import Run, sha256_hex
from s3_manifest.reconcile.commit import manifest_objects
from s3_manifest.reconcile.delta import (
    CommitFacts,
    Delta,
    SidecarEffect,
    affected_filenames,
    apply,
    change_record,
    diff,
)
from s3_manifest.reconcile.entries import UNDECLARED_GENERATION
from s3_manifest.reconcile.environment import RESERVE_SECONDS, Environment
from s3_manifest.reconcile.lease import lease
from s3_manifest.reconcile.observe import Observer
from s3_manifest.reconcile.result import CommitResult, announce, announce_again, back_off
from s3_manifest.reconcile.working_set import WorkingSet
from s3_manifest.sidecars.applied import Observation, SidecarUpdate
from s3_manifest.sidecars.captions import can_have_caption, caption_candidates
from s3_manifest.sidecars.formats import SIDECARS
from s3_manifest.storage import heads
from s3_manifest.storage.snapshot import BrokenObject, Snapshot
from s3_manifest.storage.store import Conflict, OutcomeUnknown, ReadFailed, iter_listings

MAX_PAGES = 32
"""Broken pages that are repaired one by one; with more, the whole manifest has to be rebuilt."""

_MAX_KEYS = 4 * layout.MAX_PAGE
"""Keys observed per lost page. A sweep finds the rest; until then the manifest is not complete."""

_PARALLEL_READS = 32

_GenerationKey = tuple[int | str, str]


class TooManyBrokenPages(Exception):
    """The manifest has to be rebuilt."""


class _PageSummary(NamedTuple):
    """What the repair of another page needs to know of a healthy one."""

    generations: Counter[_GenerationKey]
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


class _RestoredPage(NamedTuple):
    """A new page that equals the lost one."""

    lost: PageRef
    key: str
    run: Run


def repair(environment: Environment, collection: Collection, broken: Iterable[str]) -> CommitResult:
    """Replaces those of these pages that the manifest still refers to, and others found broken on the way.

    The result is ``finished`` if time sufficed. Raises ``TooManyBrokenPages``, ``BrokenObjects`` (a copy of a sidecar
    is broken as well), ``UnreadableManifest``, ``StoreError``.
    """
    result = CommitResult(collection)
    attempts, conflicts = _Repair(environment, result, set(broken)), 0
    while environment.seconds_left() >= RESERVE_SECONDS:
        try:
            with lease(environment, collection, layout.MAX_PAGE, retrying=conflicts > 0):
                attempts.attempt()
        except (Conflict, OutcomeUnknown) as error:
            result.add_conflict(error)
            conflicts += 1
            if conflicts > 2:  # a long observation keeps losing against short ones
                attempts.max_keys = max(1, attempts.max_keys // 2)
            back_off(environment, conflicts)
            continue
        announce_again(environment, result)
        result.finished = True
        break
    return result


class _Repair:
    """Keeps what one attempt has read for the next: pages are immutable, so each is read once."""

    def __init__(self, environment: Environment, result: CommitResult, broken: set[str]) -> None:
        self.max_keys = _MAX_KEYS
        self._environment = environment
        self._collection = result.collection
        self._result = result
        self._broken = broken
        self._summaries: dict[str, _PageSummary] = {}

    def attempt(self) -> None:
        """One commit that replaces the broken pages."""
        environment, collection, result = self._environment, self._collection, self._result
        snapshot = environment.load(collection)
        before = result.head = snapshot.head
        if before is None:
            return
        self._read_healthy_pages(snapshot, before)
        ranges = _lost_ranges(before.pages, self._broken)
        if not ranges:
            return
        now = environment.now()
        descriptions = snapshot.restored_descriptions()
        observations, failures, covers_all = self._observe(ranges)
        healthy: list[Slot] = [page for page in before.pages if page.key not in self._broken]
        working_set = WorkingSet(snapshot, healthy or [LoadedRun(Run(), 0, 0, 0)])
        names = affected_filenames(collection, observations, ())
        working_set.read(
            {collection.filename(item.key) for item in observations}
            | {name for name in names if layout.needs_page(working_set.slots, name)}
        )
        if working_set.broken:
            self._broken |= working_set.broken.keys()
            raise Conflict(collection.head_key, "another page is broken since the pages were read")
        base = before.model_copy(update={"generations": self._recount(before.generations)})
        entries = working_set.entries(names)
        effect = SidecarEffect(SidecarUpdate(descriptions, before.sidecars, ()), {})
        deltas = {
            source: diff(base, collection, entries, _with_source(source, observations), {}, effect)
            for source in get_args(Source)
        }
        commit_id = environment.commit_id()
        if restored := _restore(ranges, deltas, f"{collection.folder}pages/{commit_id}"):
            refs = {page.lost.key: page.run.page_ref(page.key) for page in restored}
            head = _replace_pages(before, refs, commit_id, now)
            objects = [(page.key, page.run.page) for page in restored]
        else:
            delta = deltas[_likely_source(before, base)]
            new_layout = working_set.lay_out(delta.changes, commit_id)
            facts = CommitFacts(commit_id, now, covers_all, is_repair=True)
            head = apply(base, collection, environment.location.bucket, delta, new_layout, facts)
            head = head.model_copy(update={"generations": _keep_dates(head.generations, before.generations)})
            record = change_record(head, before, (), is_repair=True)  # what the revision changed is unknown
            objects = list(manifest_objects(collection, head, new_layout, record))
        environment.parallel_map(lambda item: environment.store.add(*item), objects)
        heads.save(environment.store, collection, head, replaces=snapshot.etag)
        result.add_commit(before, head, ())
        result.add_failures(failures)
        result.committed_at |= dict.fromkeys((item.key for item in observations), environment.now())
        announce(environment, result, before, ())

    def _read_healthy_pages(self, snapshot: Snapshot, head: Head) -> None:
        """Reads pages that no attempt has read, to count the files of each generation; finds other broken pages."""
        unread = [page for page in head.pages if page.key not in self._summaries and page.key not in self._broken]
        for start in range(0, len(unread), _PARALLEL_READS):
            refs = unread[start : start + _PARALLEL_READS]
            for ref, run in zip(refs, snapshot.examine_pages(refs), strict=True):
                if isinstance(run, BrokenObject):
                    self._broken.add(ref.key)
                else:
                    self._summaries[ref.key] = _summarize(run)
        if sum(page.key in self._broken for page in head.pages) > MAX_PAGES:
            raise TooManyBrokenPages(f"{self._collection.head_key}: more than {MAX_PAGES} of its pages are broken")
        for key in self._summaries.keys() - ({page.key for page in head.pages} - self._broken):
            del self._summaries[key]

    def _observe(self, ranges: Sequence[_LostRange]) -> tuple[list[Observation], list[ReadFailed], bool]:
        """Lists and observes the ranges, after the head was read; also returns whether that was everything."""
        collection = self._collection
        keys: list[str] = []
        covers_all = True
        for lost in ranges:
            listed = self._list(lost)
            covers_all &= len(listed) <= self.max_keys
            keys += listed[: self.max_keys]
        listed_keys = set(keys)
        # A caption that is gone is not listed, but the image that it described may be in another page.
        for summary in self._summaries.values():
            for filename in summary.captioned:
                captions = [name for name in caption_candidates(filename) if any(lost.covers(name) for lost in ranges)]
                if any(collection.prefix + caption not in listed_keys for caption in captions):
                    keys.append(collection.prefix + filename)
        observations, failures = Observer(self._environment, collection, {}, self._result.md5s).observe(keys)
        self._result.observed += len(keys)
        return observations, failures, covers_all and not failures

    def _list(self, lost: _LostRange) -> list[str]:
        """The keys of files and captions in a range, in order; at most one listing more than ``max_keys``."""
        collection, keys = self._collection, list[str]()
        after = collection.prefix + lost.after if lost.after else ""
        for listing in iter_listings(self._environment.store, collection.prefix, after):
            for key in self._environment.collections.own_keys(collection, listing.keys):
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
        counts: Counter[_GenerationKey] = Counter()
        for summary in self._summaries.values():
            counts += summary.generations
        groups = [
            group.model_copy(update={"image_count": counts[group.generation_id, group.type]}) for group in generations
        ]
        return tuple(group for group in groups if group.image_count or group.declared)


def _summarize(run: Run) -> _PageSummary:
    generations: Counter[_GenerationKey] = Counter()
    captioned: list[str] = []
    for entry in run.entries():
        if entry.is_file:
            generations[entry.generation_id, entry.generation_type] += 1
        if can_have_caption(entry.filename) and "prompt" in entry.overridden:
            captioned.append(entry.filename)
    return _PageSummary(generations, tuple(captioned))


def _lost_ranges(refs: Sequence[PageRef], broken: set[str]) -> list[_LostRange]:
    if not refs:  # the head holds all entries now
        return []
    ends = [*(ref.first for ref in refs[1:]), None]
    lasts = ["", *(ref.last for ref in refs[:-1])]
    return [
        _LostRange(ref, last, ref.first if index else "", end)
        for index, (ref, last, end) in enumerate(zip(refs, lasts, ends, strict=True))
        if ref.key in broken
    ]


def _with_source(source: Source, observations: Sequence[Observation]) -> list[Observation]:
    """The observations as if made for this reason: S3 does not record why an entry was observed first."""

    def convert(entry: Entry) -> Entry:
        is_undeclared = entry.generation_type == entry.source
        generation_type = source if is_undeclared else entry.generation_type
        return entry.model_copy(update={"source": source, "generation_type": generation_type})

    return [
        item._replace(state=convert(item.state)) if isinstance(item.state, Entry) else item for item in observations
    ]


def _restore(ranges: Sequence[_LostRange], deltas: Mapping[Source, Delta], name: str) -> list[_RestoredPage] | None:
    """New pages that equal the lost ones; None unless all do."""
    restored: list[_RestoredPage] = []
    for lost in ranges:
        for delta in deltas.values():
            if any(not any(other.covers(change.filename) for other in ranges) for change in delta.changes):
                return None
            entries = {change.filename: change.after for change in delta.changes if lost.covers(change.filename)}
            run = Run([entry for _, entry in sorted(entries.items()) if entry])
            if len(run) and sha256_hex(run.page) == lost.ref.sha256:
                restored.append(_RestoredPage(lost.ref, f"{name}-{len(restored)}.json", run))
                break
        else:
            return None
    return restored


def _replace_pages(before: Head, refs: Mapping[str, PageRef], commit: str, now: str) -> Head:
    """The head with some pages replaced by equal ones, by key."""
    pages = tuple(refs.get(page.key, page) for page in before.pages)
    return before.model_copy(update={"pages": pages, "commit": commit, "last_synced": max(now, before.last_synced)})


def _keep_dates(generations: Iterable[Generation], before: Iterable[Generation]) -> tuple[Generation, ...]:
    """The generations, none younger than before, whether its first file is still known or not."""
    known = {(group.generation_id, group.type): group for group in before if not group.declared}

    def keep_date(group: Generation) -> Generation:
        earlier = known.get((group.generation_id, group.type))
        if earlier is None or group.declared or earlier.generated_at >= group.generated_at:
            return group
        return group.model_copy(update={"generated_at": earlier.generated_at})

    return tuple(sorted(map(keep_date, generations), key=lambda g: (g.generated_at, g.type, str(g.generation_id))))


def _likely_source(before: Head, base: Head) -> Source:
    """The source of most files of the lost pages, by the counts of their undeclared generations."""

    def count(head: Head, source: Source) -> int:
        key = (UNDECLARED_GENERATION, source)
        return sum(group.image_count for group in head.generations if (group.generation_id, group.type) == key)

    return max(get_args(Source), key=lambda source: count(before, source) - count(base, source))
