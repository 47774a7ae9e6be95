"""Observes keys in S3: what each is now, a file, a caption, a sidecar, or absent."""

import hashlib
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.jobs import Sweep
from s3_manifest.manifest.model import Sidecar, Timestamp
from s3_manifest.reconcile.entries import entry_of, is_folder, source_of
from s3_manifest.reconcile.environment import RESERVE_SECONDS, Environment
from s3_manifest.sidecars.applied import Observation
from s3_manifest.sidecars.captions import MAX_CAPTION_BYTES, is_caption, may_be_caption, read_caption, read_json_caption
from s3_manifest.sidecars.content import SidecarContent
from s3_manifest.sidecars.formats import ARCHIVED, SIDECARS, edit_number, max_sidecar_bytes, read_sidecar
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import Absent, Archived, Conflict, OutOfTime, Present, ReadFailed, Store

_ATTEMPTS = 3

SWEEP_DELAY_SECONDS = 5
"""The sweep is requested before its manifest is written, and should start after that."""

ComputedMd5s = MutableMapping[tuple[str, str], str]
"""MD5s computed from objects' bytes, by key and ETag: the only part of an observation that is reused."""


class _ObservedObject(NamedTuple):
    """A file or caption as S3 described it: what its entry is made from.

    ``md5`` was computed from its bytes; ``needs_md5``: it is still to be computed.
    """

    head: Present
    md5: str | None = None
    needs_md5: bool = False
    caption: str | None = None
    problem: str | None = None
    read_error: str | None = None


