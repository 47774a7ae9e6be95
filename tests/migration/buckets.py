"""A bucket in memory, its reconciler, and a migration of a tree into it."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import legacy_truth as truth
from benchmarks.legacy_truth import Truth
from s3_manifest.manifest.collections import (
    DEFAULT_COLLECTIONS,
    DEFAULT_ROOT,
    Collection,
    Collections,
    Location,
    parse_collections,
)
from s3_manifest.manifest.encoding import encode_head
from s3_manifest.manifest.model import Generation, Head
from s3_manifest.query.waiting import Clock
from s3_manifest.reconcile.entries import entry_of
from s3_manifest.sidecars.applied import apply_overrides, merge_descriptions
from s3_manifest.sidecars.formats import COLLECTION_JSON, SIDECARS, read_sidecar
from s3_manifest.storage import heads
from s3_manifest.storage.memory import EPOCH, MemoryStore
from s3_manifest.storage.store import Conflict, user_metadata
from s3_manifest.storage.upload_headers import content_type
from s3_manifest_cli.migration.legacy import walk
from s3_manifest_cli.migration.plan import MigrationOptions
from s3_manifest_cli.migration.remove import remove
from s3_manifest_cli.migration.report import Result, exit_code
from s3_manifest_cli.migration.run import MigrationPlan, execute, make_plan
from s3_manifest_cli.migration.verify import verify

BUCKET = "storyboard-user-files"
ASSETS = "story-boards-assets"
KINDS = parse_collections(DEFAULT_COLLECTIONS, DEFAULT_ROOT, BUCKET)
TWO_BUCKETS = parse_collections(
    f"style=library/{{style_id}}/,actor=s3://{ASSETS}/library/{{actor_id}}/", DEFAULT_ROOT, BUCKET
)
LOCATION = Location("us-east-1")


@dataclass
class Bucket(MemoryStore):
    """A thread-safe ``MemoryStore`` that records the written keys."""

    name: str = BUCKET
    kinds: Collections = KINDS
    written: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock)

    def put(self, key, body, **more):
        with self.lock:
            etag = super().put(key, body, **more)
            self.written.append(key)
            return etag

    def put_image(self, key, file, image, headers=None):
        with self.lock:
            current = self.objects[key][0].etag if key in self.objects else None
            if current != image.replaces:
                raise Conflict(key, "412")
            metadata = user_metadata(headers) if headers else {"local-path": image.path}
            self.upload(key, file.read(), content_type=content_type(key), metadata=metadata)
            self.written.append(key)

    def reconcile(self) -> None:
        """Writes the manifests of all collections, as the deployed stack would."""
        with self.lock:
            keys_by_collection: dict[Collection, list[str]] = {}
            for key in list(self.objects):
                if collection := self.kinds.collection_of(self.name, key):
                    keys_by_collection.setdefault(collection, []).append(key)
            for collection, keys in keys_by_collection.items():
                self.upload(collection.head_key, encode_head(self._head(collection, keys)))

    def _head(self, collection: Collection, keys: list[str]) -> Head:
        sidecars = {name: self.objects.get(collection.prefix + name) for name in SIDECARS}
        contents = {name: read_sidecar(name, stored[1]) for name, stored in sidecars.items() if stored}
        files = []
        for key in sorted(keys, key=collection.filename):
            if collection.filename(key) not in SIDECARS:
                entry = entry_of(self.objects[key][0], collection, LOCATION, "s3_event")
                files.append(apply_overrides(entry, merge_descriptions(entry.filename, contents.values())))
        facts = contents.get(COLLECTION_JSON)
        counts = Counter((entry.generation_id, entry.generation_type) for entry in files)
        generations = [
            Generation(
                **entry.model_dump(), image_count=counts.pop((entry.generation_id, entry.type), 0), declared=True
            )
            for entry in (facts.generations if facts else ())
        ]
        generations += [
            Generation(generation_id=id_, type=type_, generated_at=EPOCH, image_count=count)
            for (id_, type_), count in counts.items()
        ]
        return Head(
            kind=collection.kind,
            id=collection.id,
            title=facts.title if facts else None,
            s3_bucket=collection.bucket,
            s3_prefix=collection.prefix,
            created_at=EPOCH,
            last_synced=EPOCH,
            complete=True,
            revision=1,
            commit="c1",
            last_change="c1",
            total_files=len(files),
            total_size_bytes=sum(entry.size_bytes for entry in files),
            generations=tuple(generations),
            sidecars=(),
            problems=(),
            files=tuple(files),
        )


@dataclass
class Migration:
    """A legacy tree on disk, a bucket, and the migration from one to the other.

    With ``assets``, actors are in that second bucket, below the same prefix as the styles.
    """

    root: Path
    bucket: Bucket = field(default_factory=Bucket)
    deployed: bool = True
    assets: Bucket | None = None

    @property
    def kinds(self) -> Collections:
        return self.bucket.kinds

    @property
    def stores(self) -> dict[str, Bucket]:
        return {BUCKET: self.bucket} | ({ASSETS: self.assets} if self.assets else {})

    def plan(self, **options: bool) -> MigrationPlan:
        return make_plan(walk(self.root), self.kinds, self.stores, MigrationOptions(**options))

    def run(self, *, remove_legacy: bool = False, **options: bool) -> tuple[MigrationPlan, Result]:
        plan = self.plan(**options)
        uploads = {name: bucket.put_image for name, bucket in self.stores.items()}
        failed = execute(plan, self.stores, uploads)
        verifications = verify(self.stores, plan.collections, 5, self.clock())
        removal = remove(plan, verifications, self.stores) if remove_legacy else None
        return plan, Result(tuple(failed), verifications, removal)

    def exit_code(self, **options: Any) -> int:
        return exit_code(*self.run(**options))

    def clock(self) -> Clock:
        now = [0.0]

        def sleep(seconds: float) -> None:
            now[0] += seconds
            if self.deployed:
                for bucket in self.stores.values():
                    bucket.reconcile()

        return Clock(lambda: now[0], sleep)

    def file(self, path: str, body: bytes | str = b"") -> bytes:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body if isinstance(body, bytes) else body.encode())
        return target.read_bytes()

    def manifest(self, prefix: str) -> Head:
        return heads.load(self.bucket, KINDS.collection_of(BUCKET, prefix + "x")).head


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def differences(bucket: Bucket, truths: Mapping[str, Truth]) -> list[str]:
    """Returns the differences between the manifests and the expected contents of a generated tree."""
    wrong = []
    for prefix, description in truths.items():
        head = heads.load(bucket, KINDS.collection_of(BUCKET, prefix + "x")).head
        manifest = json.loads(encode_head(head)) if head else None
        wrong += (f"{prefix}: {entry}" for entry in truth.differences(description, manifest))
    return wrong
