"""A proxy in front of an MLflow server that counts a command's requests and disturbs one of them."""

import http.client
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KILL_BEFORE, KILL_AFTER = "the client is killed before", "the client is killed after"
LOSE_ANSWER = "the answer is lost"
GONE_BEFORE, GONE_AFTER = "the server is gone before", "the server is gone after"
FAULTS = (KILL_BEFORE, KILL_AFTER, LOSE_ANSWER, GONE_BEFORE, GONE_AFTER)
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host"}


class Proxy(ThreadingHTTPServer):
    """Forwards requests; the one numbered `at` (1 is the first) meets the fault."""

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(server)
        self.requests: list[str] = []
        self.fault: tuple[str, int] | None = None
        self.client_pid: int | None = None
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def disturb(self, fault: tuple[str, int] | None) -> None:
        """Begins to count anew, for the next client."""
        self.requests, self.fault, self.client_pid = [], fault, None

    def count(self, line: str) -> tuple[int, tuple[str, int] | None]:
        with self._lock:
            self.requests.append(line)
            return len(self.requests), self.fault

    def kill(self) -> None:
        assert self.client_pid is not None
        os.kill(self.client_pid, signal.SIGKILL)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a client that was killed hears no answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _disturbed(self) -> None:
        number, fault = self.server.count(f"{self.command} {urlsplit(self.path).path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, at = fault or ("", 0)
        if kind == KILL_BEFORE and number == at:
            self.server.kill()
        if (kind in (KILL_BEFORE, GONE_BEFORE) and number >= at) or (kind == GONE_AFTER and number > at):
            return self._hang_up()
        answer, content = self._forward(body)
        if kind == KILL_AFTER and number == at:
            self.server.kill()
        if kind in (KILL_AFTER, LOSE_ANSWER, GONE_AFTER) and number == at:
            return self._hang_up()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _disturbed

    def _forward(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        target = self.server.target
        connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        connection.request(self.command, self.path, body, {**headers, "Host": target.netloc})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Writes nothing to the screen."""


@contextmanager
def running_proxy(server: str) -> Iterator[Proxy]:
    """Runs a proxy in a thread until the block ends."""
    with Proxy(server) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
