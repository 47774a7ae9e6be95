"""Compares the manifests with the plan: every file, every field."""

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from s3_manifest.aws.threads import parallel_map
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, Facts, UnreadableManifest
from s3_manifest.query.waiting import SYSTEM_CLOCK, Clock, poll_until
from s3_manifest.sidecars.content import NO_DESCRIPTION, FileDescription, SidecarContent
from s3_manifest.storage.store import Store, StoreError
from s3_manifest_cli.migration.plan import CollectionPlan, by_identity
from s3_manifest_cli.migration.remote import load_manifest
from s3_manifest_cli.terminal.output import progress_bar


class Verification(NamedTuple):
    """How a manifest differs from the plan: problems of files by name, and of the collection."""

    files: Mapping[str, str]
    problems: tuple[str, ...] = ()

    @property
    def is_verified(self) -> bool:
        """Whether it does not differ."""
        return not self.files and not self.problems


def verify(
    stores: Mapping[str, Store], plans: Sequence[CollectionPlan], seconds: float, clock: Clock = SYSTEM_CLOCK
) -> Mapping[Collection, Verification]:
    """Compares the manifests with the plans, repeatedly until they agree or so many seconds have passed.

    The deployed stack writes the manifests from the events of the migration, which takes some seconds.
    """
    verifications: dict[Collection, Verification] = {}
    pending = list(plans)
    with progress_bar("Verifying manifests", len(pending)) as advance:

        def verify_pending() -> Sequence[CollectionPlan]:
            results = parallel_map(lambda plan: _verify(stores[plan.collection.bucket], plan), pending)
            verifications.update((plan.collection, result) for plan, result in zip(pending, results, strict=True))
            advance(sum(result.is_verified for result in results), 0)
            pending[:] = [plan for plan in pending if not verifications[plan.collection].is_verified]
            return pending

        poll_until(verify_pending, operator.not_, seconds, clock)
    return verifications


def _verify(store: Store, plan: CollectionPlan) -> Verification:
    expected = plan.expected
    try:
        facts, entries = load_manifest(store, plan.collection)
    except (StoreError, UnreadableManifest) as error:
        return Verification({}, (str(error),))
    if not (plan.md5s or expected.title or expected.generations):
        return Verification({})
    if facts is None:
        return Verification({}, ("no manifest yet. Check that the stack watches this bucket, and run a rescan",))
    files = {
        name: "; ".join(problems)
        for name, md5 in plan.md5s.items()
        if (problems := list(_file_problems(entries.get(name), md5, expected.files.get(name, NO_DESCRIPTION))))
    }
    return Verification(files, tuple(_collection_problems(expected, facts)))


def _file_problems(entry: Entry | None, md5: str, description: FileDescription) -> Iterator[str]:
    if entry is None:
        yield "not in the manifest"
        return
    if entry.md5_hash != md5:
        yield f"the manifest has MD5 {entry.md5_hash} instead of {md5}"
    for name, value in description.model_dump(exclude_none=True).items():
        if getattr(entry, name) != value:
            yield f"the manifest has a different {name}"


def _collection_problems(expected: SidecarContent, facts: Facts) -> Iterator[str]:
    if expected.title and facts.title != expected.title:
        yield f"the manifest has the title {facts.title!r} instead of {expected.title!r}"
    current = by_identity(facts.generations)
    for identity, generation in by_identity(expected.generations).items():
        same = current.get(identity)
        if same is None or (same.generated_at, same.metadata) != (generation.generated_at, generation.metadata):
            yield f"the manifest has no generation {generation.type} {generation.generation_id} as declared"
