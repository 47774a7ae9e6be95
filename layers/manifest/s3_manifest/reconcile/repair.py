"""Pages that are missing or damaged, replaced by what S3 says of their range of filenames.

It is a commit like any other: load the head, then list the range and observe every key in it, compare-and-swap.
What the lost page said is not known any more. Where the new page is, byte for byte, the one that the head
refers to, nothing was lost but an object, and the history goes on. Where it is not, a new history begins:
whoever follows the manifest has to read it again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

from s3_manifest.manifest import layout
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.layout import Open, Slot
from s3_manifest.manifest.model import Entry, Generation, Head, PageRef, Source
from s3_manifest.manifest.runs import Run, encode_page, sha256_of
from s3_manifest.reconcile.commit import CommitResult, back_off, note, objects_of
from s3_manifest.reconcile.entries import UNDECLARED_GENERATION
from s3_manifest.reconcile.environment import RESERVE_SECONDS, Environment
from s3_manifest.reconcile.lease import lease
from s3_manifest.reconcile.merge import Delta, affected_filenames, merge, record_of, told
from s3_manifest.reconcile.observe import observe
from s3_manifest.reconcile.opening import WorkingSet, entries_of
from s3_manifest.sidecars.descriptions import Observation, Revision
from s3_manifest.sidecars.formats import SIDECARS, captions_of, is_captioned
from s3_manifest.storage import heads, pages
from s3_manifest.storage.pages import Broken
from s3_manifest.storage.store import Conflict, OutcomeUnknown, ReadFailed, listings

MAX_PAGES = 32
"""More pages than this are not repaired one by one: the whole manifest is then to be rebuilt."""

_MAX_KEYS = 4 * layout.MAX_PAGE
"""Keys observed for one lost page. What lies beyond is left to the sweep; until then the manifest is not complete."""

_READ_AT_ONCE = 32


class TooManyBrokenPages(Exception):
    """So many pages are broken that the manifest is to be rebuilt."""


class _Contents(NamedTuple):
    """What of a healthy page a repair of others has to know."""

    generations: Counter[tuple[int | str, str]]
    described_by_captions: tuple[str, ...]
    """The filenames of images that go by a caption."""


class _Range(NamedTuple):
    """A broken page, and the filenames that are its own: from ``begins`` on, and before ``ends`` (None: to the end).

    ``after`` is the last filename of the page before.
    """

    ref: PageRef
    after: str
    begins: str
    ends: str | None

    def holds(self, filename: str) -> bool:
        return filename >= self.begins and (self.ends is None or filename < self.ends)


@dataclass
class _Work:
    """What is kept from one attempt to the next: pages never change, so they are read once."""

    broken: set[str]
    most: int = _MAX_KEYS
    contents: dict[str, _Contents] = field(default_factory=dict)


def repair(environment: Environment, collection: Collection, broken: Iterable[str]) -> CommitResult:
    """Replaces those of these pages that the manifest still refers to, and others found broken on the way.

    ``finished`` says whether time sufficed. Raises ``TooManyBrokenPages``, ``BrokenObjects`` (a copy of a sidecar
    is broken as well), ``UnreadableManifest``, ``StoreError``.
    """
    outcome, work = CommitResult(collection), _Work(set(broken))
    lost_in_a_row = 0
    while environment.seconds_left() >= RESERVE_SECONDS:
        try:
            with lease(environment, collection, layout.MAX_PAGE, retrying=lost_in_a_row > 0):
                _attempt(environment, outcome, work)
        except (Conflict, OutcomeUnknown) as lost:
            outcome.conflicts += 1
            outcome.unannounced |= isinstance(lost, OutcomeUnknown)
            lost_in_a_row += 1
            if lost_in_a_row > 2:  # a long observation keeps losing against short ones
                work.most = max(1, work.most // 2)
            back_off(environment, lost_in_a_row)
            continue
        if outcome.unannounced and outcome.head:
            environment.announce(outcome.head, (), repeated=True)
            outcome.unannounced = False
        outcome.finished = True
        break
    return outcome


def _attempt(environment: Environment, outcome: CommitResult, work: _Work) -> None:
    collection, store = outcome.collection, environment.store
    loaded = heads.load(store, collection)
    before = outcome.head = loaded.head
    if before is None:
        return
    _read_healthy(environment, collection, loaded, before, work)
    ranges = _ranges(before.pages, work.broken)
    if not ranges:
        return
    now = environment.now()
    opener = WorkingSet(environment, collection, loaded)
    descriptions = opener.descriptions()
    seen, failures, covers_all = _observe(environment, outcome, work, ranges)
    healthy: list[Slot] = [page for page in before.pages if page.key not in work.broken]
    slots = healthy or [Open(Run(), 0, 0, 0)]
    names = affected_filenames(collection, seen, ())
    own = {collection.filename(one.key) for one in seen}
    wanted = {layout.slot_of(slots, name) for name in names if name in own or layout.is_out(slots, name)}
    slots = opener.opened(slots, wanted)
    if opener.broken:
        work.broken |= opener.broken.keys()
        raise Conflict(collection.head_key, "one more of its pages was broken since they were read")
    base = before.model_copy(update={"generations": _recounted(before.generations, work)})
    known = entries_of(slots, names)

    def told_of(observed: Sequence[Observation]) -> Delta:
        revision = Revision(descriptions, before.sidecars, ())
        return told(base, collection, known, observed, {}, revision=revision, concerned={})

    by_source = {source: told_of(_as_from(source, seen)) for source in get_args(Source)}
    commit_id = environment.commit_id()
    if restored := _restored(ranges, by_source, f"{collection.folder}pages/{commit_id}"):
        head = _with_pages(before, {ref.key: run.ref(key) for ref, key, run in restored}, commit_id, now)
        environment.each(lambda one: store.add(one[1], encode_page(one[2])), restored)
        heads.save(store, collection, head, replaces=loaded.etag)
        note(environment, outcome, head, (), [one.key for one in seen], failures, created=False, raised=False)
        return
    news = by_source[_likely_source(before, base)]
    laid_out = opener.laid_out(slots, news, commit_id)
    head = merge(
        base,
        collection,
        environment.location.bucket,
        news,
        laid_out,
        commit=commit_id,
        now=now,
        complete=covers_all,
        is_repair=True,
    )
    head = head.model_copy(update={"generations": _as_old_as_before(head.generations, before.generations)})
    record = record_of(head, before, (), is_repair=True)  # of entries, nobody knows what it altered
    environment.each(lambda one: store.add(*one), list(objects_of(collection, head, laid_out, record)))
    heads.save(store, collection, head, replaces=loaded.etag)
    note(environment, outcome, head, (), [one.key for one in seen], failures, created=False, raised=True)


def _read_healthy(
    environment: Environment, collection: Collection, loaded: heads.Loaded, head: Head, work: _Work
) -> None:
    """Reads the pages not read so far: the files of the generations are counted anew. Finds what else is broken."""
    todo = [page for page in head.pages if page.key not in work.contents and page.key not in work.broken]
    for start in range(0, len(todo), _READ_AT_ONCE):
        refs = todo[start : start + _READ_AT_ONCE]
        found = pages.examine(environment.store, environment.each, collection, loaded, refs)
        for ref, run in zip(refs, found, strict=True):
            if isinstance(run, Broken):
                work.broken.add(ref.key)
            else:
                work.contents[ref.key] = _contents(run)
    if sum(page.key in work.broken for page in head.pages) > MAX_PAGES:
        raise TooManyBrokenPages(f"{collection.head_key}: more than {MAX_PAGES} of its pages are broken")
    for key in work.contents.keys() - ({page.key for page in head.pages} - work.broken):
        del work.contents[key]


def _contents(run: Run) -> _Contents:
    generations: Counter[tuple[int | str, str]] = Counter()
    captioned: list[str] = []
    for entry in run.entries():
        if entry.is_file:
            generations[entry.generation_id, entry.generation_type] += 1
        if is_captioned(entry.filename) and "prompt" in entry.overridden:
            captioned.append(entry.filename)
    return _Contents(generations, tuple(captioned))


def _ranges(refs: Sequence[PageRef], broken: set[str]) -> list[_Range]:
    if not refs:  # all is in the head by now
        return []
    ends = [*(ref.first for ref in refs[1:]), None]
    lasts = ["", *(ref.last for ref in refs[:-1])]
    return [
        _Range(ref, last, ref.first if index else "", end)
        for index, (ref, last, end) in enumerate(zip(refs, lasts, ends, strict=True))
        if ref.key in broken
    ]


def _observe(
    environment: Environment, outcome: CommitResult, work: _Work, ranges: Sequence[_Range]
) -> tuple[list[Observation], list[ReadFailed], bool]:
    """What is in S3 in these ranges, and whether that is all: listed and observed after the head was read."""
    collection = outcome.collection
    keys: list[str] = []
    covers_all = True
    for one in ranges:
        found = _listed(environment, collection, one, work.most)
        covers_all &= len(found) <= work.most
        keys += found[: work.most]
    listed = set(keys)
    # Of a caption that is gone nothing is listed; the images that it described are in the other pages.
    for contents in work.contents.values():
        for filename in contents.described_by_captions:
            captions = [caption for caption in captions_of(filename) if any(one.holds(caption) for one in ranges)]
            if any(collection.prefix + caption not in listed for caption in captions):
                keys.append(collection.prefix + filename)
    seen, failures = observe(environment, collection, keys, {}, outcome.md5s)
    outcome.observed += len(keys)
    return seen, failures, covers_all and not failures


def _listed(environment: Environment, collection: Collection, within: _Range, most: int) -> list[str]:
    """The keys of files and captions in a range, in order; one more than ``most`` of them, if there are."""
    keys: list[str] = []
    after = collection.prefix + within.after if within.after else ""
    for listing in listings(environment.store, collection.prefix, after):
        for key in environment.collections.own_keys(collection, listing.keys):
            filename = collection.filename(key)
            if within.ends is not None and filename >= within.ends:
                return keys
            if filename >= within.begins and filename not in SIDECARS:
                keys.append(key)
        if len(keys) > most:
            break
    return keys


def _as_from(source: Source, seen: Sequence[Observation]) -> list[Observation]:
    """What was seen, as if this had made us look: S3 does not tell what did, when an entry was made."""

    def of(entry: Entry) -> Entry:
        is_undeclared = entry.generation_type == entry.source
        return entry.model_copy(
            update={"source": source, "generation_type": source if is_undeclared else entry.generation_type}
        )

    return [one._replace(what=of(one.what)) if isinstance(one.what, Entry) else one for one in seen]


def _restored(
    ranges: Sequence[_Range], by_source: Mapping[Source, Delta], name: str
) -> list[tuple[PageRef, str, Run]] | None:
    """The lost pages, each with the key and run of the new one; None unless all are, byte for byte, as they were."""
    made: list[tuple[PageRef, str, Run]] = []
    for one in ranges:
        for news in by_source.values():
            if any(not any(other.holds(change.filename) for other in ranges) for change in news.alterations):
                return None
            entries = {change.filename: change.after for change in news.alterations if one.holds(change.filename)}
            run = Run([entry for _, entry in sorted(entries.items()) if entry])
            if len(run) and sha256_of(run.page) == one.ref.sha256:
                made.append((one.ref, f"{name}-{len(made)}.json", run))
                break
        else:
            return None
    return made


def _with_pages(before: Head, refs: Mapping[str, PageRef], commit: str, now: str) -> Head:
    """The head with these pages in place of those with these keys: it says what it said before."""
    changed = {"pages": tuple(refs.get(page.key, page) for page in before.pages), "commit": commit}
    return before.model_copy(update=changed | {"last_synced": max(now, before.last_synced)})


def _recounted(generations: Iterable[Generation], work: _Work) -> tuple[Generation, ...]:
    """The generations with the files that the healthy pages have of them."""
    counts: Counter[tuple[int | str, str]] = Counter()
    for contents in work.contents.values():
        counts += contents.generations
    groups = [
        group.model_copy(update={"image_count": counts[group.generation_id, group.type]}) for group in generations
    ]
    return tuple(group for group in groups if group.image_count or group.declared)


def _as_old_as_before(generations: Iterable[Generation], before: Iterable[Generation]) -> tuple[Generation, ...]:
    """The generations, none of them younger than it was, whether its first file is still known or not."""
    known = {(one.generation_id, one.type): one for one in before if not one.declared}

    def aged(group: Generation) -> Generation:
        was = known.get((group.generation_id, group.type))
        if was is None or group.declared or was.generated_at >= group.generated_at:
            return group
        return group.model_copy(update={"generated_at": was.generated_at})

    return tuple(sorted(map(aged, generations), key=lambda g: (g.generated_at, g.type, str(g.generation_id))))


def _likely_source(before: Head, base: Head) -> Source:
    """What made us look at most files of the lost pages, by the counts of those that no generation was declared for."""

    def undeclared(head: Head, source: Source) -> int:
        counts = (one.image_count for one in head.generations if (one.generation_id, one.type) == _undeclared(source))
        return sum(counts)

    return max(get_args(Source), key=lambda source: undeclared(before, source) - undeclared(base, source))


def _undeclared(source: Source) -> tuple[int, str]:
    return UNDECLARED_GENERATION, source
