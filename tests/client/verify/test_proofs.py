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
from s3_manifest_cli.client.verify import parts
from s3_manifest_cli.client.verify.proofs import Checker, Expected, Verdict, can_be_proven, verify
from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY, running_platform

MIB = 1 << 20
BODY = random.Random(5).randbytes(10 * MIB + 17)
WRONG = BODY[:-1] + bytes([BODY[-1] ^ 1])
CHECK = b"123456789"
OTHER = b"123456780"


def b64(digest):
    return base64.b64encode(digest).decode()


def said(number, size):
    return b64(number.to_bytes(size, "big"))


def verdict(body, expected):
    return verify(io.BytesIO(body), expected)


def md5(body):
    return hashlib.md5(body).digest()


def etag_of(body, size, digest=md5):
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    return digest(b"".join(digest(part) for part in cut)), len(cut)


# https://reveng.sourceforge.io/crc-catalogue/all.htm has the check values of the CRCs.
@pytest.mark.parametrize(
    ("by", "checksum"),
    [
        ("crc64nvme", said(0xAE8B14860A799888, 8)),
        ("crc32c", said(0xE3069283, 4)),
        ("crc32", said(0xCBF43926, 4)),
        ("md5", b64(md5(CHECK))),
        ("sha512", b64(hashlib.sha512(CHECK).digest())),
        ("sha1", b64(bytes.fromhex("f7c3bc1d808e04732adf679965ccc34ca7ae3441"))),
        ("sha256", b64(bytes.fromhex("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"))),
    ],
)
def test_a_checksum_of_the_whole_object_proves_both_ways(by, checksum):
    expected = Expected(9, etag="0" * 32, checksum={by: checksum, "type": "FULL_OBJECT"})
    assert verdict(CHECK, expected)[:2] == ("right", (by,))
    assert verdict(OTHER, expected)[:2] == ("wrong", (by,))


def test_the_md5_proves_both_ways_and_the_etag_does_not_count():
    expected = Expected(9, md5_hash="25f9e794323b453885f5181f1b624d0b", etag="f" * 32)
    assert verdict(CHECK, expected)[:2] == ("right", ("md5",))
    assert verdict(OTHER, expected)[:2] == ("wrong", ("md5",))


@pytest.mark.parametrize("body", [CHECK + b"0", CHECK[:-1], b""])
def test_another_size_is_wrong_whatever_else_is_known(body):
    for expected in (Expected(9), Expected(9, md5_hash=md5(body).hex())):
        found = verdict(body, expected)
        assert found[:2] == ("wrong", ("size",))
        assert str(len(body)) in found.why
        checker = Checker(expected)
        checker.update(body)
        assert checker.verdict() == found


@pytest.mark.parametrize(
    "expected",
    [
        Expected(9, etag="25f9e794323b453885f5181f1b624d0b"),  # the MD5, but nothing says that it is one
        Expected(9, etag=""),
        Expected(9, etag="whatever", checksum={}),
        Expected(
            9, md5_hash="none", checksum={"crc32": "none", "sha256": "AAAA", "sha3": "AAAA", "type": "FULL_OBJECT"}
        ),
        Expected(9, etag="0" * 32, checksum={"crc32": said(0xCBF43926, 4), "type": "COMPOSITE"}),
    ],
)
def test_the_right_size_alone_is_never_a_proof(expected):
    assert not can_be_proven(expected)
    for body in (CHECK, OTHER):
        found = verdict(body, expected)
        assert found[:2] == ("unverifiable", ())
        assert "no MD5 and no checksum" in found.why


def test_all_that_is_told_must_be_right():
    right = said(0xAE8B14860A799888, 8)
    both = Expected(9, md5_hash=md5(CHECK).hex(), checksum={"crc64nvme": right, "type": "FULL_OBJECT"})
    assert verdict(CHECK, both)[:2] == ("right", ("md5", "crc64nvme"))
    assert verdict(OTHER, both)[:2] == ("wrong", ("md5", "crc64nvme"))
    lying = both._replace(md5_hash=md5(OTHER).hex())
    found = verdict(CHECK, lying)
    assert found[:2] == ("wrong", ("md5",))
    assert "by crc64nvme the same" in found.why


def test_what_s3_keeps_counts_more_than_what_an_uploader_declares():
    crc = {"crc64nvme": said(0xAE8B14860A799888, 8), "type": "FULL_OBJECT"}
    lying = Expected(9, md5_hash=md5(OTHER).hex(), checksum=crc, declared="md5chksum")
    found = verdict(CHECK, lying)
    assert found[:2] == ("right", ("crc64nvme",))
    assert f"declares (md5chksum: {md5(OTHER).hex()}) is wrong" in found.note
    assert verdict(OTHER, lying)[:2] == ("wrong", ("crc64nvme",))
    telling = lying._replace(md5_hash=md5(CHECK).hex())
    assert verdict(CHECK, telling) == Verdict("right", ("md5", "crc64nvme"), "proven by md5 and crc64nvme")


