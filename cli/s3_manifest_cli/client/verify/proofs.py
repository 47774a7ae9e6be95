"""Checks bytes against a manifest entry, and names the proof. Pure, except for the functions that read files.

Proofs are the MD5 and the checksums of the whole object that S3 keeps (CRC64NVME, SHA-512, SHA-256, SHA-1, MD5, CRC32C,
CRC32). An MD5 declared by the uploader may be wrong: if the bytes match what S3 keeps and not that MD5, the declaration
is wrong and the bytes are right. An object that was uploaded in parts may have neither MD5 nor checksum. Then its ETag
or composite checksum is recomputed for each part size that its client may have used. An equal result is a proof; a
different one is not, because the part size may have been another. A different size proves that a file is wrong.

An ETag without parts is never a proof: it is an MD5 only for some objects, and for those ``md5_hash`` has it.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import base64
import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Self

from s3_manifest_cli.client.local.hashes import MatchResult
from s3_manifest_cli.client.local.reading import ReadFailure, ReadProgress, no_progress, read_files
from s3_manifest_cli.client.local.scan import LocalFile
from s3_manifest_cli.client.manifests.manifests import RemoteFile
from s3_manifest_cli.client.verify.checksums import ALGORITHMS, Bytes, Hash, MultipartHash, possible_part_sizes

_BLOCK = 1 << 18
_ETAG = re.compile(r'"?([0-9a-f]{32})-([1-9][0-9]{0,4})"?')
_CHECKSUM = re.compile(r"([A-Za-z0-9+/]+=*)(?:-([1-9][0-9]{0,4}))?")


class ExpectedContent(NamedTuple):
    """What a manifest entry records about an object's bytes: fields of ``s3_manifest.manifest.model.Entry``.

    ``declared`` is the name of the user metadata that the MD5 comes from, if only the uploader declares it
    (``md5_source`` of the entry). ``part_sizes`` are the sizes of the parts in order, if they are known (S3 returns
    them for objects with checksums).
    """

    size_bytes: int
    md5_hash: str | None = None
    etag: str = ""
    checksum: Mapping[str, str] | None = None
    part_sizes: Sequence[int] | None = None
    declared: str | None = None

    @classmethod
    def of(cls, remote: RemoteFile) -> Self:
        """What a manifest records about that file."""
        return cls(remote.size, remote.md5, remote.etag, remote.checksum, declared=remote.declared)


class CheckResult(NamedTuple):
    """The result of a check: ``match`` and ``mismatch`` are proven by ``proofs``; ``unverifiable`` is neither.

    ``proofs`` holds ``size``, ``md5``, ``sha256``, ``sha1``, ``crc64nvme``, ``crc32c``, ``crc32``; for an object in
    parts ``etag``, or ``sha256-parts`` and the like. ``reason`` is a sentence for the user. ``warning`` is a
    second one if the uploader declares an MD5 that the object does not have.
    """

    status: Literal["match", "mismatch", "unverifiable"]
    proofs: tuple[str, ...]
    reason: str
    warning: str | None = None

    @property
    def match_result(self) -> MatchResult:
        """Whether the bytes match, or the reason why that is unknown."""
        return self.reason if self.status == "unverifiable" else self.status == "match"


class _Candidates(NamedTuple):
    """A digest that the entry has, and the hashes to compare it with: several if the part size is unknown.

    ``is_certain``: the bytes are wrong if no hash is equal.
    """

    proof: str
    digest: bytes
    hashes: Sequence[Hash]
    is_certain: bool = True


class ContentChecker:
    """Takes an object's bytes in order, once, and computes every digest that its entry has."""

    def __init__(self, expected: ExpectedContent) -> None:
        self._expected = expected
        self._size = 0
        self._candidates = _candidates(expected)

    def update(self, data: Bytes) -> None:
        """Adds the bytes that follow."""
        self._size += len(data)
        for candidates in self._candidates:
            for hash_ in candidates.hashes:
                hash_.update(data)

    def result(self) -> CheckResult:
        """The result for the bytes so far; call it when all are added."""
        expected = self._expected
        if self._size != expected.size_bytes:
            return wrong_size(self._size, expected.size_bytes)
        equal, different, warning = [], [], None
        for proof, digest, hashes, is_certain in self._candidates:
            if any(hash_.digest() == digest for hash_ in hashes):
                equal.append(proof)
            elif is_certain:
                different.append(proof)
        if different == ["md5"] and expected.declared:
            warning = _wrong_declaration(expected)
            if not equal:
                reason = (
                    f"these bytes do not have the MD5 that the uploader declares ({expected.declared}:"
                    f" {expected.md5_hash}), and S3 keeps nothing else that proves them. If this happens again, the"
                    " declaration is wrong: upload the file again, or correct its metadata (aws s3api copy-object"
                    " --metadata-directive REPLACE)"
                )
                return CheckResult("mismatch", ("md5",), reason)
        elif different:
            reason = f"the {_join(different)} of these bytes differs from the manifest"
            if equal:
                reason += f", but the {_join(equal)} is equal: the object's own checksums disagree; upload it again"
            return CheckResult("mismatch", tuple(different), reason)
        if equal:
            return CheckResult("match", tuple(equal), f"proven by {_join(equal)}", warning)
        return CheckResult("unverifiable", (), _reason_unverifiable(expected, self._candidates))


