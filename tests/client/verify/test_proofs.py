import base64
import hashlib
import io
import itertools
import os
import random
import zlib

import pytest
from awscrt import checksums
from boto3.s3.transfer import TransferConfig
from contract.buckets import in_moto, in_s3

from s3_manifest.manifest.collections import DEFAULT_COLLECTIONS, DEFAULT_ROOT, Location, parse_collections
from s3_manifest.reconcile.entries import entry_of
from s3_manifest_cli.client.verify.checksums import part_count, possible_part_sizes
from s3_manifest_cli.client.verify.proofs import CheckResult, ContentChecker, ExpectedContent, check_file, is_verifiable
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY, running_platform

MIB = 1 << 20
BODY = random.Random(5).randbytes(10 * MIB + 17)
WRONG = BODY[:-1] + bytes([BODY[-1] ^ 1])
CHECK = b"123456789"
OTHER = b"123456780"


def b64(digest):
    return base64.b64encode(digest).decode()


def encoded(number, size):
    return b64(number.to_bytes(size, "big"))


def check(body, expected):
    return check_file(io.BytesIO(body), expected)


def md5(body):
    return hashlib.md5(body).digest()


def etag_of(body, size, digest=md5):
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    return digest(b"".join(digest(part) for part in cut)), len(cut)


# https://reveng.sourceforge.io/crc-catalogue/all.htm has the check values of the CRCs.
@pytest.mark.parametrize(
    ("by", "checksum"),
    [
        ("crc64nvme", encoded(0xAE8B14860A799888, 8)),
        ("crc32c", encoded(0xE3069283, 4)),
        ("crc32", encoded(0xCBF43926, 4)),
        ("md5", b64(md5(CHECK))),
        ("sha512", b64(hashlib.sha512(CHECK).digest())),
        ("sha1", b64(bytes.fromhex("f7c3bc1d808e04732adf679965ccc34ca7ae3441"))),
        ("sha256", b64(bytes.fromhex("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"))),
    ],
)
def test_a_full_object_checksum_proves_a_match_or_a_mismatch(by, checksum):
    expected = ExpectedContent(9, etag="0" * 32, checksum={by: checksum, "type": "FULL_OBJECT"})
    assert check(CHECK, expected)[:2] == ("match", (by,))
    assert check(OTHER, expected)[:2] == ("mismatch", (by,))


def test_the_md5_proves_a_match_or_a_mismatch_and_the_etag_is_ignored():
    expected = ExpectedContent(9, md5_hash="25f9e794323b453885f5181f1b624d0b", etag="f" * 32)
    assert check(CHECK, expected)[:2] == ("match", ("md5",))
    assert check(OTHER, expected)[:2] == ("mismatch", ("md5",))


@pytest.mark.parametrize("body", [CHECK + b"0", CHECK[:-1], b""])
def test_a_different_size_is_always_a_mismatch(body):
    for expected in (ExpectedContent(9), ExpectedContent(9, md5_hash=md5(body).hex())):
        result = check(body, expected)
        assert result[:2] == ("mismatch", ("size",))
        assert str(len(body)) in result.reason
        checker = ContentChecker(expected)
        checker.update(body)
        assert checker.result() == result


@pytest.mark.parametrize(
    "expected",
    [
        ExpectedContent(9, etag="25f9e794323b453885f5181f1b624d0b"),  # it equals the MD5, but may be something else
        ExpectedContent(9, etag=""),
        ExpectedContent(9, etag="whatever", checksum={}),
        ExpectedContent(
            9, md5_hash="none", checksum={"crc32": "none", "sha256": "AAAA", "sha3": "AAAA", "type": "FULL_OBJECT"}
        ),
        ExpectedContent(9, etag="0" * 32, checksum={"crc32": encoded(0xCBF43926, 4), "type": "COMPOSITE"}),
    ],
)
def test_the_right_size_alone_is_never_a_proof(expected):
    assert not is_verifiable(expected)
    for body in (CHECK, OTHER):
        result = check(body, expected)
        assert result[:2] == ("unverifiable", ())
        assert "no MD5 and no checksum" in result.reason


def test_every_digest_of_the_entry_must_match():
    right = encoded(0xAE8B14860A799888, 8)
    both = ExpectedContent(9, md5_hash=md5(CHECK).hex(), checksum={"crc64nvme": right, "type": "FULL_OBJECT"})
    assert check(CHECK, both)[:2] == ("match", ("md5", "crc64nvme"))
    assert check(OTHER, both)[:2] == ("mismatch", ("md5", "crc64nvme"))
    wrong_md5 = both._replace(md5_hash=md5(OTHER).hex())
    result = check(CHECK, wrong_md5)
    assert result[:2] == ("mismatch", ("md5",))
    assert "the crc64nvme is equal" in result.reason


