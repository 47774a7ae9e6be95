"""Deletes the legacy files whose content is completely migrated.

An image is deleted if its manifest was verified to have its MD5, and S3 still has those bytes. A legacy file is deleted
if all of it could be read, every image that it names is in S3 with the MD5 that it names, and every prompt, label,
title and good or bad mark in it is in the manifest unchanged. The legacy files of a collection are deleted together or
not at all.
"""

from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

from s3_manifest.aws.threads import parallel_map
from s3_manifest.manifest.collections import Collection
from s3_manifest.storage.store import Store, StoreError
from s3_manifest_cli.migration.legacy import Document, Format, Problem, Tree
from s3_manifest_cli.migration.places import Mention
from s3_manifest_cli.migration.plan import CollectionPlan, ImagePlan, by_identity
from s3_manifest_cli.migration.remote import observe_object
from s3_manifest_cli.migration.run import MigrationPlan
from s3_manifest_cli.migration.verify import Verification

_EDITABLE_FIELDS = ("prompt", "good", "labels")


class Removal(NamedTuple):
    """The deleted paths, and why the other legacy files were retained."""

    paths: tuple[str, ...]
    retained: tuple[Problem, ...]


def remove(
    plan: MigrationPlan, verifications: Mapping[Collection, Verification], stores: Mapping[str, Store]
) -> Removal:
    """Deletes what can be deleted. An image that changed since it was verified, on disk or in S3, is retained."""
    images: dict[str, tuple[Store, str, str | None]] = {}
    documents: list[str] = []
    retained: list[Problem] = []
    for collection_plan in plan.collections:
        verification = verifications[collection_plan.collection]
        for image in collection_plan.images:
            if image.path is None:
                continue
            if reason := _why_image_is_retained(image, verification):
                retained.append(Problem(image.path, reason))
            else:
                collection = collection_plan.collection
                images[image.path] = stores[collection.bucket], collection.prefix + image.filename, image.md5
    reasons = parallel_map(lambda path: _why_changed(plan.tree, path, *images[path]), images)
    changed = {path: reason for path, reason in zip(images, reasons, strict=True) if reason}
    unreadable = {problem.path for problem in plan.problems}
    for collection_plan in plan.collections:
        why_retained = _why_documents_are_retained(
            collection_plan, verifications[collection_plan.collection], unreadable, changed.keys()
        )
        retained += (Problem(path, reason) for path, reason in why_retained.items())
        paths = (document.path for document in collection_plan.legacy.documents)
        documents += (path for path in paths if path not in why_retained)
    retained += (Problem(path, reason) for path, reason in sorted(changed.items()))
    deleted: list[str] = []
    # Images first: after an interruption, a manifest without its images is read as images that are only in S3.
    for path in (*(path for path in images if path not in changed), *documents):
        try:
            plan.tree.remove(path)
        except OSError as error:
            retained.append(Problem(path, f"cannot be deleted: {error.strerror}"))
        else:
            deleted.append(path)
    return Removal(tuple(deleted), tuple(retained))


def _why_image_is_retained(image: ImagePlan, verification: Verification) -> str | None:
    if image.local_md5 is None or image.local_md5 != image.md5:
        return f"{image.status}: S3 does not have these bytes"
    if image.filename in verification.files:
        return verification.files[image.filename]
    return verification.problems[0] if verification.problems else None


def _why_documents_are_retained(
    plan: CollectionPlan, verification: Verification, unreadable: Container[str], changed: Container[str | None]
) -> Mapping[str, str]:
    """Why a collection's legacy files are retained, by path; empty if all can be deleted."""
    reasons = {
        document.path: "not all of it could be read"
        if document.path in unreadable
        else next(_why_document_is_retained(document, plan, verification), None)
        for document in plan.legacy.documents
    }
    if any(reasons.values()):
        # Without the later statements of the deleted files, the retained files would be read differently.
        others = "another legacy file of the collection is retained"
    elif any(image.path in changed for image in plan.images):
        others = "an image of the collection changed since it was verified"
    else:
        return {}
    return {path: reason or others for path, reason in reasons.items()}


def _why_changed(tree: Tree, path: str, store: Store, key: str, md5: str | None) -> str | None:
    """Checks an image a last time."""
    try:
        current = observe_object(store, key)
        is_same = current is not None and current.md5 == tree.md5(path) == md5
    except StoreError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if is_same else "changed since it was verified"


def _why_document_is_retained(document: Document, plan: CollectionPlan, verification: Verification) -> Iterator[str]:
    yield from verification.problems
    if document.title and document.title not in (plan.expected.title, plan.collection.id):
        yield "its title differs from the manifest"
    mentions = [
        (filename, mention)
        for filename, image in plan.legacy.images.items()
        for mention in image.mentions
        if mention.document.path == document.path
    ]
    if len(mentions) < len(document.records):
        yield "it names images that are neither on disk nor in S3"
    images = {image.filename: image for image in reversed(plan.images)}  # duplicates come last, and do not count
    for filename, mention in mentions:
        for problem in _mention_problems(mention, images[filename], plan, verification):
            yield f"{filename}: {problem}"
    declared = by_identity(plan.expected.generations)
    for generation in document.generations if document.format is not Format.RESPONSE else ():
        if declared.get((generation.generation_id, generation.type)) != generation:
            yield f"generation {generation.type} {generation.generation_id} differs from the manifest"


def _mention_problems(
    mention: Mention, image: ImagePlan, plan: CollectionPlan, verification: Verification
) -> Iterator[str]:
    """What of a mention is not migrated."""
    description = plan.expected.files.get(image.filename)
    if image.md5 is None or description is None:
        yield f"it is {image.status}"
        return
    if image.filename in verification.files:
        yield verification.files[image.filename]
    if mention.record.md5 not in (None, image.md5):
        yield "it names another MD5"
    for name in _EDITABLE_FIELDS:
        if getattr(mention.record.description, name) not in (None, getattr(description, name)):
            yield f"its {name} differs from the manifest"
