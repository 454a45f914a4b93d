"""Start, stop and describe the local stack."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lesiongen.errors import ServiceError
from lesiongen.stack import processes, servers
from lesiongen.stack.home import Credentials, Home
from lesiongen.stack.servers import BUCKET

__all__ = [
    "ServerStatus",
    "Stack",
    "StackStatus",
    "default_home",
    "named_servers",
    "running_stack",
    "use_running_stack",
]

logger = logging.getLogger(__name__)
S3, MLFLOW = "s3", "mlflow"
SERVER_VARIABLES = (
    "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN",
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
)  # fmt: skip
READY_SECONDS = 120.0
LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class ServerStatus:
    """One server: where it is, whether it answers, and what it takes."""

    name: str
    address: str | None
    pid: int | None
    answers: bool
    resident_mb: float
    log: Path


@dataclass(frozen=True)
class StackStatus:
    """The whole stack; ``running`` only when both servers answer."""

    home: Path
    servers: tuple[ServerStatus, ...]
    bucket: str = BUCKET

    @property
    def running(self) -> bool:
        """Whether both servers answer."""
        return all(server.answers for server in self.servers)

    @property
    def s3_endpoint(self) -> str | None:
        """Address of the S3 server, None before the first start."""
        return self._server(S3).address

    @property
    def mlflow_uri(self) -> str | None:
        """Address of the MLflow server, None before the first start."""
        return self._server(MLFLOW).address

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the servers that live."""
        return {server.name: server.pid for server in self.servers if server.pid is not None}

    @property
    def logs(self) -> dict[str, Path]:
        """Log file of each server."""
        return {server.name: server.log for server in self.servers}

    def _server(self, name: str) -> ServerStatus:
        return next(server for server in self.servers if server.name == name)

    def as_dict(self) -> dict[str, object]:
        """Returns the status as plain values, for JSON."""
        listed = [{**vars(server), "log": str(server.log)} for server in self.servers]
        return {
            "home": str(self.home),
            "running": self.running,
            "s3_endpoint": self.s3_endpoint,
            "mlflow_uri": self.mlflow_uri,
            "bucket": self.bucket,
            "servers": listed,
        }


def default_home() -> Path:
    """Returns ``LESIONGEN_HOME``, or ``.lesiongen`` in the working directory."""
    return Path(os.environ.get("LESIONGEN_HOME") or ".lesiongen")