def test_a_checksum_in_s3_overrides_a_declared_md5():
    crc = {"crc64nvme": encoded(0xAE8B14860A799888, 8), "type": "FULL_OBJECT"}
    wrong_md5 = ExpectedContent(9, md5_hash=md5(OTHER).hex(), checksum=crc, declared="md5chksum")
    result = check(CHECK, wrong_md5)
    assert result[:2] == ("match", ("crc64nvme",))
    assert f"declares a wrong MD5 (md5chksum: {md5(OTHER).hex()})" in result.warning
    assert check(OTHER, wrong_md5)[:2] == ("mismatch", ("crc64nvme",))
    right_md5 = wrong_md5._replace(md5_hash=md5(CHECK).hex())
    assert check(CHECK, right_md5) == CheckResult("match", ("md5", "crc64nvme"), "proven by md5 and crc64nvme")


def test_the_etag_of_the_parts_overrides_a_declared_md5():
    size = 8 * MIB
    etag, count = etag_of(BODY, size)
    wrong_md5 = ExpectedContent(len(BODY), md5_hash=md5(OTHER).hex(), etag=f"{etag.hex()}-{count}", declared="md5")
    result = check(BODY, wrong_md5)
    assert (result[:2], "a wrong MD5" in (result.warning or "")) == (("match", ("etag",)), True)
    assert check(WRONG, wrong_md5)[:2] == ("mismatch", ("md5",))
    assert check(BODY, wrong_md5._replace(md5_hash=md5(BODY).hex()))[:2] == ("match", ("md5",))


def test_a_mismatch_with_only_a_declared_md5_names_it_and_the_remedy():
    wrong_md5 = ExpectedContent(9, md5_hash=md5(OTHER).hex(), etag="0" * 32, declared="s3cmd-attrs")
    result = check(CHECK, wrong_md5)
    assert (result[:2], result.warning) == (("mismatch", ("md5",)), None)
    assert f"the uploader declares (s3cmd-attrs: {md5(OTHER).hex()})" in result.reason
    assert "upload the file again, or correct its metadata" in result.reason
    assert check(CHECK, wrong_md5._replace(declared=None)).reason == "the md5 of these bytes differs from the manifest"


def test_an_empty_file_is_proven_like_any_other():
    assert check(b"", ExpectedContent(0, md5_hash=md5(b"").hex()))[:2] == ("match", ("md5",))
    etag, count = md5(md5(b"")), 1
    assert check(b"", ExpectedContent(0, etag=f"{etag.hex()}-{count}"))[:2] == ("match", ("etag",))


@pytest.mark.slow
@pytest.mark.parametrize("size", [5 * MIB, 8 * MIB, 10 * MIB, 6 * MIB, 10_000_000])
def test_the_etag_of_an_object_in_parts_proves_if_its_part_size_is_a_usual_one(size):
    etag, count = etag_of(BODY, size)
    expected = ExpectedContent(len(BODY), etag=f'"{etag.hex()}-{count}"')
    assert check(BODY, expected)[:2] == ("match", ("etag",))
    # The same bytes in parts of another size have another ETag, so a mismatch proves nothing.
    result = check(WRONG, expected)
    assert result[:2] == ("unverifiable", ())
    assert "proves nothing" in result.reason


def test_the_etag_of_an_object_in_parts_of_another_size_proves_nothing():
    etag, count = etag_of(BODY, 5 * MIB + 3)
    expected = ExpectedContent(len(BODY), etag=f"{etag.hex()}-{count}")
    assert check(BODY, expected)[:2] == ("unverifiable", ())
    assert check(BODY, expected._replace(part_sizes=(5 * MIB + 3, 5 * MIB + 3, 12)))[:2] == ("unverifiable", ())
    known = (5 * MIB + 3, 5 * MIB + 3, 11)
    assert check(BODY, expected._replace(part_sizes=known))[:2] == ("match", ("etag",))
    # It may be the ETag of an encrypted object.
    assert check(WRONG, expected._replace(part_sizes=known))[:2] == ("unverifiable", ())


