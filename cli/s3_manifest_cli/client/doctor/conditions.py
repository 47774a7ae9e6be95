"""Checks that an S3 server honours conditional requests, on which the consistency of manifests depends.

A server that ignores conditions loses changes. One that rejects a condition that holds lets no commit succeed, and
nothing else shows it. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

import secrets
from collections.abc import Callable, Container, Iterator
from typing import Any, NamedTuple

from s3_manifest.aws.threads import parallel_map
from s3_manifest_cli.client.doctor.cleanup import purge
from s3_manifest_cli.client.doctor.clients import Clients, allow, send
from s3_manifest_cli.client.doctor.findings import Finding, error, not_checked, ok
from s3_manifest_cli.errors import Unavailable

WRITES, READS, DELETES = "conditional writes", "conditional reads", "conditional deletes"
PARTS = "conditional uploads in parts"

# Servers differ in the error's code.
_CONFLICTS = ("412", "409")
_ABSENT = ("404", "NoSuchKey", "NoSuchUpload")
_REFUSED = (*_CONFLICTS, *_ABSENT)
_UNSUPPORTED = frozenset({"NotImplemented", "501"})
_WRONG_ETAG = '"00000000000000000000000000000000"'
_RACES, _RACERS = 3, 8
_REMEDY = "use another S3 server, or a newer version of this one; no setting makes it safe"


class _Object(NamedTuple):
    """A test object below the manifest root. ETags are without quotes, conditions as they are sent."""

    clients: Clients
    bucket: str
    key: str

    def send(self, call: Callable[..., Any], absent: Container[str] = _REFUSED, **parameters: object) -> Any:  # noqa: ANN401
        """Sends a request for the object; None: the condition was refused."""
        return send(call, absent=absent, Bucket=self.bucket, Key=self.key, **parameters)

    def put(self, body: bytes, **condition: str) -> str | None:
        """Returns the new ETag; None: the condition was refused."""
        answer = self.send(self.clients.s3_writes.put_object, Body=body, **condition)
        return answer and answer["ETag"].strip('"')  # type: ignore[no-any-return]

    def create(self) -> str:
        """Writes a new body without a condition; returns the ETag in quotes."""
        self.send(self.clients.s3_writes.put_object, (), Body=secrets.token_hex(8).encode())
        etag = self.etag()
        return f'"{etag}"' if etag else _WRONG_ETAG

    def etag(self) -> str | None:
        """Returns the ETag; None: the object does not exist."""
        answer = self.send(self.clients.s3.head_object, _ABSENT)
        return answer and answer["ETag"].strip('"')  # type: ignore[no-any-return]

    def get(self, refused: Container[str] = _CONFLICTS, **condition: str) -> bool:
        """Whether a GET succeeds."""
        return self.send(self.clients.s3.get_object, refused, **condition) is not None

    def delete(self, etag: str) -> bool:
        """Whether the server confirms a conditional DELETE."""
        return self.send(self.clients.s3_writes.delete_object, IfMatch=etag) is not None

    def delete_always(self) -> None:
        self.send(self.clients.s3_writes.delete_object, ())


def probe(clients: Clients, bucket: str, root: str) -> list[Finding]:
    """Sends conditional requests of each kind for a test object below the manifest root, and removes it.

    The object is outside of every collection, so the queue receives no event. The first request that fails ends the
    checks with a finding ``not_checked``.
    """
    prefix = f"{root}__doctor/"
    item = _Object(clients, bucket, f"{prefix}{secrets.token_hex(8)}.json")
    findings, check = list[Finding](), WRITES
    try:
        for check, problems, success in _CHECKS:
            known = len(findings)
            try:
                findings.extend(error(check, bucket, problem, _REMEDY) for problem in problems(item))
            except Unavailable as failure:
                if failure.code not in _UNSUPPORTED:
                    raise
                findings.append(error(check, bucket, f"the server does not support them: {failure.message}", _REMEDY))
            if len(findings) == known:
                findings.append(ok(check, bucket, success))
    except Unavailable as failure:
        remedy = failure.remedy
        if "s3:PutObject" in remedy:
            remedy = allow(f"s3:PutObject on arn:aws:s3:::{bucket}/{prefix}*")
        findings.append(not_checked(check, bucket, failure.message, remedy))
    finally:
        leftovers = purge(clients, bucket, item.key)
    return findings + leftovers


def _writes(item: _Object) -> Iterator[str]:
    etag = item.put(b"{}", IfNoneMatch="*")
    if etag is None:
        yield "the server rejects If-None-Match: * for a missing object: no manifest can be created"
        return
    if (head_etag := item.etag()) != etag:
        yield f"a PUT returns the ETag {etag}, and a HEAD {head_etag}: no commit can recognize its own write"
        etag = head_etag or etag
    conditions = {"If-None-Match: *": {"IfNoneMatch": "*"}, "If-Match": {"IfMatch": _WRONG_ETAG}}
    if ignored := [name for name, condition in conditions.items() if item.put(b"[]", **condition) is not None]:
        yield f"the server ignores {' and '.join(ignored)}: concurrent changes are lost silently"
        return
    quoted = f'"{etag}"'
    if item.put(b"[1]", IfMatch=quoted) is None:
        accepts_bare = item.put(b"[1]", IfMatch=etag) is not None
        form = "in quotes, which HTTP requires (Ceph RGW 16 does this)" if accepts_bare else "in any form"
        yield f"the server rejects If-Match with the object's own ETag {form}: no commit can ever succeed"
        return
    if item.put(b"[2]", IfMatch=quoted) is not None:
        yield "the server accepts If-Match with the ETag of a replaced object: changes are lost"
    item.delete_always()
    if item.put(b"[3]", IfMatch=quoted) is not None:
        yield "the server accepts If-Match for a missing object: deleted objects come back"
    for _ in range(_RACES):
        item.delete_always()
        etags = parallel_map(lambda number: item.put(b"%d" % number, IfNoneMatch="*"), range(_RACERS))
        if (created := sum(etag is not None for etag in etags)) > 1:
            yield f"{created} of {_RACERS} concurrent requests to create one object succeed: changes are lost"
            return


def _parts(item: _Object) -> Iterator[str]:
    etag = item.create()
    s3, upload = item.clients.s3_writes, ""
    try:
        upload = item.send(s3.create_multipart_upload, ())["UploadId"]
        part = item.send(s3.upload_part, (), UploadId=upload, PartNumber=1, Body=b"part")["ETag"]

        def complete(**condition: str) -> bool:
            parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
            call = s3.complete_multipart_upload
            return item.send(call, UploadId=upload, MultipartUpload=parts, **condition) is not None

        if complete(IfMatch=_WRONG_ETAG):
            yield "the server ignores If-Match of an upload in parts: a push overwrites newer objects"
        elif complete(IfNoneMatch="*"):
            yield "the server ignores If-None-Match: * of an upload in parts: a push overwrites newer objects"
        elif not complete(IfMatch=etag):
            yield "the server rejects If-Match of an upload in parts with the object's ETag: no large file is stored"
    finally:
        if upload:
            item.send(s3.abort_multipart_upload, _ABSENT, UploadId=upload)


def _reads(item: _Object) -> Iterator[str]:
    etag = item.create()
    if item.get(["304"], IfNoneMatch=etag):
        yield "the server ignores If-None-Match of a GET: every read of a manifest transfers all of it"
    if not item.get(IfNoneMatch=_WRONG_ETAG):
        yield "the server rejects If-None-Match of a GET for a changed object: manifests cannot be read"
    if item.get(IfMatch=_WRONG_ETAG):
        yield "the server ignores If-Match of a GET: bytes of different objects are mixed"
    if not item.get(IfMatch=etag):
        yield "the server rejects If-Match of a GET with the object's own ETag: no file can be read"


def _deletes(item: _Object) -> Iterator[str]:
    etag = item.create()
    item.delete(_WRONG_ETAG)
    if item.etag() is None:
        yield "the server ignores If-Match of a DELETE: it also deletes newer objects"
    elif not item.delete(etag):
        yield "the server rejects If-Match of a DELETE with the object's own ETag: nothing can be deleted"
    if item.etag() is None:
        item.create()
    batch = {"Objects": [{"Key": item.key, "ETag": _WRONG_ETAG}], "Quiet": True}
    answer = send(item.clients.s3_writes.delete_objects, Bucket=item.bucket, Delete=batch)
    if item.etag() is None:
        yield "the server ignores the ETags of DeleteObjects: emptying a collection also deletes newer objects"
    elif not answer.get("Errors"):
        yield "the server does not report which objects DeleteObjects kept because of their ETags"


_CHECKS: tuple[tuple[str, Callable[[_Object], Iterator[str]], str], ...] = (
    (WRITES, _writes, "a write succeeds if, and only if, its condition holds"),
    (PARTS, _parts, "an upload in parts replaces only the object that it names"),
    (READS, _reads, "unchanged objects are not transferred again, and changed ones are not mixed"),
    (DELETES, _deletes, "a delete keeps an object that was replaced"),
)
