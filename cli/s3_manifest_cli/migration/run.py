"""The migration: read the tree, plan, carry out. Each step may be cut off at any moment and done again.

Nothing is remembered of an earlier run: the plan is made anew from what is there. An upload stores
what is not there, a sidecar is edited by compare-and-swap, and nothing is removed before it is verified.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from s3_manifest.edits import edits
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.storage.store import Store, StoreError
from s3_manifest_cli.migration import remote, tree
from s3_manifest_cli.migration.decode import decode
from s3_manifest_cli.migration.legacy import Document, Problem
from s3_manifest_cli.migration.merge import LegacyCollection, LegacyData, merge
from s3_manifest_cli.migration.plan import Choices, CollectionPlan, ImagePlan, plan
from s3_manifest_cli.migration.progress import progress
from s3_manifest_cli.migration.tree import Tree
from s3_manifest_cli.migration.upload import PutImage, upload

_THREADS = 16
_EDIT_SECONDS = 60.0

One = TypeVar("One")
Made = TypeVar("Made")


class MigrationPlan(NamedTuple):
    """All that is to be done, and what could not be read."""

    legacy: LegacyData
    parts: tuple[CollectionPlan, ...]
    problems: tuple[Problem, ...]

    @property
    def uploads(self) -> list[tuple[CollectionPlan, ImagePlan]]:
        """The images to be uploaded."""
        return [(part, item) for part in self.parts for item in part.uploads]

    @property
    def edits(self) -> list[CollectionPlan]:
        """The collections whose sidecars are to be edited."""
        return [part for part in self.parts if part.words]

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do."""
        return not self.uploads and not self.edits


def read(found: Tree, collections: Collections) -> tuple[LegacyData, list[Problem]]:
    """What the legacy files of the tree say, and what could not be read."""
    documents: list[Document] = []
    problems = list(found.problems)
    with progress("Reading legacy files", len(found.documents)) as told:
        for path in found.documents:
            try:
                documents.append(decode(path, tree.document(found, path)))
            except OSError as error:
                problems.append(_problem(path, error))
            told(1)
    return merge(documents, found.paths, collections), problems


def make_plan(found: Tree, collections: Collections, store: Store, choices: Choices) -> MigrationPlan:
    """What is to be done, from what is on disk and in S3 now. Changes nothing."""
    legacy, problems = read(found, collections)
    problems += legacy.problems
    images = [image for one in legacy.collections.values() for image in one.images.values() if image.path]
    md5s: dict[str, str] = {}

    def digest(path: str) -> Problem | None:
        try:
            md5s[path] = tree.md5(found, path)
        except OSError as error:
            return _problem(path, error)
        return None

    def compare(one: tuple[Collection, LegacyCollection]) -> CollectionPlan | Problem:
        collection, gathered = one
        try:
            there = remote.observe_collection(store, collection, gathered.images)
        except (StoreError, UnreadableManifest) as error:
            return Problem(path=collection.prefix, problem=str(error))
        return plan(collection, gathered, md5s, there, choices)

    failed = _each("Computing MD5s", digest, [image.path for image in images if image.path])
    problems += (one for one in failed if one)
    by_prefix = sorted(legacy.collections.items(), key=lambda one: one[0].prefix)
    compared = _each("Comparing with S3", compare, by_prefix)
    problems += (one for one in compared if isinstance(one, Problem))
    parts = tuple(one for one in compared if isinstance(one, CollectionPlan))
    return MigrationPlan(legacy, parts, tuple(problems))


def carry_out(found: Tree, planned: MigrationPlan, store: Store, put: PutImage, choices: Choices) -> list[Problem]:
    """Does what is planned; what failed, the rest is done all the same."""

    def store_image(one: tuple[CollectionPlan, ImagePlan]) -> Problem | None:
        part, item = one
        if item.upload is None:
            return None
        try:
            upload(store, put, part.collection.prefix + item.filename, tree.image(found, item.upload.path), item.upload)
        except (StoreError, OSError) as error:
            return _problem(item.upload.path, error)
        return None

    def edit(part: CollectionPlan) -> Problem | None:
        try:
            _edit(store, part, only_new=not choices.prefer_local)
        except (
            StoreError,
            edits.InvalidEdit,
            edits.UnreadableSidecar,
            edits.SidecarTooLarge,
            edits.TooManyConflicts,
        ) as error:
            return _problem(part.collection.prefix, error)
        return None

    failed = [*_each("Uploading images", store_image, planned.uploads), *_each("Writing sidecars", edit, planned.edits)]
    return [problem for problem in failed if problem]


def _edit(store: Store, part: CollectionPlan, *, only_new: bool) -> None:
    give_up = time.monotonic() + _EDIT_SECONDS
    retry_policy = edits.RetryPolicy(
        sleep=time.sleep,
        random=random.random,
        seconds_left=lambda: give_up - time.monotonic(),
        now_ms=lambda: int(time.time() * 1000),
    )
    words = part.words
    if words.files:
        edits.update_descriptions(store, part.collection, words.files, retry_policy, only_new=only_new)
    if words.title:
        edits.set_title(store, part.collection, words.title, retry_policy, only_new=only_new)
    if words.generations:
        edits.declare_generations(store, part.collection, words.generations, retry_policy, only_new=only_new)


def _each(doing: str, work: Callable[[One], Made], items: Iterable[One]) -> list[Made]:
    todo: Sequence[One] = list(items)
    with progress(doing, len(todo)) as told, ThreadPoolExecutor(_THREADS) as pool:
        try:
            return list(pool.map(lambda one: _counted(work, one, told), todo))
        except BaseException:
            # After Ctrl-C what has begun is finished, and no more.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _counted(work: Callable[[One], Made], one: One, told: Callable[[int], None]) -> Made:
    made = work(one)
    told(1)
    return made


def _problem(path: str, error: Exception) -> Problem:
    reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return Problem(path=path, problem=f"it cannot be read: {reason}" if isinstance(error, OSError) else reason)
