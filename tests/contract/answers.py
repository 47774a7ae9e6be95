"""A real HTTP server that sends the answers of a test, and records the requests."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass(frozen=True)
class Answer:
    """``length`` is the Content-Length, if it is not the body's; ``seconds`` is the delay.

    ``dropped``: the connection is closed without an answer.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    seconds: float = 0.0
    dropped: bool = False


def error(status: int, code: str = "SomeError") -> Answer:
    """An error as S3 sends it."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return Answer(status, body, {"Content-Type": "application/xml"})


class AnsweringServer:
    """Sends ``answers`` in order, repeating the last one, and records ``requests``."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.requests: list[str] = []
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _next(self, request: str) -> Answer:
        self.requests.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while int(self.rfile.readline().split(b";")[0] or b"0", 16):
                        self.rfile.readline()
                else:
                    self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = owner._next(f"{self.command} {self.path}")
                owner._closing.wait(answer.seconds)
                self.close_connection = True
                if answer.dropped:
                    return
                body = b"" if self.command == "HEAD" else answer.body
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body) if answer.length is None else answer.length))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)

            do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815  # http.server's names

            def log_message(self, *_: object) -> None:
                """Logs nothing."""

        Handler.protocol_version = "HTTP/1.1"
        return Handler
