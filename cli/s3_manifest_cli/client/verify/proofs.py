"""Whether bytes are what the manifest's entry says, and by what proof. Pure, but for the file that ``verify`` reads.

What proves: the MD5, and the checksums of the whole object that S3 keeps (CRC64NVME, SHA-512, SHA-256, SHA-1, MD5,
CRC32C, CRC32). An MD5 that its uploader declares is somebody's word: where what S3 keeps proves the bytes and the MD5
differs, the word is wrong and not the bytes. An object that was uploaded in parts may have neither MD5 nor checksum:
then its ETag, or its composite checksum, is recomputed for each part size that its client may have used (``parts``).
One that comes out the same proves; where none does, the part size may have been another, and nothing is known. A size
proves only that a file is wrong.

An ETag without parts is never a proof: it is an MD5 only of some objects, and of those ``md5_hash`` has it.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import base64
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, Literal, NamedTuple, Protocol, TypeAlias

from awscrt import checksums  # type: ignore[import-untyped]  # it says its types, and not that it does

from s3_manifest_cli.client.verify import parts

_BLOCK = 1 << 18
_ETAG = re.compile(r'"?([0-9a-f]{32})-([1-9][0-9]{0,4})"?')
_COMPOSITE = re.compile(r"(.+)-([1-9][0-9]{0,4})")

Bytes: TypeAlias = bytes | bytearray | memoryview


class Expected(NamedTuple):
    """What an entry says of its bytes: fields of ``s3_manifest.manifest.model.Entry``.

    ``declared``, if the MD5 is only what its uploader says, is the user metadata that says so: ``md5_source`` of the
    entry. ``part_sizes``, if somebody knows them (S3 tells of each part of an object with checksums), are the sizes of
    the parts it was uploaded in, in order.
    """

    size_bytes: int
    md5_hash: str | None = None
    etag: str = ""
    checksum: Mapping[str, str] | None = None
    part_sizes: Sequence[int] | None = None
    declared: str | None = None


class Verdict(NamedTuple):
    """``right`` and ``wrong`` are proven, ``by`` what; ``unverifiable`` is neither, and ``why`` says for what lack.

    ``by`` holds ``size``, ``md5``, ``sha256``, ``sha1``, ``crc64nvme``, ``crc32c``, ``crc32``; of an object in
    parts ``etag`` or ``sha256-parts`` and the like. ``why`` is a sentence for people, and ``note`` one about the
    object: that its uploader declares an MD5 which its bytes do not have.
    """

    status: Literal["right", "wrong", "unverifiable"]
    by: tuple[str, ...]
    why: str
    note: str | None = None


class _Hash(Protocol):
    def update(self, data: Bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    """A CRC as ``hashlib`` has its hashes; its digest is as S3 encodes it, the highest byte first."""

    def __init__(self, function: Callable[[Bytes, int], int], size: int) -> None:
        self._function, self._size, self._value = function, size, 0

    def update(self, data: Bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


# Strongest first. Their names are those of a manifest's checksums.
_NEW: Mapping[str, Callable[[], _Hash]] = {
    "sha512": hashlib.sha512,
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "crc64nvme": lambda: _Crc(checksums.crc64nvme, 8),
    "crc32c": lambda: _Crc(checksums.crc32c, 4),
    "crc32": lambda: _Crc(zlib.crc32, 4),
}


class _InParts:
    """The digest of the parts' digests, for parts of given sizes; the last size is that of all that follow."""

    def __init__(self, algorithm: str, sizes: Sequence[int]) -> None:
        self._new = _NEW[algorithm]
        self._sizes = iter(sizes)
        self._done = bytearray()
        self._begin(next(self._sizes))

    def _begin(self, size: int) -> None:
        self._part, self._size, self._left = (
            self._new(),
            size,
            max(1, size),
        )  # more bytes than there should be must end too

    def update(self, data: Bytes, /) -> None:
        rest = memoryview(data)
        while len(rest) > self._left:
            self._part.update(rest[: self._left])
            rest = rest[self._left :]
            self._done += self._part.digest()
            self._begin(next(self._sizes, self._size))
        self._part.update(rest)
        self._left -= len(rest)

    def digest(self) -> bytes:
        of_all = self._new()
        of_all.update(self._done + self._part.digest())
        return of_all.digest()


