"""A relay on loopback that counts the S3 requests that pass through it, by kind, and their bytes.

It forwards all bytes unchanged, so that signatures stay valid. It needs CPU, so timed runs use the server directly,
unless the relay delays each response as the way to S3 would.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from benchmarks.prices import S3_READ, S3_WRITE

_BLOCK = 1 << 18
_READS = frozenset({"GET", "HEAD"})
_FREE = frozenset({"DELETE"})
_BUCKET_PARAMETERS = frozenset({"location", "versioning", "acl", "policy", "object-lock", "encryption"})


@dataclass
class Counted:
    """Requests by kind (GET, HEAD, LIST, PUT, POST, DELETE), and bytes of bodies and heads in both directions.

    ``conditional`` are the requests that ask only for what changed (``If-None-Match``).
    """

    requests: Counter[str] = field(default_factory=Counter)
    conditional: int = 0
    sent: int = 0
    received: int = 0

    @property
    def dollars(self) -> float:
        """The price of the requests."""
        return sum(count * _price(kind) for kind, count in self.requests.items())

    def take(self) -> "Counted":
        """The counts since the last call."""
        counted = Counted(self.requests.copy(), self.conditional, self.sent, self.received)
        self.requests.clear()
        self.conditional = self.sent = self.received = 0
        return counted

    def summary(self) -> str:
        """The requests by kind, the most frequent first."""
        return ", ".join(f"{count:,} {kind}" for kind, count in self.requests.most_common()) or "none"


def kind(method: str, target: str) -> str:
    """The kind as which S3 charges a request. https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html"""
    url = urlsplit(target)
    _bucket, _, key = url.path.lstrip("/").partition("/")
    parameters = parse_qs(url.query, keep_blank_values=True).keys()
    is_listing = method == "GET" and (not key or "uploadId" in parameters) and not parameters & _BUCKET_PARAMETERS
    return "LIST" if is_listing else method


@contextmanager
def relay(server: str, counted: Counted, latency: Mapping[str, float] | None = None) -> Iterator[str]:
    """An endpoint that forwards to ``server`` (``http://HOST:PORT``) during the block.

    ``latency`` is the least time from a request to the first byte of its response, in seconds by kind.
    """
    url = urlsplit(server)
    assert url.hostname
    assert url.port
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        serving = _serve(url.hostname, url.port, counted, latency or {})
        listening = asyncio.run_coroutine_threadsafe(serving, loop).result()
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        listening.close()
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(host: str, port: int, counted: Counted, latency: Mapping[str, float]) -> asyncio.Server:
    async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            from_server, to_server = await asyncio.open_connection(host, port, limit=_BLOCK)
            requests = _Requests(counted, latency)
            await asyncio.gather(
                _pump(reader, to_server, requests.feed), _pump(from_server, writer, _received(counted), requests.delay)
            )

    return await asyncio.start_server(relayed, "127.0.0.1", 0, limit=_BLOCK)


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    observe: Callable[[bytes], None],
    delay: Callable[[], float] = lambda: 0.0,
) -> None:
    try:
        while block := await reader.read(_BLOCK):
            if seconds := delay():
                await asyncio.sleep(seconds)
            observe(block)
            writer.write(block)
            await writer.drain()
    finally:
        writer.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _received(counted: Counted) -> Callable[[bytes], None]:
    def observe(block: bytes) -> None:
        counted.received += len(block)

    return observe


class _Requests:
    """Parses the requests of one client connection: HTTP/1.1, one after the other."""

    def __init__(self, counted: Counted, latency: Mapping[str, float]) -> None:
        self._counted, self._latency = counted, latency
        self._due = 0.0
        self._buffer = b""
        self._skip = 0
        self._chunked = False

    def feed(self, block: bytes) -> None:
        """Parses the next bytes."""
        self._counted.sent += len(block)
        self._buffer += block
        while self._step():
            pass

    def delay(self) -> float:
        """How much later than now the response to the last request may begin, in seconds."""
        return max(0.0, self._due - time.monotonic())

    def _step(self) -> bool:
        if self._skip:
            skipped = min(self._skip, len(self._buffer))
            self._buffer = self._buffer[skipped:]
            self._skip -= skipped
            return bool(self._buffer)
        head, end, rest = self._buffer.partition(b"\r\n" if self._chunked else b"\r\n\r\n")
        if not end:
            return False
        self._buffer = rest
        if self._chunked:
            size = int(head.split(b";")[0], 16)
            self._skip = size + 2  # with its line end; the last chunk has no trailers
            self._chunked = size > 0
            return True
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        requested = kind(method, target)
        self._counted.requests[requested] += 1
        self._counted.conditional += "if-none-match" in headers
        self._due = time.monotonic() + self._latency.get(requested, 0.0)
        self._chunked = "chunked" in headers.get("transfer-encoding", "")
        self._skip = 0 if self._chunked else int(headers.get("content-length", "0"))
        return True


def _price(kind: str) -> float:
    return 0.0 if kind in _FREE else S3_READ if kind in _READS else S3_WRITE
