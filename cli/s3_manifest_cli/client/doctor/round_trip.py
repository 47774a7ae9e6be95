"""The round trip: uploads an object, waits until its manifest lists it, deletes it, and waits until it is gone."""

import hashlib
import secrets
import time
from functools import partial

from s3_manifest.manifest.model import Entry
from s3_manifest.storage import heads
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import StoreError
from s3_manifest_cli.client.doctor import cleanup
from s3_manifest_cli.client.doctor.clients import Clients, send
from s3_manifest_cli.client.doctor.drift import TEST_ID
from s3_manifest_cli.client.doctor.findings import Finding, error, ok
from s3_manifest_cli.client.doctor.stack import Stack
from s3_manifest_cli.errors import Unavailable

CHECK = "round trip"

_FILENAME = "doctor.bin"
_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 1.0
_CLEAN_UPS = 3


class RoundTrip:
    """A round trip in a collection of its own; each half may take ``seconds``.

    Followers of announcements or of the catalogue see a collection ``__doctor-…`` appear and become empty. Its
    manifest is deleted at the end, which is safe; it is never written, because only the stack writes manifests.
    """

    def __init__(self, clients: Clients, stack: Stack, seconds: float) -> None:
        self._clients, self._stack, self._seconds = clients, stack, seconds
        self._store = S3Store(stack.bucket, clients.s3, clients.s3_writes)
        kind = stack.patterns[-1].kind
        collection = stack.kinds.lookup(kind, f"{TEST_ID}-{secrets.token_hex(8)}")
        if collection is None:
            raise Unavailable(f"the prefix of kind {kind} is too long for the id of a test collection")
        self._collection, self._key = collection, f"{collection.prefix}{_FILENAME}"
        self._body = secrets.token_bytes(64)

    def make(self) -> list[Finding]:
        """Makes the round trip and removes its objects. Raises as ``send`` and ``heads.load``."""
        try:
            findings = self._measure()
        finally:
            leftovers = cleanup.purge(self._clients, self._stack.bucket, self._collection.prefix) + self._clean_up()
        return findings + leftovers

    def _measure(self) -> list[Finding]:
        answer = send(self._clients.s3.put_object, Bucket=self._stack.bucket, Key=self._key, Body=self._body)
        shown_after, entry = self._wait(until_listed=True)
        if entry is None:
            return self._late(f"the manifest did not list the uploaded object within {self._seconds:g} s")
        self._delete(answer.get("VersionId"))
        removed_after, remaining = self._wait(until_listed=False)
        md5 = hashlib.md5(self._body, usedforsecurity=False).hexdigest()
        if entry.md5_hash != md5:
            text = f"the manifest has MD5 {entry.md5_hash} ({entry.md5_source}), the object has {md5}"
            return [error(CHECK, self._key, text, "check the bucket's encryption and the parameter Md5MaxBytes")]
        summary = f"listed {shown_after:.1f} s after the PUT, with its MD5"
        if remaining:
            return self._late(f"{summary}, and still listed {self._seconds:g} s after it was deleted")
        return [ok(CHECK, self._collection.prefix, f"{summary}; gone {removed_after:.1f} s after the DELETE")]

    def _late(self, text: str) -> list[Finding]:
        command = f"aws logs filter-log-events --log-group-name {self._stack.resources['ReconcileLogs']}"
        remedy = f"follow the remedies of the other findings; if there are none, read the log: {command}"
        pattern = f"--filter-pattern '\"{self._collection.id}\"'"
        return [error(CHECK, self._key, text, f"{remedy} {pattern}"), self._late_manifest()]

    def _delete(self, version: str | None) -> None:
        """Deletes the version itself where possible: removing a delete marker later would be one more event."""
        delete = partial(send, self._clients.s3.delete_object, Bucket=self._stack.bucket, Key=self._key)
        try:
            delete(**{"VersionId": version} if version else {})
        except Unavailable:
            delete()

    def _wait(self, *, until_listed: bool) -> tuple[float, Entry | None]:
        """Waits until the object is listed, or no longer; returns how long, and the entry when the time was up."""
        start = time.monotonic()
        while True:
            head = heads.load(self._store, self._collection).head
            entry = next((file for file in head.files if file.filename == _FILENAME), None) if head else None
            elapsed = time.monotonic() - start
            if (entry is not None) == until_listed or elapsed >= self._seconds:
                return elapsed, entry
            time.sleep(_POLL_SECONDS)

    def _clean_up(self) -> list[Finding]:
        """Deletes the manifest; a late or duplicate event creates it again, so it checks a few times."""
        for _ in range(_CLEAN_UPS):
            if findings := cleanup.purge(self._clients, self._stack.bucket, self._collection.folder):
                return findings
            time.sleep(_SETTLE_SECONDS)
            try:
                if not self._store.list(self._collection.folder, limit=1).objects:
                    return []
            except StoreError:
                break
        return [self._late_manifest()]

    def _late_manifest(self) -> Finding:
        text = "late events may create an empty manifest here"
        return cleanup.leftover(self._stack.bucket, self._collection.folder, text)
