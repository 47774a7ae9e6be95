"""A manifest verified against S3: drift, changes that are still being processed, and the proof of each MD5."""

import pytest

from s3_manifest_cli.client.verify.audit import audit
from s3_manifest_cli.errors import NotFound, Unavailable

MD5 = "8d777f385d3dfec8815d20f7496026dc"


@pytest.fixture
def deployment(through_s3):
    """Only through S3: ``test_manifests`` proves that the HTTP API returns the same manifests."""
    return through_s3


@pytest.fixture
def audited(deployment, style):
    """Audits the style; calls ``meanwhile`` while it settles, and records the delays in ``pauses``."""

    pauses: list[float] = []

    def audited(meanwhile=lambda: None, **options):
        def sleep(seconds):
            pauses.append(seconds)
            meanwhile()

        return audit(deployment, style, sleep=sleep, **options)

    audited.pauses = pauses  # type: ignore[attr-defined]
    return audited


def states(result):
    return {file.filename: file.state for file in result.files}


def test_a_manifest_with_exactly_the_objects_of_s3_is_consistent(audited, add, account):
    for folder in ("styles/16/", "styles/16/deep/"):  # as the S3 console creates them
        account.put(folder, b"")
    add({"styles/16/a.png": b"data", "styles/16/größe/b.png": b"", "styles/16/a.txt": b"a fox"})
    add({"styles/16/prompt_metadata.json": '{"größe/b.png": {"hidden": true}}'.encode(), "styles/160/other.png": b"x"})
    result = audited()
    assert states(result) == dict.fromkeys(("a.png", "a.txt", "größe/b.png", "prompt_metadata.json"), "right")
    assert (result.is_consistent, result.settled, result.facts.revision, audited.pauses) == (True, 0, 2, [])


def test_a_difference_that_persists_is_drift(audited, add, account):
    names = ("gone", "bytes", "kept", "class")
    add({f"styles/16/{name}.png": b"data" for name in names} | {"styles/16/collection.json": b"{}"})
    account.delete("styles/16/gone.png")
    account.put("styles/16/bytes.png", b"atad")
    account.put("styles/16/class.png", b"data", StorageClass="GLACIER_IR")
    account.put("styles/16/new.png", b"data")
    account.put("styles/16/collection.json", b'{"title": "Dynamic"}')
    result = audited(settle_seconds=7)
    assert states(result) == {
        "bytes.png": "modified",
        "class.png": "modified",
        "collection.json": "modified",
        "gone.png": "missing",
        "kept.png": "right",
        "new.png": "unexpected",
    }
    whys = {file.filename: file.why for file in result.files}
    assert "its storage class is GLACIER_IR, and the manifest says STANDARD" in whys["class.png"]
    assert whys["bytes.png"].startswith("its ETag is ")
    assert f"and the manifest says {MD5}" in whys["bytes.png"]
    assert (audited.pauses, result.is_consistent) == ([7], False)


def test_a_difference_that_settles_is_no_drift(audited, add, account, send_events):
    add({"styles/16/gone.png": b"data", "styles/16/other.png": b"data"})
    account.delete("styles/16/gone.png")
    account.put("styles/16/other.png", b"newer")
    account.put("styles/16/new.png")
    result = audited(lambda: send_events(*(f"styles/16/{name}.png" for name in ("gone", "other", "new"))))
    assert (result.is_consistent, result.settled) == (True, 3)
    assert states(result) == {"new.png": "right", "other.png": "right"}
    assert result.facts.revision == 2


def test_an_object_that_changes_again_during_the_audit_is_unsettled(audited, add, account):
    add({"styles/16/a.png": b"data"})
    account.put("styles/16/a.png", b"newer")
    result = audited(lambda: account.put("styles/16/a.png", b"newest"))
    assert (states(result), result.is_consistent) == ({"a.png": "unsettled"}, False)


def test_without_time_to_settle_a_difference_is_drift_immediately(audited, account, add):
    add({"styles/16/a.png": b"data"})
    account.put("styles/16/new.png")
    assert (states(audited(settle_seconds=0))["new.png"], audited.pauses) == ("unexpected", [])


@pytest.fixture
def of_all_proofs(account, send_events):
    """A file for each source of an MD5."""
    account.put("styles/16/etag.png", b"data")
    account.put_in_parts("styles/16/declared.png", b"data", Metadata={"md5": MD5})
    account.put_in_parts("styles/16/computed.png", b"data")
    send_events(*(f"styles/16/{name}.png" for name in ("etag", "declared", "computed")))


def test_an_audit_reports_what_each_md5_is_based_on(audited, of_all_proofs, account, send_events, no_md5s):
    account.put_in_parts("styles/16/none.png", b"data")
    send_events("styles/16/none.png")
    result = audited()
    assert {file.filename: file.proof for file in result.files} == {
        "computed.png": "computed",
        "declared.png": "declared",
        "etag.png": "etag",
        "none.png": "none",
    }
    assert result.proofs == {"read": 0, "etag": 1, "checksum": 0, "declared": 1, "computed": 1, "none": 1}
    assert result.is_consistent


def test_an_audit_that_reads_the_bytes_confirms_or_refutes_each_md5(audited, of_all_proofs, account, send_events):
    account.put_in_parts("styles/16/lie.png", b"data", Metadata={"md5": "0" * 32})
    send_events("styles/16/lie.png")
    result = audited(read=True)
    assert {file.filename: (file.state, file.proof) for file in result.files} == {
        "computed.png": ("right", "read"),
        "declared.png": ("right", "read"),
        "etag.png": ("right", "read"),
        "lie.png": ("modified", None),
    }
    (lie,) = (file for file in result.files if file.filename == "lie.png")
    assert "do not have the MD5 that the uploader declares (md5: 000" in lie.why
    assert not result.is_consistent


def test_an_object_that_no_digest_proves_is_unverifiable(audited, account, send_events, put_bare, no_md5s):
    put_bare("styles/16/bare.png", b"data")
    account.put_in_parts("styles/16/parts.png", b"data")
    send_events("styles/16/bare.png", "styles/16/parts.png")
    assert audited().is_consistent
    result = audited(read=True)
    assert {file.filename: (file.state, file.proof) for file in result.files} == {
        "bare.png": ("unverifiable", None),
        "parts.png": ("right", "none"),
    }
    assert not result.is_consistent


def test_an_object_that_was_replaced_before_it_was_read_is_unsettled(audited, add, account):
    add({"styles/16/a.png": b"data"})

    def replaced(request):
        if request.method == "GET" and request.key == "styles/16/a.png":
            account.put("styles/16/a.png", b"newer")

    account.faults.append(replaced)
    assert states(audited(read=True)) == {"a.png": "unsettled"}


def test_an_object_that_s3_refuses_is_unreadable(audited, add, account, impatience):
    add({"styles/16/a.png": b"data", "styles/16/b.png": b"data"})
    account.refuse("HEAD", "styles/16/a.png", 403)
    result = audited()
    assert (states(result), result.is_consistent) == ({"a.png": "unreadable", "b.png": "right"}, False)
    assert "403" in result.files[0].why
    account.faults.clear()
    account.refuse("GET", "styles/16/b.png", 403)
    assert states(audited(read=True)) == {"a.png": "right", "b.png": "unreadable"}


def test_an_audit_without_a_listing_or_a_manifest_fails(audited, add, account, impatience):
    with pytest.raises(NotFound):
        audited()
    add({"styles/16/a.png": b"data"})
    account.refuse("GET", "", 403)
    with pytest.raises(Unavailable):
        audited()
