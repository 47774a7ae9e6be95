"""Whether the server keeps the promises that manifests rest on: conditions that hold, and conditions that do not.

A server that ignores conditions loses changes. One that refuses a condition which holds lets no commit succeed, and
nothing else shows it. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from s3_manifest.aws.threads import each
from s3_manifest_cli.client.doctor.clients import Clients, Unanswered, asked
from s3_manifest_cli.client.doctor.leftovers import purge
from s3_manifest_cli.client.doctor.model import Finding, error, not_checked, ok

WRITES, READS, DELETES = "conditional writes", "conditional reads", "conditional deletes"
PARTS = "conditional uploads in parts"

# Servers differ in the error's code.
_REFUSALS = ("412", "409")
_ABSENT = ("404", "NoSuchKey", "NoSuchUpload")
_UNKNOWN = frozenset({"NotImplemented", "501"})
_OTHER = "00000000000000000000000000000000"
_RACES, _RACERS = 3, 8
_ANOTHER_SERVER = "take another S3 server, or a newer version of this one; no setting makes it safe"


class _Probe(NamedTuple):
    """One object below the manifest root, and what the server made of requests about it."""

    clients: Clients
    bucket: str
    key: str

    @property
    def at(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key}

    def put(self, body: bytes, **condition: str) -> str | None:
        """The new ETag; None where the condition was refused."""
        call = self.clients.s3_writes.put_object
        answer = asked(call, absent=(*_REFUSALS, *_ABSENT), **self.at, Body=body, **condition)
        return None if answer is None else _bare(answer["ETag"])

    def etag(self) -> str | None:
        """The object's ETag; None where there is no object."""
        answer = asked(self.clients.s3.head_object, absent=_ABSENT, **self.at)
        return None if answer is None else _bare(answer["ETag"])

    def delete(self, etag: str) -> bool:
        """Whether the server says that it deleted the object with that ETag."""
        call = self.clients.s3_writes.delete_object
        return asked(call, absent=(*_REFUSALS, *_ABSENT), **self.at, IfMatch=_quoted(etag)) is not None


def probe(clients: Clients, bucket: str, root: str) -> list[Finding]:
    """Makes conditional requests of each kind, about a small object below the manifest root, which it removes.

    The object is in no collection, so nobody is notified of it. Once a request is not answered, the rest is not made,
    and a finding says so.
    """
    prefix = f"{root}__doctor/"
    one = _Probe(clients, bucket, f"{prefix}{secrets.token_hex(8)}.json")
    findings: list[Finding] = []
    check = WRITES
    try:
        for check, wrong, well in _CHECKS:
            findings += _checked(check, bucket, wrong(one), well)
    except Unanswered as unanswered:
        mend = unanswered.mend
        if "s3:PutObject" in mend:
            mend = f"allow s3:PutObject on arn:aws:s3:::{bucket}/{prefix}* to whoever runs this"
        findings.append(not_checked(check, bucket, str(unanswered), mend))
    finally:
        left = purge(clients, bucket, one.key)
    return [*findings, *left]


def _checked(check: str, bucket: str, wrong: Iterable[str], well: str) -> Iterator[Finding]:
    """What is wrong, or that all is well. Raises ``Unanswered``."""
    found = False
    try:
        for problem in wrong:
            found = True
            yield error(check, bucket, problem, _ANOTHER_SERVER)
    except Unanswered as unanswered:
        if unanswered.code not in _UNKNOWN:
            raise
        yield error(check, bucket, f"the server does not support them: {unanswered}", _ANOTHER_SERVER)
        return
    if not found:
        yield ok(check, bucket, well)


def _writes(one: _Probe) -> Iterator[str]:
    first = one.put(b"{}", IfNoneMatch="*")
    if first is None:
        yield "the server refuses If-None-Match: * where there is no object: no manifest can ever be created"
        return
    if (seen := one.etag()) != first:
        yield f"a PUT answers with the ETag {first}, and a HEAD with {seen}: no commit can find its own head again"
        first = seen or first
    ignored = [
        condition
        for condition, given in (("If-None-Match: *", {"IfNoneMatch": "*"}), ("If-Match", {"IfMatch": _quoted(_OTHER)}))
        if one.put(b"[]", **given) is not None
    ]
    if ignored:
        yield f"the server ignores {' and '.join(ignored)}: of changes made at once some are lost, without a word"
        return
    if one.put(b"[1]", IfMatch=_quoted(first)) is None:
        bare = one.put(b"[1]", IfMatch=first) is not None
        how = "in quotes, as HTTP wants it (as Ceph RGW 16 does)" if bare else "in any form"
        yield f"the server refuses If-Match with the object's own ETag {how}: no commit can ever succeed"
        return
    if one.put(b"[2]", IfMatch=_quoted(first)) is not None:
        yield "the server accepts If-Match with the ETag of an object that was replaced: changes are lost"
    asked(one.clients.s3_writes.delete_object, **one.at)
    if one.put(b"[3]", IfMatch=_quoted(first)) is not None:
        yield "the server accepts If-Match where there is no object: what was deleted comes back"
    yield from _races(one)


