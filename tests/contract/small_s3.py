"""A small S3 server on loopback that honours conditions as real servers do: correctly, or with a known fault.

- ``quoted_refused``: 412 for every ``If-Match`` in quotes, as Ceph RGW 16 answers, comparing with the bare ETag.
- ``writes_ignored``: every PUT is stored, as by ``rclone serve s3`` and s3rver.
- ``deletes_ignored``: every DELETE deletes, also of an object that was replaced meanwhile.
- ``always_refused``: 412 for every conditional write.
- ``not_modified_ignored``: 200 with the body for ``If-None-Match`` of the ETag that it has.
- ``created_by_if_match``: ``If-Match`` creates the object where there is none.
- ``unsupported``: 501 for every conditional write.
- ``errors_without_body``: no refusal names an error code.
- ``other_etags``: a PUT answers with another ETag than every read.
- ``parts_ignored``: every upload in parts is stored.
- ``racing``: other requests run between the check of a condition and the write, as with moto.
"""

import hashlib
import threading
import time
from collections.abc import Collection
from contextlib import nullcontext
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

Fault = Literal[
    "quoted_refused",
    "writes_ignored",
    "deletes_ignored",
    "always_refused",
    "not_modified_ignored",
    "created_by_if_match",
    "unsupported",
    "errors_without_body",
    "other_etags",
    "parts_ignored",
    "racing",
]
STAMP = "Sun, 01 Mar 2026 08:00:00 GMT"


class SmallS3:
    """One server; ``objects`` are the bodies by ``bucket/key``. A bucket exists as soon as it is named."""

    def __init__(self, *faults: Fault) -> None:
        self.faults: Collection[Fault] = faults
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def refuses(self, name: str, headers: Any) -> int | None:
        """Returns the status that refuses a write or a deletion, or None if it is applied."""
        if_match, if_none_match = headers.get("If-Match"), headers.get("If-None-Match")
        if if_match is None and if_none_match is None:
            return None
        if "unsupported" in self.faults:
            return 501
        if "always_refused" in self.faults:
            return 412
        body = self.objects.get(name)
        if if_none_match is not None:
            return 412 if body is not None else None
        if body is None:
            return None if "created_by_if_match" in self.faults else 404
        etag = if_match if "quoted_refused" in self.faults else if_match.strip('"')
        return None if etag == _etag(body) else 412


