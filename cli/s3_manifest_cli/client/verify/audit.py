"""A manifest verified against S3 itself: every object is looked at, and what proves its MD5 is told.

One HEAD request for each file. What differs may be a change that the manifest does not show yet, so it is looked at
once more, after some seconds: drift is only what is still the same then, and still not what the manifest says.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar, get_args

from s3_manifest.aws.clients import s3_client
from s3_manifest.aws.threads import each
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import Entry, Facts, Sidecar
from s3_manifest.reconcile.entries import is_folder
from s3_manifest.storage.md5 import proven_md5
from s3_manifest.storage.s3 import S3Store
from s3_manifest.storage.store import Absent, Conflict, Present, ReadFailed, listings
from s3_manifest_cli.client.access.explaining_store import ExplainingStore
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.manifests.direct import declared
from s3_manifest_cli.client.manifests.direct import told as as_errors
from s3_manifest_cli.client.manifests.manifests import Manifest, Manifests
from s3_manifest_cli.client.verify.proofs import Checker, Expected, Verdict

AuditState = Literal["right", "missing", "unexpected", "modified", "unverifiable", "unsettled", "unreadable"]
"""``missing``: the manifest has it and S3 has not. ``unexpected``: the other way round. ``modified``: S3 has another
object, or other bytes. These three are drift. ``unverifiable``: its bytes were read, and nothing that the manifest
says proves them. ``unsettled``: it was changed while it was looked at. ``unreadable``: S3 did not tell."""

STATES: tuple[AuditState, ...] = get_args(AuditState)

DRIFT: frozenset[AuditState] = frozenset({"missing", "unexpected", "modified"})

Md5Proof = Literal["read", "etag", "checksum", "declared", "computed", "none"]
"""What the manifest's MD5 rests on. ``read``: the bytes were read just now. ``etag``: S3 says now that the object was
uploaded in one part and is not encrypted with a key of KMS or of a customer, so its ETag is the MD5. ``checksum``: S3
has the MD5 of the whole object as a checksum. ``declared``: whoever uploaded it says so in user metadata, which is a
claim, and no proof. ``computed``: the reconciler read the bytes of the object, which is still the one with that ETag.
``none``: the manifest has no MD5."""

PROOFS: tuple[Md5Proof, ...] = get_args(Md5Proof)

_TOGETHER = 1000
_READ_TOGETHER = 8


class Audited(NamedTuple):
    """One file, caption, hidden file or sidecar; a sidecar has no ``proof``."""

    filename: str
    state: AuditState
    proof: Md5Proof | None = None
    why: str | None = None


class Audit(NamedTuple):
    """What came of it, by filename. ``settled``: so many were not as the manifest said at first, and were later."""

    facts: Facts
    files: list[Audited]
    settled: int

    @property
    def totals(self) -> dict[AuditState, int]:
        """How many files are in each state."""
        counted = Counter(one.state for one in self.files)
        return {state: counted[state] for state in STATES}

    @property
    def proofs(self) -> dict[Md5Proof, int]:
        """What the MD5s of so many files rest on, of those that are right."""
        counted = Counter(one.proof for one in self.files if one.state == "right")
        return {proof: counted[proof] for proof in PROOFS}

    @property
    def is_right(self) -> bool:
        """Whether all is as the manifest says."""
        return all(one.state == "right" for one in self.files)


class _Unreadable(NamedTuple):
    why: str


Item = TypeVar("Item")

_Look = Present | None | _Unreadable
_Said = Entry | Sidecar


def store_of(deployment: Deployment, bucket: str) -> S3Store:
    """The bucket, with the user's own AWS credentials, whichever way manifests are read. Only for reading."""
    client = s3_client(deployment.endpoint, session=deployment.session)
    return ExplainingStore(bucket, client, client)