def check_file(file: BinaryIO, expected: ExpectedContent) -> CheckResult:
    """Checks a file, reading it from its start in one pass; not at all if its size is wrong. Raises ``OSError``."""
    size = file.seek(0, os.SEEK_END)
    if size != expected.size_bytes:
        return wrong_size(size, expected.size_bytes)
    file.seek(0)
    checker = ContentChecker(expected)
    while block := file.read(_BLOCK):
        checker.update(block)
    return recheck_declared_md5(file, expected, checker.result())


def check_files(
    folder: Path, pairs: Sequence[tuple[LocalFile, RemoteFile]], progress: ReadProgress = no_progress
) -> Iterator[tuple[LocalFile, CheckResult | ReadFailure]]:
    """Reads each local file and checks it against its remote file, in order. See ``read_files``."""
    expected = {file: ExpectedContent.of(remote) for file, remote in pairs}
    return read_files(folder, list(expected), lambda file, opened: check_file(opened, expected[file]), progress)


def verification_key(remote: RemoteFile) -> str:
    """Every field of a remote file that a check result depends on, as text."""
    checksum = " ".join(f"{name}:{value}" for name, value in sorted((remote.checksum or {}).items()))
    return f"{remote.size} {remote.md5} {remote.declared or ''} {remote.etag} {checksum}"


def recheck_declared_md5(file: BinaryIO, expected: ExpectedContent, result: CheckResult) -> CheckResult:
    """Checks a file again without its declared MD5, if only that contradicts the bytes. Raises ``OSError``.

    The parts of the object may still prove the bytes; they are compared only if nothing better is known.
    """
    without_md5 = expected._replace(md5_hash=None, declared=None)
    if not contradicts_only_declared_md5(expected, result) or not is_verifiable(without_md5):
        return result
    second = check_file(file, without_md5)
    return second._replace(warning=_wrong_declaration(expected)) if second.status == "match" else result


def contradicts_only_declared_md5(expected: ExpectedContent, result: CheckResult) -> bool:
    """Whether nothing but an MD5 that the uploader declares contradicts the bytes."""
    return result.status == "mismatch" and result.proofs == ("md5",) and expected.declared is not None


def unconfirmed_declared_md5(expected: ExpectedContent) -> CheckResult:
    """The result for bytes that S3 sent twice alike, and that do not have the declared MD5."""
    reason = "S3 keeps nothing that proves these bytes; it sent the same bytes twice"
    return CheckResult("unverifiable", (), reason, _wrong_declaration(expected))


def is_verifiable(expected: ExpectedContent) -> bool:
    """Whether the entry has a digest that could prove the bytes. If not, reading them is of no use."""
    return bool(_candidates(expected))


def _candidates(expected: ExpectedContent) -> list[_Candidates]:
    # Digests of parts are the last resort: they cost many times the work and prove less.
    return list(_whole_candidates(expected)) or [
        candidates for candidates in _part_candidates(expected) if candidates.hashes
    ]


