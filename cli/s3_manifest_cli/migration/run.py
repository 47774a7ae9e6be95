"""Plans and executes the migration of a tree. Every step can be interrupted at any moment and run again.

No state is kept between runs: each plan is made from what is on disk and in S3. Uploads are conditional, sidecars are
edited by compare-and-swap, and nothing is deleted before it is verified.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from s3_manifest.edits.collection_json import declare_generations, set_title
from s3_manifest.edits.prompt_metadata import update_descriptions
from s3_manifest.edits.sidecar_editor import EditFailed, RetryPolicy, SidecarEditor
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import UnreadableManifest
from s3_manifest.storage.store import Store, StoreError
from s3_manifest_cli.migration import remote
from s3_manifest_cli.migration.decode import decode
from s3_manifest_cli.migration.legacy import Problem, Tree
from s3_manifest_cli.migration.merge import LegacyCollection, merge
from s3_manifest_cli.migration.places import place_of
from s3_manifest_cli.migration.plan import CollectionPlan, MigrationOptions, plan
from s3_manifest_cli.terminal.output import progress_bar

_THREADS = 16
_EDIT_SECONDS = 60.0

Item = TypeVar("Item")
Result = TypeVar("Result")


class MigrationPlan(NamedTuple):
    """What has to be done with a tree, and what could not be read."""

    tree: Tree
    options: MigrationOptions
    collections: tuple[CollectionPlan, ...]
    problems: tuple[Problem, ...]

    @property
    def uploads(self) -> list[tuple[Collection, str, remote.ImageUpload]]:
        """The images to upload, with their collections and keys."""
        return [
            (collection.collection, collection.collection.prefix + image.filename, image.upload)
            for collection in self.collections
            for image in collection.images
            if image.upload
        ]

    @property
    def edits(self) -> list[CollectionPlan]:
        """The collections whose sidecars have to be edited."""
        return [collection for collection in self.collections if collection.edits]

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do."""
        return not self.uploads and not self.edits


def make_plan(
    tree: Tree, collections: Collections, stores: Mapping[str, Store], options: MigrationOptions
) -> MigrationPlan:
    """Plans the migration from what is on disk and in S3 now. ``stores``: by bucket. Changes nothing."""

    def compare(entry: tuple[Collection, LegacyCollection]) -> CollectionPlan:
        collection, own = entry
        store = stores[collection.bucket]
        return plan(collection, own, md5s, remote.observe_collection(store, collection, own.images.keys()), options)

    # One thread, so that only one legacy file at a time is in memory as bytes.
    documents, unreadable = _in_parallel(
        "Reading legacy files", lambda path: decode(path, tree.read_document(path)), tree.documents, threads=1
    )
    legacy = merge(documents, tree.paths, collections)
    paths = [image.path for own in legacy.collections.values() for image in own.images.values() if image.path]
    computed, changed = _in_parallel("Computing MD5s", lambda path: (path, tree.md5(path)), paths)
    md5s = dict(computed)
    in_order = sorted(legacy.collections.items(), key=lambda entry: (entry[0].bucket, entry[0].prefix))
    plans, unknown = _in_parallel("Comparing with S3", compare, in_order, lambda entry: place_of(entry[0]))
    problems = (*tree.problems, *unreadable, *legacy.problems, *changed, *unknown)
    return MigrationPlan(tree, options, tuple(plans), problems)


def execute(
    migration_plan: MigrationPlan, stores: Mapping[str, Store], uploads: Mapping[str, remote.UploadImage]
) -> list[Problem]:
    """Executes the plan, with the store and the upload of each bucket. Returns what failed; the rest is done."""
    only_new = not migration_plan.options.prefer_local

    def upload(entry: tuple[Collection, str, remote.ImageUpload]) -> None:
        collection, key, image = entry
        with migration_plan.tree.open(image.path) as file:
            uploads[collection.bucket](key, file, image)

    def edit(collection_plan: CollectionPlan) -> None:
        deadline = time.monotonic() + _EDIT_SECONDS
        policy = RetryPolicy(seconds_left=lambda: deadline - time.monotonic())
        collection, changes = collection_plan.collection, collection_plan.edits
        editor = SidecarEditor(stores[collection.bucket], collection, policy)
        if changes.files:
            update_descriptions(editor, changes.files, only_new=only_new)
        if changes.title:
            set_title(editor, changes.title, only_new=only_new)
        if changes.generations:
            declare_generations(editor, changes.generations, only_new=only_new)

    edits = migration_plan.edits
    _, not_uploaded = _in_parallel("Uploading images", upload, migration_plan.uploads, lambda entry: entry[2].path)
    _, not_edited = _in_parallel("Writing sidecars", edit, edits, lambda entry: place_of(entry.collection))
    return not_uploaded + not_edited


def _in_parallel(
    label: str,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    path_of: Callable[[Item], str] = str,
    *,
    threads: int = _THREADS,
) -> tuple[list[Result], list[Problem]]:
    """The result for each item, and the problems of those without one."""
    items = list(items)
    with progress_bar(label, len(items)) as advance, ThreadPoolExecutor(threads) as pool:

        def run(item: Item) -> Result | Problem:
            try:
                return function(item)
            except OSError as error:
                return Problem(path_of(item), f"cannot be read: {error.strerror or error}")
            except (StoreError, UnreadableManifest, EditFailed) as error:
                return Problem(path_of(item), str(error))
            finally:
                advance(1, 0)

        try:
            outcomes = list(pool.map(run, items))
        except BaseException:
            # After Ctrl-C, running items are finished, and no others are started.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    problems = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    return [outcome for outcome in outcomes if not isinstance(outcome, Problem)], problems