def _etag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, owner: SmallS3, *arguments: Any) -> None:
        self.owner = owner
        super().__init__(*arguments)

    def answer(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query, keep_blank_values=True)
        self.bucket, _, self.key = unquote(url.path).lstrip("/").partition("/")
        self.name = f"{self.bucket}/{self.key}"
        body = self._body()
        self.owner.requests.append(f"{self.command} {self.path}")
        with nullcontext() if "racing" in self.owner.faults else self.owner.lock:
            getattr(self, f"_{self.command.lower()}")(body)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815  # http.server's names

    def _put(self, body: bytes) -> None:
        if not self.key:
            return self._send(200)
        if "uploadId" in self.query:
            self.owner.uploads[self.query["uploadId"][0]] = body
            return self._send(200, ETag=f'"{_etag(body)}"')
        status = None if "writes_ignored" in self.owner.faults else self.owner.refuses(self.name, self.headers)
        if status:
            return self._refuse(status)
        if "racing" in self.owner.faults:
            time.sleep(0.05)
        self.owner.objects[self.name] = body
        etag = "0" * 31 + "1" if "other_etags" in self.owner.faults else _etag(body)
        return self._send(200, ETag=f'"{etag}"')

    def _delete(self, _: bytes) -> None:
        if "uploadId" in self.query:
            found = self.owner.uploads.pop(self.query["uploadId"][0], None)
            return self._refuse(404, "NoSuchUpload") if found is None else self._send(204)
        status = None if "deletes_ignored" in self.owner.faults else self.owner.refuses(self.name, self.headers)
        if status:
            return self._refuse(status)
        self.owner.objects.pop(self.name, None)
        return self._send(204)

    def _post(self, body: bytes) -> None:
        if self.key:
            return self._upload()
        errors = ""
        for item in ET.fromstring(body).findall("{*}Object"):  # noqa: S314  # it is the tests' own
            key, etag = item.findtext("{*}Key"), item.findtext("{*}ETag")
            name = f"{self.bucket}/{key}"
            headers = {} if etag is None or "deletes_ignored" in self.owner.faults else {"If-Match": etag}
            if status := self.owner.refuses(name, headers):
                code = {404: "NoSuchKey", 412: "PreconditionFailed"}.get(status, "NotImplemented")
                errors += f"<Error><Key>{escape(key)}</Key><Code>{code}</Code><Message>no</Message></Error>"
            else:
                self.owner.objects.pop(name, None)
        return self._send(200, f"<DeleteResult>{errors}</DeleteResult>".encode())

    def _upload(self) -> None:
        if "uploads" in self.query:
            upload = str(len(self.owner.requests))
            self.owner.uploads[upload] = b""
            answer = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            return self._send(200, answer.encode())
        status = None if "parts_ignored" in self.owner.faults else self.owner.refuses(self.name, self.headers)
        if status:
            return self._refuse(status)
        body = self.owner.objects[self.name] = self.owner.uploads.pop(self.query["uploadId"][0])
        answer = f"<CompleteMultipartUploadResult><ETag>{_etag(body)}</ETag></CompleteMultipartUploadResult>"
        return self._send(200, answer.encode())

    def _head(self, _: bytes) -> None:
        self._get(b"")

    def _get(self, _: bytes) -> None:
        if not self.key:
            return self._list()
        body = self.owner.objects.get(self.name)
        if body is None:
            return self._refuse(404, "NoSuchKey")
        etag = f'"{_etag(body)}"'
        if self.headers.get("If-Match", etag) != etag:
            return self._refuse(412)
        if self.headers.get("If-None-Match") == etag and "not_modified_ignored" not in self.owner.faults:
            return self._send(304, ETag=etag)
        return self._send(200, body, ETag=etag, **{"Last-Modified": STAMP})

    def _list(self) -> None:
        if self.command == "HEAD":
            return self._send(200)
        subresource = next(
            iter(self.query.keys() & {"versions", "versioning", "lifecycle", "policy", "location"}), None
        )
        if subresource == "lifecycle":
            return self._refuse(404, "NoSuchLifecycleConfiguration")
        if subresource == "policy":
            return self._refuse(404, "NoSuchBucketPolicy")
        if subresource == "versioning":
            return self._send(200, b"<VersioningConfiguration/>")
        if subresource:
            return self._refuse(501, "NotImplemented")
        prefix, after = (self.query.get(name, [""])[0] for name in ("prefix", "start-after"))
        delimiter, most = self.query.get("delimiter", [""])[0], int(self.query.get("max-keys", ["1000"])[0])
        found: dict[str, str] = {}
        for name in sorted(self.owner.objects):
            key = name.removeprefix(f"{self.bucket}/")
            if name == key or not key.startswith(prefix) or key <= after:
                continue
            rest, slash, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if slash:
                folder = f"{prefix}{rest}{slash}"
                found[folder] = f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            else:
                body = self.owner.objects[name]
                found[key] = (
                    f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size><ETag>&quot;{_etag(body)}&quot;</ETag>"
                    "<LastModified>2026-03-01T08:00:00.000Z</LastModified></Contents>"
                )
        some = list(found.values())[:most]
        truncated = str(len(found) > most).lower()
        listing = f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{''.join(some)}</ListBucketResult>"
        return self._send(200, listing.encode())

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "") and "aws-chunked" not in self.headers.get(
            "Content-Encoding", ""
        ):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _refuse(self, status: int, code: str = "") -> None:
        code = code or {404: "NoSuchKey", 412: "PreconditionFailed"}.get(status, "NotImplemented")
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self._send(status, b"" if "errors_without_body" in self.owner.faults else body)

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""