def _whole_candidates(expected: ExpectedContent) -> Iterator[_Candidates]:
    if expected.md5_hash and re.fullmatch(r"[0-9a-f]{32}", expected.md5_hash):
        yield _Candidates("md5", bytes.fromhex(expected.md5_hash), (ALGORITHMS["md5"](),))
    is_composite = (expected.checksum or {}).get("type") == "COMPOSITE"
    count = _etag_part_count(expected)
    for name, digest, parts in _decoded_checksums(expected):
        # S3 has no SHA of a whole multipart object. Some servers return a composite CRC as one of the whole.
        if not (is_composite or parts) and (count <= 1 or name.startswith("crc")):
            of_parts = _multipart_hashes(name, count, expected) if count > 1 else ()
            yield _Candidates(name, digest, (ALGORITHMS[name](), *of_parts))


def _part_candidates(expected: ExpectedContent) -> Iterator[_Candidates]:
    if count := _etag_part_count(expected):
        # The ETag of an encrypted object is not made of its parts' MD5s, and nothing shows that it is encrypted.
        etag = bytes.fromhex(expected.etag.strip('"').partition("-")[0])
        yield _Candidates("etag", etag, _multipart_hashes("md5", count, expected), is_certain=False)
    for name, digest, own_count in _decoded_checksums(expected):
        if parts := own_count or count:
            is_certain = parts == 1 or bool(_known_part_sizes(parts, expected))
            yield _Candidates(f"{name}-parts", digest, _multipart_hashes(name, parts, expected), is_certain)


def _multipart_hashes(algorithm: str, count: int, expected: ExpectedContent) -> list[MultipartHash]:
    """One hash for each way in which the object may have been cut into parts."""
    if known := _known_part_sizes(count, expected):
        return [MultipartHash(algorithm, known)]
    if count == 1:
        return [MultipartHash(algorithm, [expected.size_bytes])]
    return [MultipartHash(algorithm, [size]) for size in possible_part_sizes(expected.size_bytes, count)]


def _known_part_sizes(count: int, expected: ExpectedContent) -> Sequence[int] | None:
    known = expected.part_sizes
    return known if known and len(known) == count and sum(known) == expected.size_bytes else None


def _etag_part_count(expected: ExpectedContent) -> int:
    """The number of parts by the ETag; 0 where it has none."""
    matched = _ETAG.fullmatch(expected.etag)
    return int(matched[2]) if matched else 0


def _decoded_checksums(expected: ExpectedContent) -> Iterator[tuple[str, bytes, int]]:
    """The valid checksums by algorithm, strongest first; each with the number of its parts, 0 where it names none."""
    for name, new in ALGORITHMS.items():
        if matched := _CHECKSUM.fullmatch((expected.checksum or {}).get(name, "")):
            with contextlib.suppress(ValueError):
                digest = base64.b64decode(matched[1], validate=True)
                if len(digest) == len(new().digest()):
                    yield name, digest, int(matched[2] or 0)


def wrong_size(size: int, expected_size: int) -> CheckResult:
    """The result for a file of another size than the manifest's, which need not be read."""
    return CheckResult("mismatch", ("size",), f"it has {size} bytes, the manifest {expected_size}")


def _join(proofs: Sequence[str]) -> str:
    return " and ".join(proofs)


def _wrong_declaration(expected: ExpectedContent) -> str:
    return (
        f"the uploader declares a wrong MD5 ({expected.declared}: {expected.md5_hash}), and these are the bytes in S3:"
        " upload the file again, or correct its metadata"
    )


def _reason_unverifiable(expected: ExpectedContent, candidates: Sequence[_Candidates]) -> str:
    if not candidates:
        return f"the manifest has no MD5 and no checksum of the object, only its ETag ({expected.etag})"
    return (
        "the object was uploaded in parts, and the manifest has no MD5 or checksum of the whole; no usual part size"
        f" gives its {_join([digest.proof for digest in candidates])}, which proves nothing"
    )
