"""The stack's home folder: what it remembers between two starts."""

import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lesiongen.errors import ServiceError

__all__ = ["PORT_NAMES", "Credentials", "Home", "private_folder"]

PORT_NAMES = (
    "s3", "s3_grpc", "filer", "filer_grpc", "volume", "volume_grpc",
    "master", "master_grpc", "admin", "admin_grpc", "mlflow",
)  # fmt: skip
# Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that a
# remembered port is rarely taken by chance.
FIRST_PORT, LAST_PORT = 20000, 32000
LOCK_SECONDS = 180.0


@dataclass(frozen=True)
class Credentials:
    """The key pair of the embedded S3 server."""

    access_key: str
    secret_key: str


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
    def s3_identities(self) -> Path:
        """The S3 server's list of users and their rights."""
        return self.path / "s3-identities.json"

    def create(self) -> None:
        """Makes the folders, for the owner alone."""
        for folder in (self.path, self.logs, self.objects):
            private_folder(folder)

    def ports(self) -> dict[str, int] | None:
        """Returns the remembered ports, or None before the first start."""
        ports = _read_json(self.path / "state.json").get("ports")
        return ports if isinstance(ports, dict) and set(ports) == set(PORT_NAMES) else None

    def choose_ports(self) -> dict[str, int]:
        """Returns the remembered ports where all are free, else a new free set, and remembers it."""
        ports = self.ports()
        if ports is None or not all(_is_free(port) for port in ports.values()):
            ports = dict(zip(PORT_NAMES, _free_ports(len(PORT_NAMES)), strict=True))
        _write_private(self.path / "state.json", {"schema_version": 1, "ports": ports})
        return ports

    def credentials(self) -> Credentials | None:
        """Returns the generated key pair, or None before the first start."""
        values = _read_json(self.path / "credentials.json")
        if isinstance(values.get("access_key"), str) and isinstance(values.get("secret_key"), str):
            return Credentials(values["access_key"], values["secret_key"])
        return None

    def ensure_credentials(self) -> Credentials:
        """Returns the key pair, generated at the first call; only the owner can read the files."""
        keys = self.credentials()
        if keys is None:
            keys = Credentials(secrets.token_hex(10), secrets.token_hex(32))
            _write_private(self.path / "credentials.json", vars(keys))
        identity = {
            "name": "lesiongen",
            "credentials": [{"accessKey": keys.access_key, "secretKey": keys.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        _write_private(self.s3_identities, {"identities": [identity]})
        return keys

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lets one process at a time start or stop the servers of this home.

        Raises:
            ServiceError: Another process held the lock for three minutes.
        """
        with (self.path / "lock").open("w") as file:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _locked(file.fileno()):
                if time.monotonic() > deadline:
                    raise ServiceError(f"Another `lesiongen up` or `down` is still at work on {self.path}.")
                time.sleep(0.1)
            yield


def private_folder(folder: Path) -> None:
    """Makes a folder, or takes one that is there, and closes it to everybody but its owner.

    Raises:
        ServiceError: It is open to others, and belongs to somebody else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        try:
            folder.chmod(0o700)
        except PermissionError as error:
            hint = "It will hold credentials and patients' images: choose a folder of your own."
            raise ServiceError(f"{folder} is open to other users and not yours to close.", hint=hint) from error


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_json(path: Path) -> dict[str, Any]:
    with suppress(OSError, json.JSONDecodeError):
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            return values
    return {}


def _write_private(path: Path, values: object) -> None:
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(values, file, indent=2)
    temporary.replace(path)


def _is_free(port: int) -> bool:
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
