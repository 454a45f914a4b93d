"""A proxy in front of an S3 server that breaks chosen requests: what a network and a busy server do, when asked to."""

import http.client
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KINDS = (
    "busy",
    "reset",
    "lost answer",
    "reset body",
    "cut body",
    "stalled body",
    "flipped answer",
    "flipped request",
    "stall",
)
STALL_SECONDS = 2.5
_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass(frozen=True)
class Fault:
    """What is done to requests.

    Attributes:
        kind: One of `KINDS`. ``busy``: answered with 503; ``reset``: the connection is reset before the server sees the
            request; ``lost answer``: after it has seen it; ``reset body``, ``cut body``: half an answer arrives, whose
            length was said to be more; ``stalled body``: half of it, then nothing for a while; ``flipped answer``,
            ``flipped request``: one bit of the body changes; ``stall``: nothing is answered for `STALL_SECONDS`,
            though the server has seen the request.
        at: Number of the first request of those that match, from 0.
        times: How many of them, one after another.
        place: Where in a body the bit is, from 0 to 1.
        where: What a request's line must contain, as a regular expression (``GET .*_dataset.json``).
    """

    kind: str
    at: int = 0
    times: int = 1
    place: float = 0.5
    where: str = ""


class FaultProxy:
    """Passes requests on to a server, and does to some what a fault says.

    Attributes:
        requests: The lines of the requests since the last fault was set, ``GET /bucket/key?query``.
        struck: How many the fault was done to.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._lock = threading.Lock()
        self.set(None)
        proxy = self

        class Handler(_Handler):
            def handle_request(self) -> None:
                proxy._handle(self)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def set(self, fault: Fault | None) -> None:
        """Sets what is done from now on, and begins to count."""
        with self._lock:
            self._fault, self.requests, self.struck, self._matched = fault, [], 0, 0

    def close(self) -> None:
        """Ends the proxy."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _strike(self, line: str) -> Fault | None:
        with self._lock:
            self.requests.append(line)
            fault = self._fault
            if fault is None or not re.search(fault.where, line):
                return None
            number, self._matched = self._matched, self._matched + 1
            if not fault.at <= number < fault.at + fault.times:
                return None
            self.struck += 1
            return fault

    def _handle(self, handler: "_Handler") -> None:
        fault = self._strike(f"{handler.command} {handler.path}")
        kind = fault.kind if fault else ""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if kind == "busy":
            handler.answer(503, [("Content-Type", "application/xml")], _BUSY)
        elif kind == "reset":
            handler.reset()
        else:
            answer, data = self._forward(handler, _flipped(body, fault) if kind == "flipped request" else body)
            data = _flipped(data, fault) if kind == "flipped answer" else data
            _DELIVERIES.get(kind, _deliver)(handler, answer, data)

    def _forward(self, handler: "_Handler", body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                if name.lower() not in ("expect", "connection"):  # neither is signed
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of connections that ended: that is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self.handle_request
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: int | None = None) -> None:
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines += [f"Content-Length: {len(body) if length is None else length}", "", ""]
        self.wfile.write("\r\n".join(lines).encode() + body)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()
        self.close_connection = True


def _deliver(handler: _Handler, answer: http.client.HTTPResponse, body: bytes) -> None:
    length = int(answer.headers.get("Content-Length") or 0) if handler.command == "HEAD" else len(body)
    handler.answer(answer.status, _headers(answer), body, length)


def _break_off(
    handler: _Handler, answer: http.client.HTTPResponse, body: bytes, *, reset: bool, after: float = 0.0
) -> None:
    if len(body) > 1:
        handler.answer(answer.status, _headers(answer), body[: len(body) // 2], len(body))
        handler.wfile.flush()
    threading.Event().wait(after)
    if reset or len(body) <= 1:
        handler.reset()
    handler.close_connection = True


def _headers(answer: http.client.HTTPResponse) -> list[tuple[str, str]]:
    dropped = {"content-length", "transfer-encoding", "connection"}
    return [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]


def _stall(handler: _Handler, answer: http.client.HTTPResponse, body: bytes) -> None:
    threading.Event().wait(STALL_SECONDS)
    handler.reset()


def _flipped(body: bytes, fault: Fault) -> bytes:
    at = min(int(len(body) * fault.place), len(body) - 1)
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] if body else body


_DELIVERIES = {
    "lost answer": lambda handler, answer, body: handler.reset(),
    "reset body": lambda handler, answer, body: _break_off(handler, answer, body, reset=True),
    "cut body": lambda handler, answer, body: _break_off(handler, answer, body, reset=False),
    "stalled body": lambda handler, answer, body: _break_off(handler, answer, body, reset=True, after=STALL_SECONDS),
    "stall": _stall,
}


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Runs a proxy for the time of a block."""
    proxy = FaultProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()
