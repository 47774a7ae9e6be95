"""Variants of the protocol without one of its rules; the simulation must detect each of them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import s3_manifest

PACKAGE = Path(s3_manifest.__file__).parent


@dataclass(frozen=True)
class Mutant:
    """Removes a rule by replacing text in the modules' sources. Each replaced text must occur exactly once.

    The replacements are in ``module``; those ``elsewhere`` name their own.
    """

    name: str
    module: str
    replacements: tuple[tuple[str, str], ...]
    elsewhere: tuple[tuple[str, str, str], ...] = ()

    def write(self, folder: Path) -> None:
        """Writes a copy of the package without this rule below ``folder``."""
        copy = folder / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for module, old, new in (*((self.module, *pair) for pair in self.replacements), *self.elsewhere):
            source = (copy / module).read_text()
            if source.count(old) != 1:
                raise LookupError(f"mutant {self.name!r}: {module} holds {source.count(old)} times {old!r}")
            (copy / module).write_text(source.replace(old, new))


_LOAD = "        snapshot = environment.load(collection, self.unreadable_etag)\n        yields"
_OBSERVE_EARLY = "        early = Observer(environment, collection, {}).observe(self.pending)\n"
_OBSERVE = "            observations, failures = observer.observe(keys)\n"
_SAVE = (
    "        heads.save(environment.store(snapshot.collection), snapshot.collection, head, replaces=snapshot.etag)\n"
)

_RECONCILE_DRAINED = "    reconcile(environment, [*messages, *drained], batch)\n"

_OBSERVE_ONCE = """\
            known = result.__dict__.setdefault("known", {})
            fresh, failures = observer.observe([key for key in keys if key not in known])
            known |= {item.key: item for item in fresh}
            observations = [known[key] for key in keys if key in known]
"""
_REMEMBER_LISTING = """\
            for key in listing.keys:
                truth = self.snapshot.store.truth
                LISTED[id(truth), key] = truth.head(key)