class _Claim(NamedTuple):
    """A digest that the entry tells, and what is computed to compare it: several where the part size is not known."""

    by: str
    said: bytes
    computed: Sequence[_Hash]
    is_certain: bool


class Checker:
    """Takes an object's bytes in order, once, and computes all that its entry can be compared with."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._size = 0
        self._claims = _claims(expected)

    def update(self, data: Bytes) -> None:
        """The bytes that follow."""
        self._size += len(data)
        for claim in self._claims:
            for one in claim.computed:
                one.update(data)

    def verdict(self) -> Verdict:
        """The verdict on the bytes so far: for when all are in."""
        if self._size != self._expected.size_bytes:
            return _wrong_size(self._size, self._expected)
        same = {claim.by: any(one.digest() == claim.said for one in claim.computed) for claim in self._claims}
        right = tuple(by for by, is_same in same.items() if is_same)
        wrong = tuple(claim.by for claim in self._claims if claim.is_certain and not same[claim.by])
        if wrong == ("md5",) and self._expected.declared:
            return _against_a_word(self._expected, right)
        if wrong and right:
            told = f"by {_told(wrong)} these are other bytes than the manifest says, and by {_told(right)} the same"
            return Verdict("wrong", wrong, f"{told}; what the object says of itself cannot be true: upload it again")
        if wrong:
            return Verdict("wrong", wrong, f"by {_told(wrong)} these are other bytes than the manifest says")
        if right:
            return Verdict("right", right, f"proven by {_told(right)}")
        return Verdict("unverifiable", (), _why_not(self._expected, self._claims))


def verify(file: BinaryIO | int, expected: Expected) -> Verdict:
    """The verdict on a file, or a descriptor of one, which is read from its start in one pass. Raises ``OSError``.

    A file of another size is wrong without being read.
    """
    if isinstance(file, int):
        with os.fdopen(os.dup(file), "rb", buffering=0) as opened:
            return verify(opened, expected)
    size = file.seek(0, os.SEEK_END)
    if size != expected.size_bytes:
        return _wrong_size(size, expected)
    file.seek(0)
    checker = Checker(expected)
    while block := file.read(_BLOCK):
        checker.update(block)
    return settled(file, expected, checker.verdict())


def settled(file: BinaryIO, expected: Expected, verdict: Verdict) -> Verdict:
    """The verdict on a file, once the bytes that differ from a declared MD5 alone are compared with all else.

    Only the object's parts may be left to prove them, and these are compared where nothing better is known. Raises
    ``OSError``.
    """
    rest = expected._replace(md5_hash=None, declared=None)
    if not is_word_against_bytes(expected, verdict) or not can_be_proven(rest):
        return verdict
    second = verify(file, rest)
    return second._replace(note=_wrong_word(expected)) if second.status == "right" else verdict


def is_word_against_bytes(expected: Expected, verdict: Verdict) -> bool:
    """Whether nothing but an MD5 that its uploader declares is against the bytes."""
    return verdict.status == "wrong" and verdict.by == ("md5",) and expected.declared is not None


def came_twice(expected: Expected) -> Verdict:
    """The verdict on bytes that came from S3 twice, and have not the MD5 that their uploader declares."""
    return Verdict(
        "unverifiable", (), "S3 keeps nothing that proves them; the same bytes came twice", _wrong_word(expected)
    )


def can_be_proven(expected: Expected) -> bool:
    """Whether the entry tells anything that right bytes could be proven by; false means that no reading helps."""
    return bool(_claims(expected))


def _claims(expected: Expected) -> list[_Claim]:
    whole = list(_claims_of_whole(expected))
    # Recomputing parts is for want of anything better: it is many times the work, and proves less.
    return whole or [claim for claim in _claims_of_parts(expected) if claim.computed]


def _claims_of_whole(expected: Expected) -> Iterator[_Claim]:
    if expected.md5_hash and re.fullmatch(r"[0-9a-f]{32}", expected.md5_hash):
        yield _Claim("md5", bytes.fromhex(expected.md5_hash), (_NEW["md5"](),), is_certain=True)
    checksum = expected.checksum or {}
    count = _parts_of_etag(expected)
    for name, digest in _checksums(expected):
        if checksum.get("type") == "COMPOSITE" or "-" in checksum[name]:
            continue
        if count and count > 1:
            # S3 has no SHA of the whole of an object in parts. Of a CRC, some servers send the composite one as such.
            if name.startswith("crc"):
                yield _Claim(name, digest, (_NEW[name](), *_in_parts(name, count, expected)), is_certain=True)
        else:
            yield _Claim(name, digest, (_NEW[name](),), is_certain=True)


def _claims_of_parts(expected: Expected) -> Iterator[_Claim]:
    count = _parts_of_etag(expected)
    if count:
        # That of an encrypted object is not made of its parts' MD5s, and nothing says that it is encrypted.
        md5s = bytes.fromhex(expected.etag.strip('"').partition("-")[0])
        yield _Claim("etag", md5s, _in_parts("md5", count, expected), is_certain=False)
    for name, digest in _checksums(expected):
        told = _COMPOSITE.fullmatch((expected.checksum or {})[name])
        if number := int(told[2]) if told else count:
            computed = _in_parts(name, number, expected)
            yield _Claim(
                f"{name}-parts", digest, computed, is_certain=number == 1 or bool(_known_parts(number, expected))
            )


def _in_parts(algorithm: str, count: int, expected: Expected) -> list[_InParts]:
    """For each way that the object may have been cut."""
    if known := _known_parts(count, expected):
        return [_InParts(algorithm, known)]
    if count == 1:
        return [_InParts(algorithm, [expected.size_bytes])]
    return [_InParts(algorithm, [size]) for size in parts.may_be(expected.size_bytes, count)]


def _known_parts(count: int, expected: Expected) -> Sequence[int] | None:
    known = expected.part_sizes
    return known if known and len(known) == count and sum(known) == expected.size_bytes else None


def _parts_of_etag(expected: Expected) -> int | None:
    found = _ETAG.fullmatch(expected.etag)
    return int(found[2]) if found else None


def _checksums(expected: Expected) -> Iterator[tuple[str, bytes]]:
    """The checksums that S3 keeps, by algorithm, strongest first; what is none of a known kind is left out."""
    checksum = expected.checksum or {}
    for name, new in _NEW.items():
        text = checksum.get(name)
        if not text:
            continue
        try:
            digest = base64.b64decode(_COMPOSITE.sub(r"\1", text), validate=True)
        except ValueError:
            continue
        if len(digest) == len(new().digest()):
            yield name, digest


def _wrong_size(size: int, expected: Expected) -> Verdict:
    return Verdict("wrong", ("size",), f"it has {size} bytes, and the manifest says {expected.size_bytes}")


def _against_a_word(expected: Expected, right: tuple[str, ...]) -> Verdict:
    if right:
        return Verdict("right", right, f"proven by {_told(right)}", _wrong_word(expected))
    return Verdict("wrong", ("md5",), _only_a_word(expected))


def _wrong_word(expected: Expected) -> str:
    return (
        f"the MD5 that its uploader declares ({expected.declared}: {expected.md5_hash}) is wrong, as these are the"
        " bytes in S3: upload it again, or correct its metadata"
    )


def _only_a_word(expected: Expected) -> str:
    return (
        f"these bytes do not have the MD5 that the uploader declares ({expected.declared}: {expected.md5_hash}), and S3"
        " keeps nothing else that proves them. If this comes again, the declaration is wrong: upload the file again, or"
        " correct its metadata (aws s3api copy-object --metadata-directive REPLACE)"
    )


def _told(by: Sequence[str]) -> str:
    return " and ".join(by)


def _why_not(expected: Expected, claims: Sequence[_Claim]) -> str:
    if claims:
        return (
            "the object was uploaded in parts, and the manifest has no MD5 or checksum of the whole; "
            f"its {_told([claim.by for claim in claims])} is not that of these bytes in parts of any usual size, "
            "which proves nothing"
        )
    return f"the manifest has no MD5 and no checksum of the object, only its ETag ({expected.etag})"