def test_the_parts_of_an_object_count_more_than_what_its_uploader_declares():
    size = 8 * MIB
    etag, count = etag_of(BODY, size)
    lying = Expected(len(BODY), md5_hash=md5(OTHER).hex(), etag=f"{etag.hex()}-{count}", declared="md5")
    found = verdict(BODY, lying)
    assert (found[:2], "is wrong" in (found.note or "")) == (("right", ("etag",)), True)
    assert verdict(WRONG, lying)[:2] == ("wrong", ("md5",))
    assert verdict(BODY, lying._replace(md5_hash=md5(BODY).hex()))[:2] == ("right", ("md5",))


def test_where_nothing_else_proves_the_bytes_the_declared_md5_is_named_and_what_to_do():
    lying = Expected(9, md5_hash=md5(OTHER).hex(), etag="0" * 32, declared="s3cmd-attrs")
    found = verdict(CHECK, lying)
    assert (found[:2], found.note) == (("wrong", ("md5",)), None)
    assert f"the uploader declares (s3cmd-attrs: {md5(OTHER).hex()})" in found.why
    assert "upload the file again, or correct its metadata" in found.why
    assert verdict(CHECK, lying._replace(declared=None)).why == "by md5 these are other bytes than the manifest says"


def test_an_empty_file_is_proven_like_any_other():
    assert verdict(b"", Expected(0, md5_hash=md5(b"").hex()))[:2] == ("right", ("md5",))
    etag, count = md5(md5(b"")), 1
    assert verdict(b"", Expected(0, etag=f"{etag.hex()}-{count}"))[:2] == ("right", ("etag",))


@pytest.mark.slow
@pytest.mark.parametrize("size", [5 * MIB, 8 * MIB, 10 * MIB, 6 * MIB, 10_000_000])
def test_the_etag_of_an_object_in_parts_proves_if_its_part_size_is_a_usual_one(size):
    etag, count = etag_of(BODY, size)
    expected = Expected(len(BODY), etag=f'"{etag.hex()}-{count}"')
    assert verdict(BODY, expected)[:2] == ("right", ("etag",))
    # Other bytes may have been cut in some other way: nobody can tell.
    found = verdict(WRONG, expected)
    assert found[:2] == ("unverifiable", ())
    assert "proves nothing" in found.why


def test_the_etag_of_an_object_in_parts_of_another_size_proves_nothing():
    etag, count = etag_of(BODY, 5 * MIB + 3)
    expected = Expected(len(BODY), etag=f"{etag.hex()}-{count}")
    assert verdict(BODY, expected)[:2] == ("unverifiable", ())
    assert verdict(BODY, expected._replace(part_sizes=(5 * MIB + 3, 5 * MIB + 3, 12)))[:2] == ("unverifiable", ())
    known = (5 * MIB + 3, 5 * MIB + 3, 11)
    assert verdict(BODY, expected._replace(part_sizes=known))[:2] == ("right", ("etag",))
    # It may be that of an encrypted object.
    assert verdict(WRONG, expected._replace(part_sizes=known))[:2] == ("unverifiable", ())


def test_a_server_that_tells_a_composite_checksum_as_one_of_the_whole_is_understood():
    crcs, count = etag_of(BODY, 8 * MIB, lambda part: zlib.crc32(part).to_bytes(4, "big"))
    shas, _ = etag_of(BODY, 8 * MIB, lambda part: hashlib.sha256(part).digest())
    both = {"crc32": b64(crcs), "sha256": b64(shas), "type": "FULL_OBJECT"}
    expected = Expected(len(BODY), md5(BODY).hex(), etag=f"{'0' * 32}-{count}", checksum=both)
    assert verdict(BODY, expected)[:2] == ("right", ("md5", "crc32"))
    assert verdict(WRONG, expected)[:2] == ("wrong", ("md5", "crc32"))
    of_shas = expected._replace(md5_hash=None, checksum={"sha256": b64(shas), "type": "FULL_OBJECT"})
    assert verdict(BODY, of_shas)[:2] == ("right", ("sha256-parts",))
    assert verdict(WRONG, of_shas)[:2] == ("unverifiable", ())


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
def test_what_clients_do_is_among_the_part_sizes(size, count, part):
    found = parts.may_be(size, count)
    assert part in found
    assert all(parts.cut(size, one) == count for one in found)
    assert len(set(found)) == len(found)


def test_part_sizes_that_are_known_prove_both_ways():
    sizes = (5 * MIB, 3 * MIB + 1, 2 * MIB + 16)
    offsets = [0, *itertools.accumulate(sizes)]
    digests = b"".join(hashlib.sha256(BODY[a:b]).digest() for a, b in itertools.pairwise(offsets))
    composite = {"sha256": f"{b64(hashlib.sha256(digests).digest())}-3", "type": "COMPOSITE"}
    expected = Expected(len(BODY), checksum=composite)
    assert verdict(BODY, expected)[0] == verdict(WRONG, expected)[0] == "unverifiable"
    known = expected._replace(part_sizes=sizes)
    assert verdict(BODY, known)[:2] == ("right", ("sha256-parts",))
    assert verdict(WRONG, known)[:2] == ("wrong", ("sha256-parts",))


