"""Whether the manifests say what the tree did: file by file, word by word."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from s3_manifest.aws.threads import each
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.sidecars.formats import FileDescription
from s3_manifest.storage.store import Store, StoreError
from s3_manifest_cli.migration.plan import CollectionPlan
from s3_manifest_cli.migration.progress import progress
from s3_manifest_cli.migration.remote import Manifest, manifest

_POLL_SECONDS = 1.0


class Clock(NamedTuple):
    """What waiting takes."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


CLOCK = Clock()


class Verification(NamedTuple):
    """What a collection's manifest says otherwise than it should: of files by name, and of the rest."""

    files: Mapping[str, str]
    rest: tuple[str, ...] = ()

    @property
    def is_verified(self) -> bool:
        """Whether it says all of it."""
        return not self.files and not self.rest


def verify(
    store: Store, parts: Sequence[CollectionPlan], seconds: float, clock: Clock = CLOCK
) -> Mapping[Collection, Verification]:
    """Compares the manifests with what is expected of them until they say it, at most for so long.

    The deployed stack writes them, from the events that the migration made: that takes it some seconds.
    """
    give_up = clock.monotonic() + seconds
    checked: dict[Collection, Verification] = {}
    waiting = list(parts)
    with progress("Verifying manifests", len(waiting)) as told:
        while True:
            found = each(lambda part: _check(store, part), waiting)
            checked |= {part.collection: one for part, one in zip(waiting, found, strict=True)}
            told(sum(one.is_verified for one in found))
            waiting = [part for part in waiting if not checked[part.collection].is_verified]
            if not waiting or clock.monotonic() >= give_up:
                return checked
            clock.sleep(_POLL_SECONDS)


def _check(store: Store, part: CollectionPlan) -> Verification:
    try:
        found = manifest(store, part.collection)
    except (StoreError, UnreadableManifest) as error:
        return Verification({}, (str(error),))
    return check(part, found)


def check(part: CollectionPlan, found: Manifest | None) -> Verification:
    """What the manifest of a collection says otherwise than the plan expects."""
    expected = part.expected
    if not (expected.md5s or expected.title or expected.generations):
        return Verification({})
    if found is None:
        return Verification({}, ("there is no manifest; is the stack deployed for this bucket? A rescan makes one",))
    files = {name: "; ".join(wrong) for name in expected.md5s if (wrong := list(_file(name, part, found)))}
    return Verification(files, tuple(_rest(part, found)))


def _file(filename: str, part: CollectionPlan, found: Manifest) -> Iterator[str]:
    entry = found.entries.get(filename)
    if entry is None:
        yield "it is not in the manifest"
        return
    if entry.md5_hash != (md5 := part.expected.md5s[filename]):
        yield f"the manifest has MD5 {entry.md5_hash}, and not {md5}"
    said = part.expected.files.get(filename, FileDescription())
    for name, value in said.model_dump(exclude_none=True).items():
        if getattr(entry, name) != value:
            yield f"the manifest has another {name}"


def _rest(part: CollectionPlan, found: Manifest) -> Iterator[str]:
    expected = part.expected
    if expected.title and found.facts.title != expected.title:
        yield f"the manifest has the title {found.facts.title!r}, and not {expected.title!r}"
    said = {(one.generation_id, one.type): one for one in found.facts.generations}
    for one in expected.generations:
        there = said.get((one.generation_id, one.type))
        if there is None or (there.generated_at, there.metadata) != (one.generated_at, one.metadata):
            yield f"the manifest does not have generation {one.type} {one.generation_id} as it is declared"