def audit(
    manifests: Manifests,
    store: S3Store,
    collections: Collections,
    collection: Collection,
    *,
    settle_seconds: float = 10,
    read: bool = False,
    told: Callable[[int], None] = lambda _files: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Audit:
    """The collection's manifest against a listing of S3 and a look at each object.

    With ``read`` the bytes of each are read too, and proven by all that the manifest says of them. ``told`` is called
    as the work goes on, with how many files were looked at. Raises ``NotFound``, ``Unavailable``; an object that S3
    does not tell about is ``unreadable``.
    """
    manifest = manifests.read(collection)
    says = _says(manifest, collection)
    with as_errors():
        names = sorted(says.keys() | _listed(store, collections, collection))
    looks = _look(store, collection, names, told)
    wrong = {name: fault for name in names if (fault := _fault(says.get(name), looks[name]))}
    settled = 0
    if wrong and settle_seconds:
        sleep(settle_seconds)
        manifest = manifests.read(collection)
        now_says = _says(manifest, collection)
        again = _look(store, collection, list(wrong), told)
        for name in list(wrong):
            says.pop(name, None)
            if name in now_says:
                says[name] = now_says[name]
            before, looks[name] = looks[name], again[name]
            if fault := _fault(says.get(name), again[name]):
                wrong[name] = fault if again[name] == before else ("unsettled", "it was changed meanwhile")
            else:
                del wrong[name]
                settled += 1
    files = [
        Audited(name, wrong[name][0], None, wrong[name][1])
        if name in wrong
        else Audited(name, "right", proof_of(said) if isinstance(said, Entry) else None)
        for name in names
        if (said := says.get(name)) or name in wrong
    ]
    if read:
        files = _read_all(store, says, files, told)
    return Audit(manifest.facts, files, settled)


def proof_of(entry: Entry) -> Md5Proof:
    """What the MD5 of an entry that is as S3 says rests on."""
    match entry.md5_source:
        case None:
            return "none"
        case "etag" | "checksum" | "computed":
            return entry.md5_source
        case _:
            return "declared"


def _says(manifest: Manifest, collection: Collection) -> dict[str, _Said]:
    entries: dict[str, _Said] = {
        entry.filename: entry for entry in (*manifest.files, *manifest.captions, *manifest.hidden)
    }
    # Without an ETag it is gone, and what it said is still being taken back.
    return entries | {collection.filename(one.s3_key): one for one in manifest.facts.sidecars if one.etag}


def _listed(store: S3Store, collections: Collections, collection: Collection) -> set[str]:
    found: set[str] = set()
    for listing in listings(store, collection.prefix):
        keys = [one.key for one in listing.objects if not is_folder(one)]
        found |= {collection.filename(key) for key in collections.own_keys(collection, keys)}
    return found


def _look(
    store: S3Store, collection: Collection, names: Sequence[str], told: Callable[[int], None]
) -> dict[str, _Look]:
    def look(name: str) -> _Look:
        try:
            found = store.head(collection.prefix + name)
        except ReadFailed as failure:
            return _Unreadable(str(failure))
        return None if isinstance(found, Absent) or is_folder(found) else found

    looks: dict[str, _Look] = {}
    for some in _batches(names, _TOGETHER):
        looks |= zip(some, each(look, some), strict=True)
        told(len(looks))
    return looks


def _fault(said: _Said | None, look: _Look) -> tuple[AuditState, str] | None:
    """What is wrong of a file; None where it is as the manifest says."""
    if isinstance(look, _Unreadable):
        return "unreadable", look.why
    if said is None:
        return ("unexpected", "S3 has it, and the manifest has not") if look else None
    if look is None:
        return "missing", "the manifest has it, and S3 has not"
    faults = list(_other(said, look))
    return ("modified", "; ".join(faults)) if faults else None


def _other(said: _Said, look: Present) -> Iterator[str]:
    if isinstance(said, Sidecar):
        if said.etag != look.etag:
            yield f"its ETag is {look.etag}, and the manifest says {said.etag}"
        return
    pairs: dict[str, tuple[object, object]] = {
        "ETag": (look.etag, said.etag),
        "size": (look.size, said.size_bytes),
        # Whole seconds, as some servers tell no more.
        "time": (look.last_modified[:19], said.last_modified[:19]),
    }
    is_another = look.etag != said.etag
    if not is_another:
        pairs |= {
            "storage class": (look.storage_class, said.storage_class),
            "version": (look.version_id, said.version_id),
        }
    for name, (is_, says) in pairs.items():
        if is_ != says:
            yield f"its {name} is {is_}, and the manifest says {says}"
    if is_another:  # and so is all the rest of it
        return
    proven = proven_md5(look)
    if proven and proven != (said.md5_hash, said.md5_source):
        yield f"its MD5 is {proven[0]} ({proven[1]}), and the manifest says {said.md5_hash} ({said.md5_source})"
    if not proven and said.md5_source not in (None, "computed"):
        yield f"S3 does not say its MD5, and the manifest says {said.md5_hash} ({said.md5_source})"


def _read_all(
    store: S3Store, says: Mapping[str, _Said], files: Sequence[Audited], told: Callable[[int], None]
) -> list[Audited]:
    """The same files, those that were right by what their bytes prove."""

    def prove(one: Audited) -> Audited:
        said = says.get(one.filename)
        return _proven(store, one, said) if one.state == "right" and isinstance(said, Entry) else one

    found: list[Audited] = []
    for some in _batches(files, _READ_TOGETHER):
        found += each(prove, some)
        told(len(found))
    return found


def _proven(store: S3Store, one: Audited, said: Entry) -> Audited:
    expected = Expected(said.size_bytes, said.md5_hash, said.etag, said.checksum, declared=declared(said.md5_source))
    checker = Checker(expected)
    try:
        for block in store.blocks(said.s3_key, said.etag):
            checker.update(block)
    except Conflict:
        return one._replace(state="unsettled", proof=None, why="it was changed meanwhile")
    except ReadFailed as failure:
        return one._replace(state="unreadable", proof=None, why=str(failure))
    return _judged(one, said, checker.verdict())


def _judged(one: Audited, said: Entry, verdict: Verdict) -> Audited:
    if verdict.note:
        return one._replace(proof="declared", why=verdict.note)
    if verdict.status == "right":
        return one._replace(proof="read" if said.md5_hash else "none", why=verdict.why)
    return one._replace(state="modified" if verdict.status == "wrong" else "unverifiable", proof=None, why=verdict.why)


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