@dataclass(frozen=True)
class Observer:
    """Observes keys of one collection. ``computed`` saves reading the same bytes again; it grows.

    What it observes is a function of the objects and of the bucket's subscription record. Why it was asked to observe a
    key, and when, is not part of it: see ``source_of``.
    """

    environment: Environment
    collection: Collection
    computed: ComputedMd5s

    @property
    def _store(self) -> Store:
        return self.environment.store(self.collection)

    def observe(self, keys: Iterable[str]) -> tuple[list[Observation], list[ReadFailed]]:
        """What each key is now, and the failures of those that S3 does not describe: an error is never an absence.

        Raises ``StoreError`` if the subscription record cannot be read.
        """

        def observe_key(key: str) -> Observation | _ObservedObject | ReadFailed:
            try:
                return self._observe_head(key)
            except ReadFailed as failure:
                return failure

        states = self.environment.parallel_map(observe_key, keys)
        # Compute MD5s one after the other: a single read fills the function's network.
        states = [
            self._compute_md5(state.head) if isinstance(state, _ObservedObject) and state.needs_md5 else state
            for state in states
        ]
        has_objects = any(isinstance(state, _ObservedObject) for state in states)
        # Only now: the record has every time from which an object that was observed could count as announced.
        since = self.environment.subscribed_at(self.collection) if has_objects else None
        results = [self._describe(state, since) if isinstance(state, _ObservedObject) else state for state in states]
        observations = [result for result in results if isinstance(result, Observation)]
        return observations, [result for result in results if isinstance(result, ReadFailed)]

    def observe_new(
        self, keys: Sequence[str], created_at: Timestamp
    ) -> tuple[list[Observation], list[ReadFailed], bool]:
        """Observes the keys and, as there is no manifest yet, what else one listing of the collection names.

        Also returns whether that was everything. If not, a sweep is requested. This happens before the head is
        written: a crash before that costs a message about nothing, not a manifest that is never completed.
        """
        environment, collection = self.environment, self.collection
        listing = self._store.list(collection.prefix)
        named = set(keys)
        others = [key for key in environment.collections.own_keys(collection, listing.keys) if key not in named]
        observations, failures = self.observe([*keys, *others] if not listing.truncated else keys)
        covers_all = not listing.truncated and not failures
        if not covers_all:
            sweep = Sweep(kind=collection.kind, id=collection.id, created_at=created_at)
            environment.enqueue([sweep], delay_seconds=SWEEP_DELAY_SECONDS)
        return observations, failures, covers_all

    def _describe(self, observed: _ObservedObject, subscribed_at: Timestamp | None) -> Observation:
        head, location = observed.head, self.environment.location
        md5 = observed.md5 or self.computed.get((head.key, head.etag))
        entry = entry_of(head, self.collection, location, source_of(head.last_modified, subscribed_at), md5)
        if observed.caption is not None or observed.problem:
            entry = entry.model_copy(update={"caption": observed.caption, "problem": observed.problem})
        return Observation(head.key, entry, read_error=observed.read_error)

    def _observe_head(self, key: str) -> Observation | _ObservedObject:
        head = self._store.head(key)
        if isinstance(head, Absent) or is_folder(head):
            return Observation(key, None)
        filename = self.collection.filename(key)
        if filename in SIDECARS:
            return self._observe_sidecar(head)
        if may_be_caption(filename):
            return self._observe_caption(head)
        return self._observe_file(head)

    def _observe_file(self, head: Present, read_error: str | None = None) -> _ObservedObject:
        is_known = (head.key, head.etag) in self.computed or proven_md5(head)
        needs_md5 = not (is_known or head.archived or head.size > self.environment.md5_max_bytes)
        return _ObservedObject(head, needs_md5=needs_md5, read_error=read_error)

    def _compute_md5(self, head: Present) -> Observation | _ObservedObject | ReadFailed:
        key = head.key
        try:
            for _ in range(_ATTEMPTS):
                if self.environment.seconds_left() < RESERVE_SECONDS:
                    return OutOfTime(key, "time ran out before its MD5 was computed; the queue retries it")
                try:
                    self.computed[key, head.etag] = self._store.md5(key, head.etag)
                except Conflict:
                    state = self._observe_head(key)
                    if not isinstance(state, _ObservedObject) or not state.needs_md5:
                        return state
                    head = state.head
                else:
                    return _ObservedObject(head)
        except ReadFailed as failure:
            return failure
        reason = f"was replaced {_ATTEMPTS} times while its MD5 was computed; the queue retries it"
        return ReadFailed(key, reason, bucket=self.collection.bucket)

    def _observe_sidecar(self, head: Present) -> Observation:
        key, name = head.key, self.collection.filename(head.key)
        problem = _read_problem(head, max_sidecar_bytes(name))
        if not problem:
            try:
                stored = self._store.get(key)
            except Archived as error:  # since the HEAD
                problem = _archived(str(error))
            else:
                if stored is None:
                    return Observation(key, None)
                sidecar = Sidecar(s3_key=key, etag=stored.etag, edit=edit_number(stored.metadata))
                return Observation(key, sidecar, read_sidecar(name, stored.body))
        return Observation(key, Sidecar(s3_key=key, etag=head.etag), SidecarContent(problems=(problem,)), problem)

    def _observe_caption(self, head: Present) -> Observation | _ObservedObject:
        """A caption with its text; an ordinary file if it turns out to be none."""
        key, is_text = head.key, is_caption(self.collection.filename(head.key))
        for _ in range(_ATTEMPTS):
            if problem := _read_problem(head, MAX_CAPTION_BYTES):
                if is_text:
                    return _ObservedObject(head, caption="", problem=problem, read_error=problem)
                return self._observe_file(head, read_error=problem)
            try:
                stored = self._store.get(key)
            except Archived:
                stored = None  # archived since the HEAD; the next HEAD reports it
            if stored and stored.etag == head.etag:
                text, problem = read_caption(stored.body) if is_text else (read_json_caption(stored.body), None)
                md5 = hashlib.md5(stored.body, usedforsecurity=False).hexdigest()
                return _ObservedObject(head, md5, caption=text, problem=problem)
            state = self._store.head(key)
            if isinstance(state, Absent):
                return Observation(key, None)
            head = state
        reason = f"was replaced {_ATTEMPTS} times while it was read; the queue retries it"
        raise ReadFailed(key, reason, bucket=self.collection.bucket)


def _read_problem(head: Present, max_size: int) -> str | None:
    """Why an object that describes others cannot be read; None if it can. Manifests store this text."""
    if head.archived:
        return _archived(head.storage_class)
    return f"it has {head.size} bytes; the limit is {max_size}" if head.size > max_size else None


def _archived(where: str) -> str:
    return f"{ARCHIVED} ({where}); what was read of it with this ETag counts. Restore it, or copy it over itself"
