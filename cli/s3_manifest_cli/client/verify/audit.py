"""Audits a manifest against S3: observes every object, and reports what each MD5 is based on.

It makes one HEAD request for each file. A difference may be a change that the manifest does not show yet, so it is
observed again after some seconds. Only a difference that persists is drift.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar, get_args

from s3_manifest.aws.clients import s3_client
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import Entry, Facts, Sidecar
from s3_manifest.reconcile.entries import is_folder
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.store import Absent, Conflict, Present, ReadFailed, iter_objects
from s3_manifest_cli.client.access.s3_errors import ExplainingStore
from s3_manifest_cli.client.access.threads import parallel_map
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.direct import translated_errors
from s3_manifest_cli.client.manifests.manifests import Manifest, RemoteFile
from s3_manifest_cli.client.verify.proofs import ContentChecker, ExpectedContent

AuditState = Literal["right", "missing", "unexpected", "modified", "unverifiable", "unsettled", "unreadable"]
"""``missing``: in the manifest, not in S3. ``unexpected``: in S3, not in the manifest. ``modified``: S3 has another
object or other bytes. These three are drift. ``unverifiable``: the bytes were read, and nothing in the manifest proves
them. ``unsettled``: the object changed during the audit. ``unreadable``: S3 refused the request."""

STATES: tuple[AuditState, ...] = get_args(AuditState)

DRIFT: frozenset[AuditState] = frozenset({"missing", "unexpected", "modified"})

Md5Proof = Literal["read", "etag", "checksum", "declared", "computed", "none"]
"""What the manifest's MD5 is based on. ``read``: this audit read the bytes. ``etag``: the object was uploaded in one
part and is not encrypted with a key of KMS or of a customer, so S3's ETag is the MD5. ``checksum``: S3 has the MD5 of
the whole object as a checksum. ``declared``: the uploader declares it in user metadata, which proves nothing.
``computed``: the reconciler read the bytes, and the object still has that ETag. ``none``: the manifest has no MD5."""

PROOFS: tuple[Md5Proof, ...] = get_args(Md5Proof)

_HEAD_BATCH = 1000
_READ_BATCH = 8


class AuditedFile(NamedTuple):
    """One file, caption, hidden file or sidecar; a sidecar has no ``proof``."""

    filename: str
    state: AuditState
    proof: Md5Proof | None = None
    why: str | None = None


class Audit(NamedTuple):
    """The result, by filename. ``settled`` is the number of files that differed at first and no longer do."""

    facts: Facts
    files: list[AuditedFile]
    settled: int

    @property
    def totals(self) -> dict[AuditState, int]:
        """The number of files in each state."""
        counts = Counter(file.state for file in self.files)
        return {state: counts[state] for state in STATES}

    @property
    def proofs(self) -> dict[Md5Proof, int]:
        """The number of right files by what their MD5 is based on."""
        counts = Counter(file.proof for file in self.files if file.state == "right")
        return {proof: counts[proof] for proof in PROOFS}

    @property
    def is_consistent(self) -> bool:
        """Whether S3 holds exactly the objects of the manifest."""
        return all(file.state == "right" for file in self.files)


Item = TypeVar("Item")
Result = TypeVar("Result")

_Observation = Present | None | str
"""An object; None where there is none; or why S3 refused the request."""

_Expected = Entry | Sidecar


def audit(
    deployment: Deployment,
    collection: Collection,
    *,
    settle_seconds: float = 10,
    read: bool = False,
    progress: Callable[[int], None] = lambda _files: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Audit:
    """Compares the collection's manifest with a listing of S3 and a HEAD of each object.

    It uses the user's AWS credentials, also for a deployment that is reached over HTTP. With ``read``, the bytes of
    each object are read and checked too. ``progress`` gets the number of files observed so far. Raises ``NotFound``,
    ``Unavailable``; an object that S3 refuses is ``unreadable``.
    """
    manifest = deployment.manifests.read(collection)
    client = s3_client(deployment.endpoint, session=deployment.session)
    store = ExplainingStore(collection.bucket or manifest.facts.s3_bucket, client, client)
    auditor = _Auditor(store, deployment.collections, collection, progress)
    expected = _expected(manifest, collection)
    with translated_errors():
        names = sorted(expected.keys() | auditor.list_names())
    observed = auditor.observe(names)
    files = {name: _compare(name, expected.get(name), observed[name]) for name in names}
    different = [name for name, file in files.items() if file and file.state != "right"]
    settled = 0
    if different and settle_seconds:
        sleep(settle_seconds)
        manifest = deployment.manifests.read(collection)
        expected_now = _expected(manifest, collection)
        for name, observation in auditor.observe(different).items():
            expected[name] = expected_now.get(name)
            file = _compare(name, expected[name], observation)
            if file is None or file.state == "right":
                settled += 1
            elif observation != observed[name]:
                file = AuditedFile(name, "unsettled", why="it changed during the audit")
            files[name] = file
    found = [file for file in files.values() if file]
    return Audit(manifest.facts, auditor.read(found, expected) if read else found, settled)


def _md5_proof(entry: Entry) -> Md5Proof:
    match entry.md5_source:
        case None:
            return "none"
        case "etag" | "checksum" | "computed":
            return entry.md5_source
        case _:
            return "declared"


def _expected(manifest: Manifest, collection: Collection) -> dict[str, _Expected | None]:
    # A sidecar without an ETag was deleted, and its descriptions are still being removed.
    sidecars = {collection.filename(sidecar.s3_key): sidecar for sidecar in manifest.facts.sidecars if sidecar.etag}
    return {**manifest.entries, **sidecars}


class _Auditor(NamedTuple):
    """Reads one collection's objects. ``progress`` gets the number of objects done."""

    store: ExplainingStore
    collections: Collections
    collection: Collection
    progress: Callable[[int], None]

    def list_names(self) -> set[str]:
        objects = iter_objects(self.store, self.collection.prefix)
        keys = [listed.key for listed in objects if not is_folder(listed)]
        return set(map(self.collection.filename, self.collections.own_keys(self.collection, keys)))

    def observe(self, names: Sequence[str]) -> dict[str, _Observation]:
        return dict(zip(names, self._in_batches(self._head, names, _HEAD_BATCH), strict=True))

    def read(self, files: Sequence[AuditedFile], expected: Mapping[str, _Expected | None]) -> list[AuditedFile]:
        """The same files, after a comparison of the bytes of those that are right so far."""

        def check(file: AuditedFile) -> AuditedFile:
            entry = expected.get(file.filename)
            return self._check_bytes(file, entry) if file.state == "right" and isinstance(entry, Entry) else file

        return list(self._in_batches(check, files, _READ_BATCH))

    def _in_batches(self, function: Callable[[Item], Result], items: Sequence[Item], size: int) -> Iterable[Result]:
        for start in range(0, len(items), size):
            batch = items[start : start + size]
            yield from parallel_map(function, batch)
            self.progress(start + len(batch))

    def _head(self, name: str) -> _Observation:
        try:
            observation = self.store.head(self.collection.prefix + name)
        except ReadFailed as error:
            return str(error)
        return None if isinstance(observation, Absent) or is_folder(observation) else observation

    def _check_bytes(self, file: AuditedFile, entry: Entry) -> AuditedFile:
        checker = ContentChecker(ExpectedContent.of(RemoteFile.from_entry(entry)))
        try:
            for block in self.store.blocks(entry.s3_key, entry.etag):
                checker.update(block)
        except Conflict:
            return file._replace(state="unsettled", proof=None, why="it changed during the audit")
        except ReadFailed as error:
            return file._replace(state="unreadable", proof=None, why=str(error))
        result = checker.result()
        if result.warning:
            return file._replace(proof="declared", why=result.warning)
        if result.status == "match":
            return file._replace(proof="read" if entry.md5_hash else "none", why=result.reason)
        state: AuditState = "modified" if result.status == "mismatch" else "unverifiable"
        return file._replace(state=state, proof=None, why=result.reason)


