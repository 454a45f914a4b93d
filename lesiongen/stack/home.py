"""The stack's home folder: what it remembers between two starts."""

import fcntl
import json
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from lesiongen.errors import ServiceError
from lesiongen.redaction import register_secret

__all__ = [
    "MLFLOW_USER",
    "PORT_NAMES",
    "Credentials",
    "Home",
    "private_folder",
    "socket_files",
    "write_private",
    "writing_to",
]

PORT_NAMES = (
    "s3", "s3_grpc", "filer", "filer_grpc", "volume", "volume_grpc",
    "master", "master_grpc", "admin", "admin_grpc", "mlflow",
)  # fmt: skip
# Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that a
# remembered port is rarely taken by chance.
FIRST_PORT, LAST_PORT = 20000, 32000
LOCK_SECONDS = 180.0
MLFLOW_USER = "lesiongen"
# SeaweedFS's parts that open a Unix socket, in this fixed place.
SOCKETS = ("s3", "filer", "s3-grpc", "filer-grpc", "volume-grpc", "master-grpc", "admin-grpc")
SOCKET_FOLDER = Path("/tmp")  # noqa: S108
OWN_FOLDERS = frozenset({"logs", "runs", "s3"})


@dataclass(frozen=True)
class Credentials:
    """The key pair of the embedded S3 server, and the password of the embedded MLflow server."""

    access_key: str
    secret_key: str
    mlflow_password: str


