"""Checks of the S3 server and the MLflow server that the environment names."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lesiongen.doctor.outcome import Checks, Outcome, failed, ok, skipped, warning
from lesiongen.endpoints import tracking_address, tracking_variable
from lesiongen.errors import LesionGenError
from lesiongen.mlflow_server import mlflow_client, service_errors
from lesiongen.redaction import redact
from lesiongen.stack import named_servers
from lesiongen.storage import LocalStorage, Storage, open_storage
from lesiongen.storage.s3_client import endpoint_of
from lesiongen.tracking import GIVEN_RUN, StageRun, stage_run

__all__ = ["service_checks"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_START = "Start the local servers (lesiongen up), or name your own (docs/how-to/servers.md)."
_ROOT = "s3://lesiongen"
_TIMEOUT = 20
_LEAST_MLFLOW = 3


def service_checks(root: str | None) -> Checks:
    """Returns the checks of the servers.

    Args:
        root: Where the runs store their results; None: ``s3://lesiongen``, and nothing is written where the
            environment names no server.
    """
    return {"storage": partial(_storage, root), "mlflow": _mlflow}


def _storage(root: str | None) -> Outcome:
    """Writes an object, finds it, reads it back and deletes it."""
    if root is None and not named_servers():  # of a root that was given it is not known: a role has no variables
        return skipped(f"no S3 server is named, and none runs here. {_START}")
    root = root or _ROOT
    storage = open_storage(root)
    storage.check_settings()
    content = secrets.token_bytes(64)
    with _canary_place(storage) as place:
        place.write_bytes("canary", content)
        if place.read_bytes("canary") != content:
            return failed(
                f"what was read from {place.uri} differs from what was written", "Check the server and its proxies."
            )
        if [item.key for item in place.list()] != ["canary"]:
            return failed(f"{place.uri} is not listed as it was written", "Check what the keys may list.")
        place.delete("canary")
        if place.exists("canary"):
            return failed(f"{place.uri} is still there after it was deleted", "Check what the keys may delete.")
    return _written(root)


@contextmanager
def _canary_place(storage: Storage) -> Iterator[Storage]:
    """Gives a new place below the storage; what was written there is deleted at the end, and so are new folders."""
    place = storage.child("_doctor", secrets.token_hex(8))
    new = _absent(place.root.parent) if isinstance(place, LocalStorage) else []
    try:
        yield place
    finally:
        with suppress(LesionGenError):
            place.delete("canary")
        if isinstance(place, LocalStorage):
            place.delete_all()
        for folder in new:
            with suppress(OSError):  # somebody else has written there meanwhile
                folder.rmdir()


def _absent(folder: Path) -> list[Path]:
    """Returns what does not exist of a folder and the folders around it, the innermost first."""
    return [path for path in (folder, *folder.parents) if not os.path.lexists(path)]


def _written(root: str) -> Outcome:
    if not root.startswith("s3://"):
        return ok(f"{root} can be written")
    endpoint = endpoint_of()
    message = f"{root} at {redact(endpoint or 'AWS')}: written, listed, read and deleted"
    if endpoint and _in_the_clear(endpoint):
        return warning(message, "Use https: keys and images travel unencrypted.")
    return ok(message)


def _in_the_clear(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname not in _LOOPBACK


def _mlflow() -> Outcome:
    """Opens a run, writes into it, and deletes it."""
    if tracking_variable() is None:
        return skipped(f"no MLflow server is named: nothing is tracked, register and promote need one. {_START}")
    address = tracking_address()
    with _canary_run(mlflow_client()) as run:
        run.log_metrics({"canary": 1.0})
        run.log_text("canary", "canary.txt")
    number = _server_version(address)
    message = f"MLflow {number} at {redact(address)}: a run and its files were written"
    if number.partition(".")[0].isdigit() and int(number.partition(".")[0]) < _LEAST_MLFLOW:
        return warning(message, f"Upgrade it to {_LEAST_MLFLOW}.x: older servers are not tested.")
    if _in_the_clear(address):
        return warning(message, "Use https: the login and the reports travel unencrypted.")
    return ok(message)


@contextmanager
def _canary_run(client: Any) -> Iterator[StageRun]:
    """Opens a run, and deletes it at the end and after an error; one that this process was given is kept."""
    opened: StageRun | None = None
    try:
        with stage_run("doctor", {}) as opened:
            yield opened
    except BaseException:
        with suppress(LesionGenError):  # the first error is the one to see
            _delete(client, opened)
        raise
    _delete(client, opened)


def _delete(client: Any, run: StageRun | None) -> None:
    if run is not None and run.run_id != os.environ.get(GIVEN_RUN):
        with service_errors():
            client.delete_run(run.run_id)


def _server_version(address: str) -> str:
    """Returns the server's version; a text that says so where it does not tell."""
    import requests  # type: ignore[import-untyped]

    login = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    with suppress(requests.RequestException):
        answer = requests.get(f"{address.rstrip('/')}/version", auth=login if all(login) else None, timeout=_TIMEOUT)
        if answer.ok and len(answer.text) < 40:
            return str(answer.text.strip())
    return "of an unknown version"
