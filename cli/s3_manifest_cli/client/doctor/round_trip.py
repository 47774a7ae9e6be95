"""A real round trip: an object is put into a collection of its own, seen in the manifest, deleted, and gone from it."""

import hashlib
import secrets
import shlex
import time
from collections.abc import Callable
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Entry, UnreadableManifest
from s3_manifest.storage import heads
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import StoreError
from s3_manifest_cli.client.doctor.clients import Clients, Unanswered, asked
from s3_manifest_cli.client.doctor.deployed import Deployed
from s3_manifest_cli.client.doctor.drift import PROBE
from s3_manifest_cli.client.doctor.leftovers import CHECK as CLEAN_UP
from s3_manifest_cli.client.doctor.leftovers import purge
from s3_manifest_cli.client.doctor.model import Finding, error, notice, ok

CHECK = "round trip"

_FILENAME = "doctor.bin"
_POLL_SECONDS = 0.1
_SETTLED_SECONDS = 1.0
_CLEAN_UPS = 3


class Trip(NamedTuple):
    """Seconds until the manifest showed the object, and until it showed it no more (None: it did not); its entry."""

    shown: float | None
    gone: float | None
    entry: Entry | None


def go(clients: Clients, deployed: Deployed, seconds: float) -> list[Finding]:
    """Makes the round trip, each half in so many seconds, and removes what is left of it. Raises ``Unanswered``.

    Who follows announcements or the catalog sees a collection named ``__doctor-…`` come, and be empty. Its
    manifest is thrown away, as any may be, and not written: that only the stack does.
    """
    pattern = deployed.kinds.patterns[-1]
    collection = deployed.kinds.named(pattern.kind, f"{PROBE}-{secrets.token_hex(8)}")
    if collection is None:
        raise Unanswered(f"a collection of kind {pattern.kind} cannot be named, its prefix is so long")
    store = S3Store(deployed.bucket, clients.s3, clients.s3_writes)
    body = secrets.token_bytes(64)
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    try:
        trip = _trip(clients, store, collection, body, seconds)
    except (StoreError, UnreadableManifest) as fault:
        raise Unanswered(str(fault)) from fault
    finally:
        left = purge(clients, deployed.bucket, collection.prefix) + _clean_up(clients, deployed, store, collection)
    return [*_judge(deployed, collection, trip, md5, seconds), *left]


def _trip(clients: Clients, store: S3Store, collection: Collection, body: bytes, seconds: float) -> Trip:
    key = f"{collection.prefix}{_FILENAME}"
    asked(clients.s3.put_object, Bucket=store.bucket, Key=key, Body=body)
    shown, entry = _until(store, collection, seconds, lambda entry: entry is not None)
    if shown is None:
        return Trip(None, None, None)
    # The version itself, where there are versions: a delete marker would be left, and removing that is one event more.
    _delete(clients, store.bucket, key)
    gone, _ = _until(store, collection, seconds, lambda entry: entry is None)
    return Trip(shown, gone, entry)


def _delete(clients: Clients, bucket: str, key: str) -> None:
    try:
        found = asked(clients.s3.list_object_versions, Bucket=bucket, Prefix=key)
        for one in found.get("Versions", ()):
            asked(clients.s3.delete_object, Bucket=bucket, Key=key, VersionId=one["VersionId"])
    except Unanswered:
        asked(clients.s3.delete_object, Bucket=bucket, Key=key)


def _until(
    store: S3Store, collection: Collection, seconds: float, holds: Callable[[Entry | None], bool]
) -> tuple[float | None, Entry | None]:
    """How many seconds it took until it held of the object's entry; None if it did not."""
    started = time.monotonic()
    while True:
        head = heads.load(store, collection).head
        entry = next((one for one in head.files if one.filename == _FILENAME), None) if head else None
        taken = time.monotonic() - started
        if holds(entry):
            return taken, entry
        if taken >= seconds:
            return None, entry
        time.sleep(_POLL_SECONDS)


def _clean_up(clients: Clients, deployed: Deployed, store: S3Store, collection: Collection) -> list[Finding]:
    """Throws the manifest away; a late or doubled event makes it anew, so it is looked for again."""
    for _ in range(_CLEAN_UPS):
        if left := purge(clients, deployed.bucket, collection.folder):
            return left
        time.sleep(_SETTLED_SECONDS)
        try:
            if not store.list(collection.folder, limit=1).objects:
                return []
        except StoreError:
            break
    return [_may_be_left(deployed, collection)]


def _may_be_left(deployed: Deployed, collection: Collection) -> Finding:
    command = f"aws s3 rm --recursive {shlex.quote(f's3://{deployed.bucket}/{collection.folder}')}"
    return notice(CLEAN_UP, collection.folder, "an empty manifest may come to be there: events come late", command)


def _judge(deployed: Deployed, collection: Collection, trip: Trip, md5: str, seconds: float) -> list[Finding]:
    key = f"{collection.prefix}{_FILENAME}"
    log = deployed.resources["ReconcileLogs"]
    mend = f"mend what the other findings tell of; else see log group {log} for {collection.prefix!r}"
    if trip.shown is None or trip.entry is None:
        found = f"it was put, and the manifest did not show it within {seconds:g} s"
        return [error(CHECK, key, found, mend), _may_be_left(deployed, collection)]
    if trip.entry.md5_hash != md5:
        found = f"the manifest shows it with the MD5 {trip.entry.md5_hash} ({trip.entry.md5_source}), and it has {md5}"
        return [error(CHECK, key, found, "see the bucket's encryption, and the parameter Md5MaxBytes")]
    shown = f"shown {trip.shown:.1f} s after the PUT, with its MD5"
    if trip.gone is None:
        found = f"{shown}, and still shown {seconds:g} s after it was deleted"
        return [error(CHECK, key, found, mend), _may_be_left(deployed, collection)]
    return [ok(CHECK, collection.prefix, f"{shown}; gone {trip.gone:.1f} s after the DELETE")]
