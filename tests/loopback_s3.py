"""An S3 on loopback: moto's server behind a relay that counts, delays, refuses and cuts."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUCKET = "bucket"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "loopback", "AWS_SECRET_ACCESS_KEY": "loopback"}
ENVIRONMENT = CREDENTIALS | {"AWS_EC2_METADATA_DISABLED": "true"}

CUT = 0
"""A status that stands for no answer: the connection is cut."""


class LoopbackS3:
    """An S3 with one bucket, at a port of its own.

    Attributes:
        requests: Method and path of each request so far, answered or not.
        received: Bytes of all requests' bodies.
        sent: Bytes of all answers' bodies.
        delay: Seconds that pass before a request is answered.
        fault: Asked for each request; a status and an S3 error code to answer with instead of
            carrying it out, or None.
    """

    def __init__(self) -> None:
        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._moto.start()
        self.upstream: tuple[str, int] = self._moto.get_host_and_port()
        self.requests: list[str] = []
        self.received = 0
        self.sent = 0
        self.delay = 0.0
        self.fault: Callable[[str, str], tuple[int, str] | None] = lambda *_: None
        self._relay = _Relay(("127.0.0.1", 0), _Handler)
        self._relay.s3 = self
        threading.Thread(target=self._relay.serve_forever, daemon=True).start()
        self._ask("PUT", f"/{BUCKET}")

    @property
    def port(self) -> int:
        return int(self._relay.server_address[1])

    def uri(self, key: str, bucket: str = BUCKET) -> str:
        return (
            f"s3://{bucket}/{key}?endpoint_override=127.0.0.1:{self.port}"
            "&scheme=http&region=us-east-1"
        )

    def keys(self, prefix: str = "") -> list[str]:
        """The keys in the bucket, looked up behind the relay."""
        listing = self._ask("GET", f"/{BUCKET}?list-type=2&max-keys=1000&prefix={prefix}").decode()
        return [part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]]

    def content(self, key: str) -> bytes:
        return self._ask("GET", f"/{BUCKET}/{key}")

    def put(self, key: str, content: bytes) -> None:
        self._ask("PUT", f"/{BUCKET}/{key}", content)

    def as_new(self) -> None:
        """Answer everything at once, and hold nothing."""
        self.fault, self.delay = lambda *_: None, 0.0
        while keys := self.keys():
            for key in keys:
                self._ask("DELETE", f"/{BUCKET}/{key}")
        self.requests.clear()
        self.received = self.sent = 0

    @contextlib.contextmanager
    def answering(
        self, status: int, code: str = "", *, methods: str = "", containing: str = ""
    ) -> Iterator[None]:
        """Answer so, to requests of these methods (all, if empty) whose path contains a text."""

        def fault(method: str, path: str) -> tuple[int, str] | None:
            meant = (not methods or method in methods.split()) and containing in path
            return (status, code) if meant else None

        before, self.fault = self.fault, fault
        try:
            yield
        finally:
            self.fault = before

    def go_away(self, seconds: float) -> threading.Timer:
        """Cut every connection without an answer, for a while."""
        before, self.fault = self.fault, lambda *_: (CUT, "")

        def come_back() -> None:
            self.fault = before

        timer = threading.Timer(seconds, come_back)
        timer.start()
        return timer

    def stop(self) -> None:
        self._relay.shutdown()
        self._relay.server_close()
        self._moto.stop()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection(*self.upstream)
        headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/s3/x"}
        connection.request(method, path, body, headers)
        with contextlib.closing(connection):
            return connection.getresponse().read()


class _Relay(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    s3: LoopbackS3

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no trouble here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Relay

    def log_message(self, *_: Any) -> None:
        pass

    def _pass_on(self) -> None:
        s3 = self.server.s3
        body = self._body()
        path = unquote(self.path)
        s3.requests.append(f"{self.command} {path}")
        s3.received += len(body)
        time.sleep(s3.delay)
        if (fault := s3.fault(self.command, path)) is not None:
            status, code = fault
            if status == CUT:
                self.close_connection = True
                return
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>"
            self._answer(status, [("Content-Type", "application/xml")], text.encode())
            return
        connection = http.client.HTTPConnection(*s3.upstream)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in {"transfer-encoding", "expect", "content-length"}:
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        with contextlib.closing(connection):
            response = connection.getresponse()
            self._answer(response.status, response.getheaders(), response.read())

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value  # of a HEAD, it is the object's
            elif name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.server.s3.sent += len(body)
