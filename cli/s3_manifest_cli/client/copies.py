"""A folder on this machine and a collection, made the same: planned first, from the manifest and the files' MD5s."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from s3_manifest.collections import Collection
from s3_manifest.model import Facts
from s3_manifest_cli.client import bases, cache
from s3_manifest_cli.client.compare import Compared, FileState, totals
from s3_manifest_cli.client.deployment import Deployment
from s3_manifest_cli.client.filters import EVERYTHING, Filter
from s3_manifest_cli.client.plan import MAX_DELETE, Agreed, Plan, Verb, Wishes, actions, check_deletions
from s3_manifest_cli.client.scan import Problem
from s3_manifest_cli.client.status import compared
from s3_manifest_cli.errors import Invalid, NotFound


class Prepared(NamedTuple):
    """A plan, and what it was made of. ``facts`` is None where the collection has no manifest yet."""

    plan: Plan
    facts: Facts | None
    files: list[Compared]
    problems: list[Problem]

    @property
    def totals(self) -> dict[FileState, int]:
        """How many files are in each state."""
        return totals(self.files)


def prepare(
    deployment: Deployment,
    verb: Verb,
    folder: Path,
    collection: Collection,
    filters: Filter = EVERYTHING,
    wishes: Wishes = Wishes(),  # noqa: B008  # it is immutable
    *,
    max_delete: int = MAX_DELETE,
) -> Prepared:
    """What is to be done to make them the same; nothing is changed anywhere.

    Raises ``Invalid`` where there is no folder to push, ``NotFound`` where there is no manifest to pull by,
    ``Refused`` where deletions are planned that the manifest is not good enough for, or that are too many, and
    ``Unavailable``.
    """
    if verb == "push" and not folder.is_dir():
        raise Invalid(f"there is no folder {folder}")
    index = None
    try:
        index = cache.index(deployment.manifests, collection, deployment.cache, deployment.name)
    except NotFound:
        if verb == "pull":
            raise
    remote = list(index.files()) if index else []
    files, problems = compared(deployment, folder, collection, remote, filters)
    base: Mapping[str, Agreed] = {}
    if verb == "sync":
        base = bases.load(deployment.cache, folder, deployment.name, collection)
    plan = Plan(
        verb=verb,
        folder=str(folder),
        kind=collection.kind,
        id=collection.id,
        s3_bucket=bucket_of(deployment, index.facts if index else None),
        s3_prefix=collection.prefix,
        revision=index.facts.revision if index else 0,
        actions=actions(verb, files, wishes, base),
    )
    if index:
        check_deletions(plan, index.facts, datetime.now(UTC), max_delete=max_delete)
    return Prepared(plan, index.facts if index else None, files, problems)


def bucket_of(deployment: Deployment, facts: Facts | None) -> str:
    """The bucket that a collection is in. Raises ``Invalid`` where nobody has named it."""
    if bucket := facts.s3_bucket if facts else deployment.bucket:
        return bucket
    raise Invalid("there is no manifest yet to tell the bucket: name it with --bucket")
