"""A local folder and a collection on a real server, whose manifest the tests commit explicitly."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from client.transfers import Bucket, Proxy, refusal, session
from unit.environments import Harness, with_store
from unit.values import COLLECTIONS, PREFIX, PUT, STYLE, in_bucket

from s3_manifest.aws.clients import s3_client
from s3_manifest.manifest.collections import Collection, Collections, Location
from s3_manifest.manifest.filenames import WORKING_FOLDER
from s3_manifest.manifest.model import Head, timestamp
from s3_manifest.reconcile.commit import commit
from s3_manifest.reconcile.result import Verification
from s3_manifest.storage import heads
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import iter_objects
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.direct import S3Manifests
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.main import main


@dataclass
class Sides:
    """The manifest lists an object only after ``commit``; the client connects through a proxy."""

    bucket: Bucket
    proxy: Proxy
    folder: Path
    cache: Path
    harness: Harness = field(default_factory=Harness)
    collections: Collections = field(init=False)
    collection: Collection = field(init=False)

    def __post_init__(self) -> None:
        self.collections = in_bucket(COLLECTIONS, self.bucket.name)
        self.collection = STYLE._replace(bucket=self.bucket.name)

    def put(self, *filenames: str, body: bytes | None = None, **more: Any) -> None:
        """Stores objects, with the bytes of ``content_of`` unless a body is given, and commits them to the manifest."""
        for name in filenames:
            self.put_uncommitted(name, body, **more)
        self.commit(*filenames)

    def put_uncommitted(self, filename: str, body: bytes | None = None, **more: Any) -> str:
        """Stores an object that is not in the manifest yet; returns its ETag."""
        return self.bucket.put(self.key(filename), content_of(filename) if body is None else body, **more)

    def delete(self, filename: str) -> None:
        self.bucket.client.delete_object(Bucket=self.bucket.name, Key=self.key(filename))

    def commit(self, *filenames: str) -> None:
        """Commits these files to the manifest and marks it as verified now."""
        self.verify(timedelta(0), *filenames)

    def verify(self, ago: timedelta, *filenames: str) -> None:
        now = datetime.now(UTC)
        head = heads.load(self.store, self.collection).head
        self.harness.now = timestamp(now)
        verification = Verification(head.created_at if head else self.harness.now, timestamp(now - ago))
        commit(
            self._environment, self.collection, dict.fromkeys(map(self.key, filenames), PUT), verification=verification
        )

    def commit_incomplete(self, *filenames: str) -> None:
        """Commits these files to a manifest that stays incomplete: S3 denies reading another file."""
        self.put_uncommitted("unreadable.png")
        self.harness.now = timestamp(datetime.now(UTC))
        self.proxy.before = lambda request: refusal(403, "No") if request.key.endswith("unreadable.png") else None
        store = S3Store(self.bucket.name, _client(self.proxy.endpoint, retries=True), self.bucket.client)
        commit(with_store(self._environment, store), self.collection, dict.fromkeys(map(self.key, filenames), PUT))
        self.proxy.before = lambda _: None

    @property
    def _environment(self) -> Any:
        environment = replace(self.harness.environment, location=Location(REGION), collections=self.collections)
        return with_store(environment, self.store)

    @property
    def store(self) -> S3Store:
        """A store that bypasses the proxy."""
        return S3Store(self.bucket.name, self.bucket.client, _client(self.bucket.endpoint, retries=False))

    @property
    def head(self) -> Head:
        loaded = heads.load(self.store, self.collection).head
        assert loaded
        return loaded

    def key(self, filename: str) -> str:
        return self.collection.prefix + filename

    def write(self, *filenames: str, body: bytes | None = None) -> None:
        """Writes local files, with the bytes that ``put`` gives objects of the same names."""
        for name in filenames:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content_of(name) if body is None else body)

    @property
    def files(self) -> dict[str, bytes]:
        """The bytes of the local files, by filename."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.relative_to(self.folder).parts[0] != WORKING_FOLDER
        }

    @property
    def objects(self) -> dict[str, bytes]:
        """The bytes of the objects, by filename."""
        keys = [item.key for item in iter_objects(self.store, self.collection.prefix)]
        return {key.removeprefix(self.collection.prefix): self.bucket.body(key) for key in keys}

    @property
    def deployment(self) -> Deployment:
        endpoint, bucket = self.proxy.endpoint, self.bucket.name
        store = S3Store(bucket, _client(endpoint, retries=True), _client(endpoint, retries=False))
        manifests = S3Manifests(dict.fromkeys(self.collections.buckets, store), self.collections)
        return Deployment(manifests, self.collections, session(), endpoint, bucket, f"{endpoint} {bucket}", self.cache)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.proxy.endpoint,
            "S3_MANIFEST_BUCKET": self.bucket.name,
            "S3_MANIFEST_CACHE": str(self.cache),
            "S3_MANIFEST_COLLECTIONS": ", ".join(
                f"{pattern.kind}={pattern.prefix(f'{{{pattern.kind}_id}}')}" for pattern in self.collections.patterns
            ),
        }

    def call(self, *arguments: object, exit_code: int = 0) -> Result:
        """Runs a command as a user calls it."""
        answer = CliRunner().invoke(main, list(map(str, arguments)), env=self.environment)
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        assert answer.exit_code == exit_code, answer.output
        return answer

    def pull(self, *options: object, exit_code: int = 0) -> Result:
        return self.call("pull", "style/16", self.folder, *options, exit_code=exit_code)

    def push(self, *options: object, exit_code: int = 0) -> Result:
        return self.call("push", self.folder, "style/16", *options, exit_code=exit_code)

    def sync(self, *options: object, exit_code: int = 0) -> Result:
        return self.call("sync", self.folder, "style/16", *options, exit_code=exit_code)

    def restore(self, *options: object, exit_code: int = 0) -> Result:
        return self.call("restore", "style/16", *options, exit_code=exit_code)

    def gets(self) -> list[str]:
        """The files that were requested by GET."""
        below = f"/{self.bucket.name}/{PREFIX}"
        return [request.key.removeprefix(below) for request in self.proxy.of("GET") if request.key.startswith(below)]

    @contextlib.contextmanager
    def meanwhile(self, method: str, filename: str, action: Any) -> Iterator[None]:
        """Calls ``action`` just before S3 receives the first such request for a file."""
        todo = [action]

        def before(request: Any) -> None:
            if request.method == method and request.key.endswith("/" + filename) and todo:
                todo.pop()()

        self.proxy.before = before
        try:
            yield
        finally:
            self.proxy.before = lambda _: None
        assert not todo, f"there was no {method} of {filename}"


@cache
def _client(endpoint: str, *, retries: bool) -> Any:
    return s3_client(endpoint, retries=retries, session=session())


def cached_s3_client(endpoint: str, *, retries: bool = True, **_: Any) -> Any:
    """``s3_client`` with a cache: creating a client takes as long as the rest of a command."""
    return _client(endpoint, retries=retries)


def content_of(filename: str) -> bytes:
    return f"the bytes of {filename}".encode()


def bytes_by_name(*filenames: str) -> dict[str, bytes]:
    """The files that ``Sides.put`` and ``Sides.write`` create for these names."""
    return {name: content_of(name) for name in filenames}