def _races(one: _Probe) -> Iterator[str]:
    """Of many who create an object at once one succeeds, if looking and writing are one step."""
    for _ in range(_RACES):
        asked(one.clients.s3_writes.delete_object, **one.at)
        done = each(lambda number: one.put(b"%d" % number, IfNoneMatch="*"), range(_RACERS))
        if (created := sum(etag is not None for etag in done)) > 1:
            yield f"of {_RACERS} requests that create an object at once {created} succeed: some changes are lost"
            return


def _parts(one: _Probe) -> Iterator[str]:
    etag = _stored(one)
    s3, upload = one.clients.s3_writes, ""
    try:
        upload = asked(s3.create_multipart_upload, **one.at)["UploadId"]
        part = asked(s3.upload_part, **one.at, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]

        def complete(**condition: str) -> bool:
            of = {"UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part}]}}
            call = s3.complete_multipart_upload
            return asked(call, absent=(*_REFUSALS, *_ABSENT), **one.at, **of, **condition) is not None

        if complete(IfMatch=_quoted(_OTHER)):
            yield "the server ignores If-Match of an upload in parts: a push replaces what was uploaded a moment before"
        elif complete(IfNoneMatch="*"):
            yield "the server ignores If-None-Match: * of an upload in parts: a push replaces what was uploaded before"
        elif not complete(IfMatch=_quoted(etag)):
            yield "the server refuses If-Match of an upload in parts with the object's ETag: no large file is stored"
    finally:
        if upload:
            asked(s3.abort_multipart_upload, absent=_ABSENT, **one.at, UploadId=upload)


def _reads(one: _Probe) -> Iterator[str]:
    etag = _stored(one)
    get = one.clients.s3.get_object
    if asked(get, absent=("304",), **one.at, IfNoneMatch=_quoted(etag)) is not None:
        yield "the server ignores If-None-Match of a GET: every read of a manifest fetches all of it again"
    if asked(get, absent=_REFUSALS, **one.at, IfNoneMatch=_quoted(_OTHER)) is None:
        yield "the server refuses If-None-Match of a GET for an object that changed: manifests cannot be read"
    if asked(get, absent=_REFUSALS, **one.at, IfMatch=_quoted(_OTHER)) is not None:
        yield "the server ignores If-Match of a GET: bytes of one object are taken for those of another"
    if asked(get, absent=_REFUSALS, **one.at, IfMatch=_quoted(etag)) is None:
        yield "the server refuses If-Match of a GET with the object's own ETag: no file can be read"


def _deletes(one: _Probe) -> Iterator[str]:
    etag = _stored(one)
    one.delete(_OTHER)
    if one.etag() is None:
        yield "the server ignores If-Match of a DELETE: a deletion also removes what was uploaded a moment before"
        _stored(one)
    elif not one.delete(etag):
        yield "the server refuses If-Match of a DELETE with the object's own ETag: nothing can be deleted"
    else:
        _stored(one)
    many = {"Objects": [{"Key": one.key, "ETag": _quoted(_OTHER)}], "Quiet": True}
    answer = asked(one.clients.s3_writes.delete_objects, Bucket=one.bucket, Delete=many)
    if one.etag() is None:
        yield "the server ignores the ETags of DeleteObjects: emptying a collection also removes what is just uploaded"
    elif not answer.get("Errors"):
        yield "the server does not say which objects DeleteObjects spared for their ETags"


_CHECKS: tuple[tuple[str, Callable[[_Probe], Iterator[str]], str], ...] = (
    (WRITES, _writes, "a write succeeds if its condition holds, and only then"),
    (PARTS, _parts, "an upload in parts replaces only the object that it is to replace"),
    (READS, _reads, "what did not change is not sent again, and no other object in its place"),
    (DELETES, _deletes, "a deletion spares an object that was replaced"),
)


def _stored(one: _Probe) -> str:
    """The ETag of the object, which is written anew, without a condition."""
    body: Any = secrets.token_hex(8).encode()
    asked(one.clients.s3_writes.put_object, **one.at, Body=body)
    return one.etag() or _OTHER


def _quoted(etag: str) -> str:
    return f'"{etag}"'


def _bare(etag: str) -> str:
    return etag.strip('"')