class Stack:
    """A real S3 server (SeaweedFS) and a real MLflow server (SQLite) on loopback, kept in one folder.

    Args:
        home: Folder of the data, logs, credentials and remembered ports; made at the first ``up``.
        ready_seconds: How long a server may take until it answers.
    """

    def __init__(self, home: str | Path, *, ready_seconds: float = READY_SECONDS) -> None:
        self.home = Home(Path(home).expanduser().resolve())
        self.ready_seconds = ready_seconds

    def up(self) -> StackStatus:
        """Starts what does not run; stops and replaces what runs but does not answer.

        Raises:
            ServiceError: A server ended or did not become ready; its log's last lines are in the message.
        """
        self.home.create()
        with self.home.lock():
            status = self.status()
            if status.running:
                return status
            self._stop()
            try:
                self._start()
            except BaseException:
                self._stop()
                raise
        return self.status()

    def down(self) -> None:
        """Stops both servers and all their processes; the data stay. Fine when nothing runs."""
        if not self.home.path.is_dir():
            processes.stop(self.home.path)  # the folder may have been deleted under running servers
            return
        with self.home.lock():
            self._stop()

    def status(self) -> StackStatus:
        """Looks at the processes and asks the servers; changes nothing."""
        ports = self.home.ports() or {}
        paths = {S3: "/", MLFLOW: "/health"}
        listed = tuple(self._server_status(name, ports.get(name), path) for name, path in paths.items())
        return StackStatus(self.home.path, listed)

    def environment(self) -> dict[str, str]:
        """Returns the variables that let any program use this stack.

        Raises:
            ServiceError: The stack was never started.
        """
        ports, keys = self.home.ports(), self.home.credentials()
        if ports is None or keys is None:
            raise ServiceError(f"{self.home.path} holds no stack.", hint="Start it: lesiongen up")
        return {
            "AWS_ENDPOINT_URL": _address(ports[S3]),
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_REGION": servers.REGION,
            "MLFLOW_TRACKING_URI": _address(ports[MLFLOW]),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "NO_PROXY": _without_proxy(),
        }

    def _start(self) -> None:
        keys, ports = self.home.ensure_credentials(), self.home.choose_ports()
        common = servers.server_variables()
        self._spawn(S3, servers.s3_command(self.home, ports), common)
        variables = {**common, **servers.mlflow_variables(keys, ports)}
        self._spawn(MLFLOW, servers.mlflow_command(self.home, ports), variables)
        self._await_both(keys, ports)

    def _await_both(self, keys: Credentials, ports: dict[str, int]) -> None:
        self._await(S3, lambda: servers.accepts_writes(keys, ports))
        self._await(MLFLOW, lambda: servers.answers(ports[MLFLOW], "/health"))

    def _spawn(self, name: str, command: list[str], variables: dict[str, str]) -> None:
        processes.start(command, home=self.home.path, server=name, variables=variables, log=self._log(name))

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.ready_seconds
        while not ready():
            if not processes.find(self.home.path, name):
                raise ServiceError(f"The {name} server ended while starting.{self._tail(name)}")
            if time.monotonic() > deadline:
                waited = f"{self.ready_seconds:.0f} s"
                raise ServiceError(f"The {name} server was not ready after {waited}.{self._tail(name)}")
            time.sleep(0.1)

    def _stop(self) -> None:
        processes.stop(self.home.path)
        if ports := self.home.ports():
            servers.remove_sockets(ports)

    def _server_status(self, name: str, port: int | None, path: str) -> ServerStatus:
        found = processes.find(self.home.path, name)
        # Something else may listen on the port: only a process of ours counts.
        answers = bool(found) and port is not None and servers.answers(port, path)
        return ServerStatus(
            name=name,
            address=None if port is None else _address(port),
            pid=found[0].pid if found else None,
            answers=answers,
            resident_mb=round(processes.resident_mb(found)),
            log=self._log(name),
        )

    def _log(self, name: str) -> Path:
        return self.home.logs / f"{name}.log"

    def _tail(self, name: str) -> str:
        try:
            lines = self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join([f" The end of {self._log(name)}:", *lines[-LOG_TAIL_LINES:]])


def _address(port: int) -> str:
    return f"http://{servers.HOST}:{port}"


def _without_proxy() -> str:
    kept = [host for host in os.environ.get("NO_PROXY", "").split(",") if host]
    return ",".join(dict.fromkeys([*kept, servers.HOST, "localhost"]))


@contextmanager
def running_stack(home: str | Path) -> Iterator[Stack]:
    """Has the stack up, and this process's environment set to use it, for the length of a block.

    Stops at the end only what it started.
    """
    stack = Stack(home)
    was_running = stack.status().running
    stack.up()
    before = dict(os.environ)
    _enter(stack)
    try:
        yield stack
    finally:
        os.environ.clear()
        os.environ.update(before)
        if not was_running:
            stack.down()


def use_running_stack(home: str | Path | None = None) -> bool:
    """Points this process at a stack that runs, unless its environment names servers of its own.

    Returns:
        Whether the environment was set.
    """
    if named_servers():
        return False
    stack = Stack(home if home is not None else default_home())
    if not stack.status().running:
        return False
    _enter(stack)
    return True


def named_servers() -> list[str]:
    """Returns the variables by which the environment names servers or keys of its own; they go before the stack."""
    return [name for name in SERVER_VARIABLES if os.environ.get(name)]


def _enter(stack: Stack) -> None:
    for name in SERVER_VARIABLES:  # some of them would win over the stack's own
        os.environ.pop(name, None)
    os.environ.update(stack.environment())
    logger.info("Using the local servers of %s", stack.home.path)