"""
_COMMIT_DIFFERENCES = "            result = commit(\n                self.environment, "
_COMMIT_AS_LISTED = """\
            import dataclasses, types
            from s3_manifest.sweep.compare import LISTED
            from s3_manifest.storage.store import Absent
            real = self.environment.store(self.collection)
            store = types.SimpleNamespace(
                **{name: getattr(real, name) for name in ("get", "put", "add", "list", "md5")},
                head=lambda key: LISTED.get((id(real.truth), key)) or Absent(key),
            )
            result = commit(
                dataclasses.replace(self.environment, stores={self.collection.bucket: store}),
"""

MUTANTS = (
    Mutant(
        "HEAD before reading the head",
        "reconcile/commit.py",
        (
            (_LOAD, _OBSERVE_EARLY + _LOAD),
            (
                _OBSERVE,
                "            observations, failures = ([i for i in group if i.key in keys] for group in early)\n",
            ),
        ),
    ),
    Mutant("re-use the observation after a conflict", "reconcile/commit.py", ((_OBSERVE, _OBSERVE_ONCE),)),
    Mutant(
        "skip the write when nothing changed",
        "reconcile/commit.py",
        ((_SAVE, "        if _is_new_revision(before, head):\n    " + _SAVE),),
    ),
    Mutant(
        "write without a fresh commit id",
        "reconcile/commit.py",
        (
            (
                "        commit_id = environment.commit_id()\n",
                "        commit_id = before.commit if before else 'first'\n",
            ),
        ),
    ),
    Mutant(
        "sweep applies its listing",
        "sweep/sweep.py",
        ((_COMMIT_DIFFERENCES, _COMMIT_AS_LISTED),),
        (
            (
                "sweep/compare.py",
                "            comparison.listed += len(listing.objects)\n",
                "            comparison.listed += len(listing.objects)\n" + _REMEMBER_LISTING,
            ),
            (
                "sweep/compare.py",
                "@dataclass(frozen=True)\nclass Comparer:\n",
                "LISTED: dict = {}\n\n\n@dataclass(frozen=True)\nclass Comparer:\n",
            ),
        ),
    ),
    Mutant(
        "delete drained messages before the commit",
        "reconcile/drain.py",
        ((_RECONCILE_DRAINED, "    _delete_processed(environment, queue, batch, drained)\n" + _RECONCILE_DRAINED),),
    ),
    Mutant(
        "delete drained messages that failed",
        "reconcile/drain.py",
        (
            (
                "    processed = [message for message in drained if message.id not in batch.failed]\n",
                "    processed = drained\n",
            ),
        ),
    ),
    Mutant(
        "treat 403/5xx on HEAD as absent",
        "reconcile/observe.py",
        (("                return failure\n", "                return Observation(key, None)\n"),),
    ),
    Mutant(
        "take a lost answer for success",
        "reconcile/commit.py",
        ((_SAVE, "        with suppress(OutcomeUnknown):\n    " + _SAVE),),
    ),
    Mutant(
        "claim to be complete at first sight",
        "reconcile/observe.py",
        (("        return observations, failures, covers_all\n", "        return observations, failures, True\n"),),
    ),
    Mutant(
        "request the sweep only after the head is written",
        "reconcile/observe.py",
        (
            (
                "            environment.enqueue([sweep], delay_seconds=SWEEP_DELAY_SECONDS)\n",
                "            REQUESTS.append(sweep)\n",
            ),
            ("SWEEP_DELAY_SECONDS = 5\n", "REQUESTS: list = []\n"),
        ),
        (
            ("reconcile/commit.py", "observe import Observer", "observe import REQUESTS, Observer"),
            (
                "reconcile/commit.py",
                _SAVE,
                _SAVE + "        while REQUESTS:\n            environment.enqueue([REQUESTS.pop()])\n",
            ),
        ),
    ),
    Mutant(
        "page split drops the boundary",
        "manifest/runs.py",
        (("Run(self._items[start:end])", "Run(self._items[start : end - (end < len(self))])"),),
    ),
    Mutant(
        "collector ignores grace",
        "sweep/garbage.py",
        (("for listed in objects if listed.last_modified < grace}", "for listed in objects}"),),
    ),
    Mutant(
        "reader mixes revisions",
        "query/reads.py",
        (("History(now).at(position.revision)", "History(now).at()"),),
    ),
    Mutant(
        "reader takes every change record for true",
        "storage/change_log.py",
        (("[name for name in rivals if name.commit in commits]", "rivals"),),
    ),
    Mutant(
        "an image that comes after its sidecar is not described by it",
        "reconcile/delta.py",
        (
            (
                "        if after and after.caption is None:\n",
                "        if after and after.caption is None and name not in observed:\n",
            ),
        ),
    ),
    Mutant(
        "a sidecar is applied only to the files of the same commit",
        "reconcile/delta.py",
        (("    described |= sidecar_effect.affected\n", ""),),
    ),
    Mutant(
        "a caption does not reach the image that came before it",
        "reconcile/delta.py",
        (
            (
                " for name, key in captions.items() for image in caption_targets(name)}\n",
                " for name, key in captions.items() for image in ()}\n",
            ),
        ),
    ),
    Mutant(
        "a large sidecar is applied to its first range only",
        "reconcile/commit.py",
        (("_advance([*remaining, *unapplied])", "_advance(remaining)"),),
    ),
    Mutant(
        "a sidecar counts as applied to all files after its first range",
        "sidecars/applied.py",
        (("sha256=sha256, up_to=up_to)", "sha256=sha256, up_to=None)"),),
    ),
    Mutant(
        "collector forgets the copies of sidecars",
        "sweep/garbage.py",
        ((".union(copy_keys(head.sidecars))", ""),),
    ),
    Mutant(
        "a redelivered message is not announced again",
        "reconcile/commit.py",
        (("result = CommitResult(collection, unannounced=repeated)", "result = CommitResult(collection)"),),
    ),
    Mutant(
        "sweep trusts the digest in the head without reading the page",
        "sweep/compare.py",
        (
            (
                "        if matches and part.low > slot_begin:\n",
                "        if matches:\n",
            ),
        ),
    ),
    Mutant(
        "a page is read without a comparison with its digest",
        "manifest/runs.py",
        (("    if ref.sha256 is not None and sha256_hex(body) != ref.sha256:\n", "    if False:\n"),),
    ),
    Mutant(
        "a copy of a sidecar is read without a comparison with its digest",
        "storage/snapshot.py",
        (("    if copy.sha256 is not None and sha256_hex(body) != copy.sha256:\n", "    if False:\n"),),
    ),
    Mutant(
        "a change record is read without a comparison with its digest",
        "manifest/changes.py",
        (("    if sha256(content).hexdigest().encode() != seal[1]:\n", "    if False:\n"),),
    ),
    Mutant(
        "a repair goes on with the history of what was lost",
        "reconcile/delta.py",
        (
            (
                "first_revision=revision if commit.is_repair or head is None else",
                "first_revision=revision if head is None else",
            ),
            ("previous=REPAIRED if is_repair else ", "previous="),
        ),
    ),
    Mutant(
        "a manifest that was repaired in part claims to be complete",
        "reconcile/delta.py",
        (
            (
                "    complete = commit.covers_all and was_complete if commit.is_repair",
                "    complete = True if commit.is_repair",
            ),
        ),
    ),
    Mutant(
        "the source of an object is the event or the listing that came first",
        "reconcile/observe.py",
        (
            (
                "source_of(head.last_modified, subscribed_at)",
                "'s3_scan' if self.__dict__.get('causes', {}).get(head.key, 'sweep') == 'sweep' else 's3_event'",
            ),
        ),
        (
            (
                "reconcile/commit.py",
                "        broken: list[ReadFailed] = []\n",
                "        observer.__dict__['causes'] = self.causes\n        broken: list[ReadFailed] = []\n",
            ),
        ),
    ),
    Mutant(
        "undeclared generations are listed by the date of the first file that was observed",
        "reconcile/delta.py",
        (("(declared if group.declared else derived).append(group)", "declared.append(group)"),),
    ),
    Mutant(
        "a subscription begins before its record can be read",
        "storage/subscription_record.py",
        (
            ("        late = {since for since in tried if since <= at}\n", "        late = set()\n"),
            ("replace(microsecond=0) + timedelta(seconds=1)", "replace(microsecond=0) - _LEAD"),
        ),
    ),
    Mutant(
        "whether a manifest has pages depends on how many entries it had",
        "manifest/layout.py",
        (("slots) <= MAX_INLINE:", "slots) <= MAX_INLINE // 2:"),),
    ),
    Mutant(
        "the bucket of an event is ignored",
        "reconcile/reconcile.py",
        (
            (
                "environment.collections.collection_of(event.bucket, event.key)\n",
                "environment.collections.collection_of(environment.collections.buckets[0], event.key)\n",
            ),
        ),
    ),
)
"""Rules of the protocol, of pages and of sweeps, and other mistakes that this code could make."""
