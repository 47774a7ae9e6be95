"""Plans and executes the migration of a tree. Every step can be interrupted at any moment and run again.

No state is kept between runs: each plan is made from what is on disk and in S3. Uploads are conditional, sidecars are
edited by compare-and-swap, and nothing is deleted before it is verified.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from s3_manifest.edits.collection_json import declare_generations, set_title
from s3_manifest.edits.prompt_metadata import update_descriptions
from s3_manifest.edits.sidecar_editor import (
    InvalidEdit,
    RetryPolicy,
    SidecarEditor,
    SidecarTooLarge,
    TooManyConflicts,
    UnreadableSidecar,
)
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.storage.store import Store, StoreError
from s3_manifest_cli.migration import remote
from s3_manifest_cli.migration.decode import decode
from s3_manifest_cli.migration.legacy import Document, Problem, Tree
from s3_manifest_cli.migration.merge import LegacyCollection, LegacyData, merge
from s3_manifest_cli.migration.plan import CollectionPlan, ImagePlan, MigrationOptions, plan
from s3_manifest_cli.terminal.progress import progress_bar

_THREADS = 16
_EDIT_SECONDS = 60.0

Item = TypeVar("Item")
Result = TypeVar("Result")


class MigrationPlan(NamedTuple):
    """What has to be done, and what could not be read."""

    legacy: LegacyData
    collections: tuple[CollectionPlan, ...]
    problems: tuple[Problem, ...]

    @property
    def uploads(self) -> list[tuple[CollectionPlan, ImagePlan]]:
        """The images to upload."""
        return [(collection, image) for collection in self.collections for image in collection.uploads]

    @property
    def edits(self) -> list[CollectionPlan]:
        """The collections whose sidecars have to be edited."""
        return [collection for collection in self.collections if collection.edits]

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do."""
        return not self.uploads and not self.edits


def read(tree: Tree, collections: Collections) -> tuple[LegacyData, list[Problem]]:
    """The merged content of the legacy files, and what could not be read."""
    documents: list[Document] = []
    problems = list(tree.problems)
    with progress_bar("Reading legacy files", len(tree.documents)) as advance:
        for path in tree.documents:
            try:
                documents.append(decode(path, tree.read_document(path)))
            except OSError as error:
                problems.append(_problem(path, error))
            advance(1, 0)
    return merge(documents, tree.paths, collections), problems


def make_plan(tree: Tree, collections: Collections, store: Store, options: MigrationOptions) -> MigrationPlan:
    """Plans the migration from what is on disk and in S3 now. Changes nothing."""
    legacy, problems = read(tree, collections)
    problems += legacy.problems
    md5s: dict[str, str] = {}

    def compute_md5(path: str) -> Problem | None:
        try:
            md5s[path] = tree.md5(path)
        except OSError as error:
            return _problem(path, error)
        return None

    def compare(entry: tuple[Collection, LegacyCollection]) -> CollectionPlan | Problem:
        collection, legacy_collection = entry
        try:
            observed = remote.observe_collection(store, collection, legacy_collection.images)
        except (StoreError, UnreadableManifest) as error:
            return Problem(path=collection.prefix, problem=str(error))
        return plan(collection, legacy_collection, md5s, observed, options)

    paths = [image.path for entry in legacy.collections.values() for image in entry.images.values() if image.path]
    problems += filter(None, _in_parallel("Computing MD5s", compute_md5, paths))
    by_prefix = sorted(legacy.collections.items(), key=lambda entry: entry[0].prefix)
    compared = _in_parallel("Comparing with S3", compare, by_prefix)
    problems += (result for result in compared if isinstance(result, Problem))
    plans = tuple(result for result in compared if isinstance(result, CollectionPlan))
    return MigrationPlan(legacy, plans, tuple(problems))


def execute(
    tree: Tree,
    migration_plan: MigrationPlan,
    store: Store,
    upload_image: remote.UploadImage,
    options: MigrationOptions,
) -> list[Problem]:
    """Executes the plan. Returns what failed; the rest is done."""

    def upload(entry: tuple[CollectionPlan, ImagePlan]) -> Problem | None:
        collection_plan, image = entry
        if image.upload is None:
            return None
        try:
            with tree.open(image.upload.path) as file:
                upload_image(collection_plan.collection.prefix + image.filename, file, image.upload)
        except (StoreError, OSError) as error:
            return _problem(image.upload.path, error)
        return None

    def edit(collection_plan: CollectionPlan) -> Problem | None:
        try:
            _edit(store, collection_plan, only_new=not options.prefer_local)
        except (StoreError, InvalidEdit, UnreadableSidecar, SidecarTooLarge, TooManyConflicts) as error:
            return _problem(collection_plan.collection.prefix, error)
        return None

    failed = [
        *_in_parallel("Uploading images", upload, migration_plan.uploads),
        *_in_parallel("Writing sidecars", edit, migration_plan.edits),
    ]
    return [problem for problem in failed if problem]


def _edit(store: Store, collection_plan: CollectionPlan, *, only_new: bool) -> None:
    deadline = time.monotonic() + _EDIT_SECONDS
    policy = RetryPolicy(seconds_left=lambda: deadline - time.monotonic())
    editor, changes = SidecarEditor(store, collection_plan.collection, policy), collection_plan.edits
    if changes.files:
        update_descriptions(editor, changes.files, only_new=only_new)
    if changes.title:
        set_title(editor, changes.title, only_new=only_new)
    if changes.generations:
        declare_generations(editor, changes.generations, only_new=only_new)


def _in_parallel(label: str, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    items = list(items)
    with progress_bar(label, len(items)) as advance, ThreadPoolExecutor(_THREADS) as pool:

        def run(item: Item) -> Result:
            result = function(item)
            advance(1, 0)
            return result

        try:
            return list(pool.map(run, items))
        except BaseException:
            # After Ctrl-C, running items are finished, and no others are started.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _problem(path: str, error: Exception) -> Problem:
    if isinstance(error, OSError):
        return Problem(path=path, problem=f"cannot be read: {error.strerror or error}")
    return Problem(path=path, problem=str(error))