def _compare(name: str, expected: _Expected | None, observed: _Observation) -> AuditedFile | None:
    """How an object compares with the manifest; None where neither has it."""
    if isinstance(observed, str):
        return AuditedFile(name, "unreadable", why=observed)
    if expected is None:
        return AuditedFile(name, "unexpected", why="it is in S3, but not in the manifest") if observed else None
    if observed is None:
        return AuditedFile(name, "missing", why="it is in the manifest, but not in S3")
    if fields := "; ".join(_differing_fields(expected, observed)):
        return AuditedFile(name, "modified", why=fields)
    return AuditedFile(name, "right", _md5_proof(expected) if isinstance(expected, Entry) else None)


def _differing_fields(expected: _Expected, observed: Present) -> Iterator[str]:
    is_same = observed.etag == expected.etag
    pairs: dict[str, tuple[object, object]] = {"ETag": (observed.etag, expected.etag)}
    if isinstance(expected, Entry):
        pairs["size"] = (observed.size, expected.size_bytes)
        # Whole seconds: some servers return no more.
        pairs["time"] = (observed.last_modified[:19], expected.last_modified[:19])
        if is_same:
            pairs["storage class"] = (observed.storage_class, expected.storage_class)
            pairs["version"] = (observed.version_id, expected.version_id)
    for name, (in_s3, in_manifest) in pairs.items():
        if in_s3 != in_manifest:
            yield f"its {name} is {in_s3}, and the manifest says {in_manifest}"
    if not is_same or isinstance(expected, Sidecar):
        return
    stored = f"the manifest says {expected.md5_hash} ({expected.md5_source})"
    proven = proven_md5(observed)
    if proven and proven != (expected.md5_hash, expected.md5_source):
        yield f"its MD5 is {proven[0]} ({proven[1]}), and {stored}"
    if not proven and expected.md5_source not in (None, "computed"):
        yield f"S3 has no proof of its MD5, and {stored}"