@dataclass(frozen=True)
class Home:
    """Paths and remembered facts of one stack; owner-only, as it holds credentials and patients' images."""

    path: Path

    @property
    def logs(self) -> Path:
        """Folder of the servers' logs."""
        return self.path / "logs"

    @property
    def objects(self) -> Path:
        """Folder in which the S3 server keeps its objects."""
        return self.path / "s3"

    @property
    def database(self) -> Path:
        """MLflow's SQLite file."""
        return self.path / "mlflow.db"

    @property
    def logins(self) -> Path:
        """SQLite file of MLflow's users."""
        return self.path / "mlflow-auth.db"

    @property
    def for_users_only(self) -> Path:
        """Empty file that is there while the servers run for their users alone, started by none but them."""
        return self.path / "for-users-only"

    @property
    def s3_identities(self) -> Path:
        """The S3 server's list of users and their rights."""
        return self.path / "s3-identities.json"

    def create(self) -> None:
        """Makes the folders, for the owner alone."""
        private_folder(self.path)
        with writing_to(self.path):
            for folder in (self.logs, self.objects):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)

    def ports(self) -> dict[str, int] | None:
        """Returns the remembered ports, or None before the first start."""
        ports = _read_json(self.path / "state.json").get("ports")
        return ports if isinstance(ports, dict) and set(ports) == set(PORT_NAMES) else None

    def choose_ports(self) -> dict[str, int]:
        """Returns the remembered ports where all are free, else a new free set, and remembers it."""
        ports = self.ports()
        if ports is None or not all(_is_free(port) for port in ports.values()):
            ports = dict(zip(PORT_NAMES, _free_ports(len(PORT_NAMES)), strict=True))
        write_private(self.path / "state.json", json.dumps({"schema_version": 1, "ports": ports}, indent=2))
        return ports

    def credentials(self) -> Credentials | None:
        """Returns the generated secrets, or None before the first start."""
        values = _read_json(self.path / "credentials.json")
        known = [value for field in fields(Credentials) if isinstance(value := values.get(field.name), str)]
        return _made_known(Credentials(*known)) if len(known) == len(fields(Credentials)) else None

    def ensure_credentials(self) -> Credentials:
        """Returns the secrets, generated at the first call; only the owner can read the files."""
        keys = self.credentials()
        if keys is None:
            before = _read_json(self.path / "credentials.json")
            generated = {
                "access_key": secrets.token_hex(10),
                "secret_key": secrets.token_hex(32),
                "mlflow_password": secrets.token_urlsafe(32),
            }
            keys = _made_known(Credentials(**{name: str(before.get(name, value)) for name, value in generated.items()}))
            write_private(self.path / "credentials.json", json.dumps(vars(keys), indent=2))
            self.logins.unlink(missing_ok=True)  # it knows another password, which is lost
        identity = {
            "name": "lesiongen",
            "credentials": [{"accessKey": keys.access_key, "secretKey": keys.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_private(self.s3_identities, json.dumps({"identities": [identity]}, indent=2))
        return keys

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lets one process at a time start or stop the servers of this home.

        Raises:
            ServiceError: Another process held the lock for three minutes.
        """
        with self._opened("lock") as file:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _locked(file.fileno(), fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise ServiceError(f"Another `lesiongen up` or `down` is still at work on {self.path}.")
                time.sleep(0.1)
            yield

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Registers a user of the servers for the length of a block; a killed process is registered no more."""
        with self._opened("users") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            try:
                yield
            finally:
                # Closing alone would leave the lock to a child process that was forked meanwhile.
                fcntl.flock(file, fcntl.LOCK_UN)

    def in_use(self) -> bool:
        """Says whether a user of the servers is registered."""
        with self._opened("users") as file:
            return not _locked(file.fileno(), fcntl.LOCK_EX)

    def _opened(self, name: str) -> TextIO:
        with writing_to(self.path):
            return os.fdopen(os.open(self.path / name, os.O_RDWR | os.O_CREAT, 0o600), "w")


def _made_known(keys: Credentials) -> Credentials:
    # Where the servers start or fail, and when a command has ended, no variable holds them.
    register_secret(keys.secret_key)
    register_secret(keys.mlflow_password)
    return keys


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns what the system says against writing into an error that names the folder.

    Raises:
        ServiceError: The disk is read-only or full, the folder belongs to somebody else, and the like.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "Choose a folder that you can write to: --home FOLDER, or LESIONGEN_HOME."
        raise ServiceError(f"{folder} cannot be used: {reason}.", hint=hint) from error


def private_folder(folder: Path) -> None:
    """Makes a folder for its owner alone, or takes one that is there and holds nothing else.

    Raises:
        ServiceError: Others can open the folder and it is not a home of ours, or it cannot be made.
    """
    with writing_to(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if not status.st_mode & 0o077:
            return
        reason = _foreign(folder, status)
        if reason:
            hint = f"It would hold credentials and patients' images. Choose a folder of its own: {folder / 'lesiongen'}"
            raise ServiceError(f"{folder} is open to other users, and {reason}.", hint=hint)
        folder.chmod(0o700)


def _foreign(folder: Path, status: os.stat_result) -> str | None:
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if Home(folder).ports() is not None:
        return None
    if status.st_mode & stat.S_IWOTH:  # shared on purpose, even while it is empty
        return "all users can write to it"
    return "it holds other files" if {entry.name for entry in folder.iterdir()} - OWN_FOLDERS else None


def socket_files(port: int) -> list[Path]:
    """Returns the Unix sockets that a server of this port may open."""
    return [SOCKET_FOLDER / f"seaweedfs-{name}-{port}.sock" for name in SOCKETS]


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_json(path: Path) -> dict[str, Any]:
    with suppress(OSError, json.JSONDecodeError):
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            return values
    return {}


def write_private(path: Path, text: str) -> None:
    """Writes a file that its owner alone can read, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _is_free(port: int) -> bool:
    # What is left there by now belongs to somebody else, who would be asked in the place of the server.
    if any(os.path.lexists(path) for path in socket_files(port)):
        return False
    with socket.socket() as probe:
        # Without it a port whose last connection is still in TIME_WAIT would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_ports(count: int) -> list[int]:
    candidates = secrets.SystemRandom().sample(range(FIRST_PORT, LAST_PORT), 40 * count)
    free = [port for port in candidates if _is_free(port)][:count]
    if len(free) < count:
        raise ServiceError(f"No {count} free ports between {FIRST_PORT} and {LAST_PORT} on 127.0.0.1.")
    return free
