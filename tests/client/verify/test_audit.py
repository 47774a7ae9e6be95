"""A manifest verified against S3: drift, changes that are still being processed, and the proof of each MD5."""

import pytest

from s3_manifest_cli.client.verify.audit import audit
from s3_manifest_cli.errors import NotFound, Unavailable

MD5 = "8d777f385d3dfec8815d20f7496026dc"


@pytest.fixture
def deployment(through_s3):
    """One way is enough: that manifests read in either are the same is for ``test_manifests`` to show."""
    return through_s3


@pytest.fixture
def audited(deployment, style):
    """Audits the style; ``meanwhile`` is what happens while it settles, and the pauses are kept in ``pauses``."""

    pauses: list[float] = []

    def audited(meanwhile=lambda: None, **options):
        def sleep(seconds):
            pauses.append(seconds)
            meanwhile()

        return audit(deployment, style, sleep=sleep, **options)

    audited.pauses = pauses  # type: ignore[attr-defined]
    return audited


def states(found):
    return {file.filename: file.state for file in found.files}


def test_a_manifest_with_exactly_the_objects_of_s3_is_consistent(audited, add, account):
    for folder in ("styles/16/", "styles/16/deep/"):  # as the console makes them
        account.put(folder, b"")
    add({"styles/16/a.png": b"data", "styles/16/größe/b.png": b"", "styles/16/a.txt": b"a fox"})
    add({"styles/16/prompt_metadata.json": '{"größe/b.png": {"hidden": true}}'.encode(), "styles/160/other.png": b"x"})
    found = audited()
    assert states(found) == dict.fromkeys(("a.png", "a.txt", "größe/b.png", "prompt_metadata.json"), "right")
    assert (found.is_consistent, found.settled, found.facts.revision, audited.pauses) == (True, 0, 2, [])


def test_a_difference_that_persists_is_drift(audited, add, account):
    names = ("gone", "bytes", "kept", "class")
    add({f"styles/16/{name}.png": b"data" for name in names} | {"styles/16/collection.json": b"{}"})
    account.delete("styles/16/gone.png")
    account.put("styles/16/bytes.png", b"atad")
    account.put("styles/16/class.png", b"data", StorageClass="GLACIER_IR")
    account.put("styles/16/new.png", b"data")
    account.put("styles/16/collection.json", b'{"title": "Dynamic"}')
    found = audited(settle_seconds=7)
    assert states(found) == {
        "bytes.png": "modified",
        "class.png": "modified",
        "collection.json": "modified",
        "gone.png": "missing",
        "kept.png": "right",
        "new.png": "unexpected",
    }
    whys = {file.filename: file.why for file in found.files}
    assert "its storage class is GLACIER_IR, and the manifest says STANDARD" in whys["class.png"]
    assert whys["bytes.png"].startswith("its ETag is ")
    assert f"and the manifest says {MD5}" in whys["bytes.png"]
    assert (audited.pauses, found.is_consistent) == ([7], False)


def test_a_difference_that_settles_is_no_drift(audited, add, account, send_events):
    add({"styles/16/gone.png": b"data", "styles/16/other.png": b"data"})
    account.delete("styles/16/gone.png")
    account.put("styles/16/other.png", b"newer")
    account.put("styles/16/new.png")
    found = audited(lambda: send_events(*(f"styles/16/{name}.png" for name in ("gone", "other", "new"))))
    assert (found.is_consistent, found.settled) == (True, 3)
    assert states(found) == {"new.png": "right", "other.png": "right"}
    assert found.facts.revision == 2


def test_an_object_that_changes_again_during_the_audit_is_unsettled(audited, add, account):
    add({"styles/16/a.png": b"data"})
    account.put("styles/16/a.png", b"newer")
    found = audited(lambda: account.put("styles/16/a.png", b"newest"))
    assert (states(found), found.is_consistent) == ({"a.png": "unsettled"}, False)


def test_without_time_to_settle_a_difference_is_drift_immediately(audited, account, add):
    add({"styles/16/a.png": b"data"})
    account.put("styles/16/new.png")
    assert (states(audited(settle_seconds=0))["new.png"], audited.pauses) == ("unexpected", [])


@pytest.fixture
def of_all_proofs(account, send_events):
    """A file for each way to know an MD5."""
    account.put("styles/16/etag.png", b"data")
    account.put_in_parts("styles/16/declared.png", b"data", Metadata={"md5": MD5})
    account.put_in_parts("styles/16/computed.png", b"data")
    send_events(*(f"styles/16/{name}.png" for name in ("etag", "declared", "computed")))


def test_an_audit_reports_what_each_md5_is_based_on(audited, of_all_proofs, account, send_events, no_md5s):
    account.put_in_parts("styles/16/none.png", b"data")
    send_events("styles/16/none.png")
    found = audited()
    assert {file.filename: file.proof for file in found.files} == {
        "computed.png": "computed",
        "declared.png": "declared",
        "etag.png": "etag",
        "none.png": "none",
    }
    assert found.proofs == {"read": 0, "etag": 1, "checksum": 0, "declared": 1, "computed": 1, "none": 1}
    assert found.is_consistent


def test_an_audit_that_reads_the_bytes_confirms_or_refutes_each_md5(audited, of_all_proofs, account, send_events):
    account.put_in_parts("styles/16/lie.png", b"data", Metadata={"md5": "0" * 32})
    send_events("styles/16/lie.png")
    found = audited(read=True)
    assert {file.filename: (file.state, file.proof) for file in found.files} == {
        "computed.png": ("right", "read"),
        "declared.png": ("right", "read"),
        "etag.png": ("right", "read"),
        "lie.png": ("modified", None),
    }
    (lie,) = (file for file in found.files if file.filename == "lie.png")
    assert "do not have the MD5 that the uploader declares (md5: 000" in lie.why
    assert not found.is_consistent


def test_an_object_that_no_digest_proves_is_unverifiable(audited, account, send_events, put_bare, no_md5s):
    put_bare("styles/16/bare.png", b"data")
    account.put_in_parts("styles/16/parts.png", b"data")
    send_events("styles/16/bare.png", "styles/16/parts.png")
    assert audited().is_consistent
    found = audited(read=True)
    assert {file.filename: (file.state, file.proof) for file in found.files} == {
        "bare.png": ("unverifiable", None),
        "parts.png": ("right", "none"),
    }
    assert not found.is_consistent


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
    found = audited()
    assert (states(found), found.is_consistent) == ({"a.png": "unreadable", "b.png": "right"}, False)
    assert "403" in found.files[0].why
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