def test_a_composite_checksum_of_type_full_object_is_recognized():
    crcs, count = etag_of(BODY, 8 * MIB, lambda part: zlib.crc32(part).to_bytes(4, "big"))
    shas, _ = etag_of(BODY, 8 * MIB, lambda part: hashlib.sha256(part).digest())
    both = {"crc32": b64(crcs), "sha256": b64(shas), "type": "FULL_OBJECT"}
    expected = ExpectedContent(len(BODY), md5(BODY).hex(), etag=f"{'0' * 32}-{count}", checksum=both)
    assert check(BODY, expected)[:2] == ("match", ("md5", "crc32"))
    assert check(WRONG, expected)[:2] == ("mismatch", ("md5", "crc32"))
    of_shas = expected._replace(md5_hash=None, checksum={"sha256": b64(shas), "type": "FULL_OBJECT"})
    assert check(BODY, of_shas)[:2] == ("match", ("sha256-parts",))
    assert check(WRONG, of_shas)[:2] == ("unverifiable", ())


@pytest.mark.parametrize(
    ("size", "count", "part"),
    [
        (17 * MIB, 3, 8 * MIB),
        (100 * MIB, 20, 5 * MIB),  # rclone
        (100 * MIB, 7, 15 * MIB),  # s3cmd
        (100 * MIB, 2, 50 * MIB),  # s5cmd
        (100 << 30, 6400, 16 * MIB),  # boto3, which doubles 8 MiB
        (100 << 30, 9310, 11 * MIB),  # rclone, which raises 5 MiB to the next MiB
        (1000 << 30, 9143, 112 * MIB),  # MinIO's, which take the next 16 MiB
        (17_179_870 * 10, 10, 17_179_870),  # the S3 console
        (1, 1, 8 * MIB),
        (0, 1, 8 * MIB),
    ],
)
def test_possible_part_sizes_include_those_of_common_clients(size, count, part):
    sizes = possible_part_sizes(size, count)
    assert part in sizes
    assert all(part_count(size, part_size) == count for part_size in sizes)
    assert len(set(sizes)) == len(sizes)


def test_known_part_sizes_prove_a_match_or_a_mismatch():
    sizes = (5 * MIB, 3 * MIB + 1, 2 * MIB + 16)
    offsets = [0, *itertools.accumulate(sizes)]
    digests = b"".join(hashlib.sha256(BODY[a:b]).digest() for a, b in itertools.pairwise(offsets))
    composite = {"sha256": f"{b64(hashlib.sha256(digests).digest())}-3", "type": "COMPOSITE"}
    expected = ExpectedContent(len(BODY), checksum=composite)
    assert check(BODY, expected)[0] == check(WRONG, expected)[0] == "unverifiable"
    known = expected._replace(part_sizes=sizes)
    assert check(BODY, known)[:2] == ("match", ("sha256-parts",))
    assert check(WRONG, known)[:2] == ("mismatch", ("sha256-parts",))


def test_an_object_with_a_single_part_is_proven_whatever_its_size():
    etag, _ = etag_of(CHECK, 9)
    assert check(CHECK, ExpectedContent(9, etag=f"{etag.hex()}-1"))[:2] == ("match", ("etag",))
    crc = checksums.crc32c(checksums.crc32c(CHECK).to_bytes(4, "big"))
    expected = ExpectedContent(9, checksum={"crc32c": encoded(crc, 4) + "-1", "type": "COMPOSITE"})
    assert check(CHECK, expected)[:2] == ("match", ("crc32c-parts",))
    assert check(OTHER, expected)[:2] == ("mismatch", ("crc32c-parts",))


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "crc32", "crc32c", "crc64nvme"])
def test_a_composite_checksum_proves_if_the_part_size_is_a_usual_one(algorithm):
    digest = {
        "sha256": lambda part: hashlib.sha256(part).digest(),
        "sha1": lambda part: hashlib.sha1(part).digest(),
        "crc32": lambda part: zlib.crc32(part).to_bytes(4, "big"),
        "crc32c": lambda part: checksums.crc32c(part).to_bytes(4, "big"),
        "crc64nvme": lambda part: checksums.crc64nvme(part).to_bytes(8, "big"),
    }[algorithm]
    composite, count = etag_of(BODY, 8 * MIB, digest)
    expected = ExpectedContent(len(BODY), checksum={algorithm: f"{b64(composite)}-{count}", "type": "COMPOSITE"})
    assert check(BODY, expected)[:2] == ("match", (f"{algorithm}-parts",))
    assert check(WRONG, expected)[0] == "unverifiable"