def test_one_part_is_the_whole_whatever_its_size():
    etag, _ = etag_of(CHECK, 9)
    assert verdict(CHECK, Expected(9, etag=f"{etag.hex()}-1"))[:2] == ("right", ("etag",))
    crc = checksums.crc32c(checksums.crc32c(CHECK).to_bytes(4, "big"))
    expected = Expected(9, checksum={"crc32c": said(crc, 4) + "-1", "type": "COMPOSITE"})
    assert verdict(CHECK, expected)[:2] == ("right", ("crc32c-parts",))
    assert verdict(OTHER, expected)[:2] == ("wrong", ("crc32c-parts",))


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
    expected = Expected(len(BODY), checksum={algorithm: f"{b64(composite)}-{count}", "type": "COMPOSITE"})
    assert verdict(BODY, expected)[:2] == ("right", (f"{algorithm}-parts",))
    assert verdict(WRONG, expected)[0] == "unverifiable"


def test_bytes_may_come_in_any_pieces():
    etag, count = etag_of(BODY, 5 * MIB)
    expected = Expected(
        len(BODY),
        etag=f"{etag.hex()}-{count}",
        checksum={"crc32": said(zlib.crc32(BODY), 4), "type": "COMPOSITE"},
    )
    whole = expected._replace(
        md5_hash=md5(BODY).hex(), checksum={"crc64nvme": said(checksums.crc64nvme(BODY), 8), "type": "FULL_OBJECT"}
    )
    for one in (expected, whole):
        pieces = random.Random(1)
        checker, view, at = Checker(one), memoryview(BODY), 0
        while at < len(BODY):
            size = pieces.choice([0, 1, 7, 5 * MIB, 3 * MIB + 1])
            checker.update(view[at : at + size])
            at += size
        assert checker.verdict() == verdict(BODY, one)
        assert checker.verdict().status == "right"


def test_a_checksum_with_a_number_of_parts_is_a_composite_one_whatever_its_type_says():
    composite, count = etag_of(BODY, 8 * MIB, lambda part: hashlib.sha256(part).digest())
    expected = Expected(len(BODY), checksum={"sha256": f"{b64(composite)}-{count}", "type": "FULL_OBJECT"})
    assert verdict(BODY, expected)[:2] == ("right", ("sha256-parts",))


def test_more_bytes_than_there_should_be_are_wrong():
    etag, _ = etag_of(b"", 1)
    for expected in (Expected(0, etag=f"{etag.hex()}-1"), Expected(5, etag=f"{etag.hex()}-2", part_sizes=(5, 0))):
        checker = Checker(expected)
        checker.update(CHECK)
        assert checker.verdict()[:2] == ("wrong", ("size",))


def test_a_descriptor_is_read_from_its_start(tmp_path):
    (tmp_path / "a").write_bytes(CHECK)
    expected = Expected(9, md5_hash=md5(CHECK).hex())
    with (tmp_path / "a").open("rb") as file:
        file.read(4)
        assert verify(file.fileno(), expected).status == "right"
        assert verify(file.fileno(), expected).status == "right"
        assert verify(file, expected).status == "right"
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
    """What the manifest would say of an object, by the project's own way there."""
    collection = parse_collections(DEFAULT_COLLECTIONS, DEFAULT_ROOT).of(key)
    return entry_of(bucket.store.head(key), collection, Location(bucket.store.bucket, REGION), "s3_event")


def expected_of(one):
    return Expected(one.size_bytes, one.md5_hash, one.etag, one.checksum)


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
    assert made.etag.endswith(f"-{parts.cut(len(BODY), size * MIB)}")
    assert (algorithm or "CRC32").lower() in made.checksum  # CRC32 is what boto3 adds by itself
    expected = expected_of(made)
    assert verdict(BODY, expected).status == "right"
    assert verdict(WRONG, expected).status != "right"
    # With the ETag alone, as of an object whose checksum the server does not tell.
    assert verdict(BODY, expected._replace(checksum=None))[:2] == ("right", ("etag",))


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_real_upload_in_one_piece_is_proven_from_its_entry(bucket, algorithm):
    key = f"styles/16/{algorithm}.bin"
    bucket.store._reads.put_object(Bucket=bucket.store.bucket, Key=key, Body=CHECK, ChecksumAlgorithm=algorithm)
    expected = expected_of(entry(bucket, key))
    assert sorted(verdict(CHECK, expected).by) == sorted(["md5", algorithm.lower()])
    assert verdict(OTHER, expected).status == "wrong"
    assert verdict(CHECK, expected._replace(md5_hash=None))[:2] == ("right", (algorithm.lower(),))
