"""The removal of legacy files, of those only that have nothing left to give.

An image goes once its manifest has been seen to have the very bytes that are on disk, and S3 still has
them; a legacy file once
every image that it names is in S3 with the MD5 that it tells, every prompt, label, title, and every
good and bad of it is in the manifest as it stands there, and nothing in it was unreadable. The legacy
files of one collection go together, or none of them.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from s3_manifest.aws.threads import each
from s3_manifest.manifest.collections import Collection
from s3_manifest.sidecars.formats import FileDescription
from s3_manifest.storage.store import Store, StoreError
from s3_manifest_cli.migration import tree
from s3_manifest_cli.migration.legacy import Document, Format, Problem
from s3_manifest_cli.migration.merge import LegacyCollection, Mention
from s3_manifest_cli.migration.plan import CollectionPlan, ImagePlan
from s3_manifest_cli.migration.remote import observe_object
from s3_manifest_cli.migration.run import MigrationPlan
from s3_manifest_cli.migration.tree import Tree
from s3_manifest_cli.migration.verify import Verification

_HUMAN = ("prompt", "good", "labels")


class Removed(NamedTuple):
    """What was removed, and why the rest of the legacy files was kept."""

    paths: tuple[str, ...]
    kept: tuple[Problem, ...]


def removable(
    planned: MigrationPlan, checked: Mapping[Collection, Verification]
) -> tuple[Mapping[str, str], list[Problem]]:
    """The paths that may go, images (with their MD5) before the files that tell of them, and why others stay."""
    may_go: dict[str, str] = {}
    kept: list[Problem] = []
    manifests: list[str] = []
    unread = {problem.path for problem in planned.problems}
    for part in planned.parts:
        seen = checked.get(part.collection, Verification({}, ("it was not verified",)))
        for item in part.items:
            if item.path is None:
                continue
            if reason := _why_image_stays(item, seen):
                kept.append(Problem(path=item.path, problem=reason))
            else:
                may_go[item.path] = item.md5 or ""
        gathered = planned.legacy.collections[part.collection]
        reasons = {
            document.path: "not all of it could be read"
            if document.path in unread
            else next(_why_document_stays(document, part, gathered, seen), None)
            for document in gathered.documents
        }
        kept += (Problem(path=path, problem=reason) for path, reason in reasons.items() if reason)
        if any(reasons.values()):
            # What is left would be read without the later word of those that went.
            others = "another legacy file of the collection is kept"
            kept += (Problem(path=path, problem=others) for path, reason in reasons.items() if not reason)
        else:
            manifests += reasons
    # Images first: a manifest without its images is read again as what is only in S3, and says as much.
    return may_go | dict.fromkeys(manifests, ""), kept


def remove(found: Tree, planned: MigrationPlan, checked: Mapping[Collection, Verification], store: Store) -> Removed:
    """Removes what may go. An image that is not what was verified any more, on disk or in S3, stays."""
    may_go, kept = removable(planned, checked)
    changed = _changed(found, planned, store, may_go)
    kept += (Problem(path=path, problem=reason) for path, reason in sorted(changed.items()))
    gone: list[str] = []
    for path in may_go:
        if path in changed:
            continue
        try:
            tree.remove(found, path)
        except OSError as error:
            kept.append(Problem(path=path, problem=f"it cannot be removed: {error.strerror}"))
        else:
            gone.append(path)
    return Removed(tuple(gone), tuple(kept))


def _changed(found: Tree, planned: MigrationPlan, store: Store, may_go: Mapping[str, str]) -> Mapping[str, str]:
    """Why some of what may go must stay after all, by a last look at each image."""
    keys = {
        item.path: part.collection.prefix + item.filename for part in planned.parts for item in part.items if item.path
    }

    def observe_collection(path: str) -> str | None:
        try:
            there = observe_object(store, keys[path])
            is_same = there is not None and there.md5 == tree.md5(found, path) == may_go[path]
        except StoreError as error:
            return str(error)
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        return None if is_same else "it was changed meanwhile"

    images = [path for path, md5 in may_go.items() if md5]
    changed = {path: reason for path, reason in zip(images, each(observe_collection, images), strict=True) if reason}
    for part in planned.parts:
        if any(item.path in changed for item in part.items):
            # What its legacy files say is not where it was seen any more.
            documents = (document.path for document in planned.legacy.collections[part.collection].documents)
            changed |= {
                path: "an image of the collection was changed meanwhile" for path in documents if path in may_go
            }
    return changed


def _why_image_stays(item: ImagePlan, seen: Verification) -> str | None:
    if item.local_md5 is None or item.local_md5 != item.md5:
        return f"{item.status}: S3 does not have these bytes"
    if item.filename in seen.files:
        return seen.files[item.filename]
    return seen.rest[0] if seen.rest else None


def _why_document_stays(
    document: Document, part: CollectionPlan, gathered: LegacyCollection, seen: Verification
) -> Iterator[str]:
    yield from seen.rest
    if document.title and document.title not in (part.expected.title, part.collection.id):
        yield "its title is not the one in the manifest"
    words = [word for image in gathered.images.values() for word in image.words if word.document.path == document.path]
    if len(words) < len(document.claims):
        yield "it tells of images that are neither on disk nor in S3"
    items = {item.filename: item for item in reversed(part.items)}  # a double comes last, and does not count
    for filename, image in gathered.images.items():
        for word in image.words:
            if word.document.path == document.path and (
                reason := _why_word_stays(word, items[filename], part.expected.files.get(filename), seen)
            ):
                yield f"{filename}: {reason}"
    declared = {(one.generation_id, one.type): one for one in part.expected.generations}
    for one in document.generations:
        if document.format is not Format.RESPONSE and declared.get((one.generation_id, one.type)) != one:
            yield f"generation {one.type} {one.generation_id} is another one in the manifest"


def _why_word_stays(word: Mention, item: ImagePlan, said: FileDescription | None, seen: Verification) -> str | None:
    if item.md5 is None or said is None:
        return f"it is {item.status}"
    if item.filename in seen.files:
        return seen.files[item.filename]
    if word.claim.md5 and word.claim.md5 != item.md5:
        return "it names another MD5"
    for name in _HUMAN:
        value = getattr(word.claim.said, name)
        if value is not None and getattr(said, name) != value:
            return f"its {name} is not the one in the manifest"
    return None