def test_a_checker_accepts_bytes_in_chunks_of_any_size():
    etag, count = etag_of(BODY, 5 * MIB)
    expected = ExpectedContent(
        len(BODY),
        etag=f"{etag.hex()}-{count}",
        checksum={"crc32": encoded(zlib.crc32(BODY), 4), "type": "COMPOSITE"},
    )
    whole = expected._replace(
        md5_hash=md5(BODY).hex(), checksum={"crc64nvme": encoded(checksums.crc64nvme(BODY), 8), "type": "FULL_OBJECT"}
    )
    for content in (expected, whole):
        pieces = random.Random(1)
        checker, view, at = ContentChecker(content), memoryview(BODY), 0
        while at < len(BODY):
            size = pieces.choice([0, 1, 7, 5 * MIB, 3 * MIB + 1])
            checker.update(view[at : at + size])
            at += size
        assert checker.result() == check(BODY, content)
        assert checker.result().status == "match"


def test_a_checksum_with_a_number_of_parts_is_composite_whatever_its_type():
    composite, count = etag_of(BODY, 8 * MIB, lambda part: hashlib.sha256(part).digest())
    expected = ExpectedContent(len(BODY), checksum={"sha256": f"{b64(composite)}-{count}", "type": "FULL_OBJECT"})
    assert check(BODY, expected)[:2] == ("match", ("sha256-parts",))


def test_extra_bytes_are_a_mismatch():
    etag, _ = etag_of(b"", 1)
    for expected in (
        ExpectedContent(0, etag=f"{etag.hex()}-1"),
        ExpectedContent(5, etag=f"{etag.hex()}-2", part_sizes=(5, 0)),
    ):
        checker = ContentChecker(expected)
        checker.update(CHECK)
        assert checker.result()[:2] == ("mismatch", ("size",))


def test_a_file_is_read_from_its_start(tmp_path):
    (tmp_path / "a").write_bytes(CHECK)
    expected = ExpectedContent(9, md5_hash=md5(CHECK).hex())
    with (tmp_path / "a").open("rb") as file:
        file.read(4)
        assert check_file(file, expected).status == "match"
        assert check_file(file, expected).status == "match"
        assert check_file(file, expected).status == "match"
        assert os.fstat(file.fileno()).st_size == 9


@pytest.fixture(scope="module")
def _account():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        yield


@pytest.fixture(scope="module", params=["moto", "ministack"])
def bucket(request, _account):
    if request.param == "moto":
        with in_moto() as made:
            yield made
    else:
        with running_platform() as platform:
            yield in_s3("proofs-bucket", platform.endpoint)


def entry(bucket, key):
    """The entry that the reconciler creates for an object."""
    collection = parse_collections(DEFAULT_COLLECTIONS, DEFAULT_ROOT, bucket.store.bucket).collection_of(
        bucket.store.bucket, key
    )
    return entry_of(bucket.store.head(key), collection, Location(REGION), "s3_event")


def expected_of(entry):
    return ExpectedContent(entry.size_bytes, entry.md5_hash, entry.etag, entry.checksum)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "algorithm"), [(8, None), (5, "SHA256"), (6, "CRC32"), (5, "CRC64NVME")])
def test_a_real_upload_in_parts_is_proven_from_its_entry(bucket, size, algorithm, request):
    if algorithm == "CRC64NVME" and "ministack" in request.node.name:
        pytest.skip("MiniStack computes it in Python, which takes seconds")
    key = f"styles/16/{size}-{algorithm}.bin"
    bucket.store._reads.upload_fileobj(
        io.BytesIO(BODY),
        bucket.store.bucket,
        key,
        ExtraArgs={"ChecksumAlgorithm": algorithm} if algorithm else {},
        Config=TransferConfig(multipart_chunksize=size * MIB),
    )
    made = entry(bucket, key)
    assert made.md5_hash is None
    assert made.etag.endswith(f"-{part_count(len(BODY), size * MIB)}")
    assert (algorithm or "CRC32").lower() in made.checksum  # boto3 adds a CRC32 by default
    expected = expected_of(made)
    assert check(BODY, expected).status == "match"
    assert check(WRONG, expected).status != "match"
    # With the ETag alone, as for an object whose checksum the server does not return.
    assert check(BODY, expected._replace(checksum=None))[:2] == ("match", ("etag",))


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_real_upload_in_one_piece_is_proven_from_its_entry(bucket, algorithm):
    key = f"styles/16/{algorithm}.bin"
    bucket.store._reads.put_object(Bucket=bucket.store.bucket, Key=key, Body=CHECK, ChecksumAlgorithm=algorithm)
    expected = expected_of(entry(bucket, key))
    assert sorted(check(CHECK, expected).proofs) == sorted(["md5", algorithm.lower()])
    assert check(OTHER, expected).status == "mismatch"
    assert check(CHECK, expected._replace(md5_hash=None))[:2] == ("match", (algorithm.lower(),))
