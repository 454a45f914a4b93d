"""Checks of the S3 server and the MLflow server that the environment names."""

import os
import secrets
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from lesiongen.doctor.outcome import Checks, Outcome, failed, ok, skipped, warning
from lesiongen.endpoints import tracking_address, tracking_variable
from lesiongen.errors import LesionGenError
from lesiongen.mlflow_server import mlflow_client, service_errors
from lesiongen.redaction import redact
from lesiongen.stack import named_servers
from lesiongen.storage import open_storage
from lesiongen.storage.s3_client import endpoint_of
from lesiongen.tracking import GIVEN_RUN, stage_run

__all__ = ["service_checks"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_START = "Start the local servers (lesiongen up), or name your own (docs/how-to/servers.md)."
_TIMEOUT = 20
_LEAST_MLFLOW = 3


def service_checks(root: str) -> Checks:
    """Returns the checks of the servers.

    Args:
        root: Where the runs store their results.
    """
    return {"storage": partial(_storage, root), "mlflow": _mlflow}


def _storage(root: str) -> Outcome:
    """Writes an object, finds it, reads it back and deletes it."""
    if root.startswith("s3://") and not named_servers():
        return skipped(f"no S3 server is named, and none runs here. {_START}")
    storage = open_storage(root)
    storage.check_settings()
    place = storage.child("_doctor", secrets.token_hex(8))
    content = secrets.token_bytes(64)
    try:
        place.write_bytes("canary", content)
        if place.read_bytes("canary") != content:
            return failed(f"{place.uri} holds other bytes than were written", "Check the server and its proxies.")
        if [item.key for item in place.list()] != ["canary"]:
            return failed(f"{place.uri} is not listed as it was written", "Check what the keys may list.")
        place.delete("canary")
        if place.exists("canary"):
            return failed(f"{place.uri} is still there after it was deleted", "Check what the keys may delete.")
    finally:
        with suppress(LesionGenError):
            place.delete("canary")
    return _written(root)


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
    client = mlflow_client()
    with stage_run("doctor", {}) as run:
        run.log_metrics({"canary": 1.0})
        run.log_text("canary", "canary.txt")
    if not os.environ.get(GIVEN_RUN):
        with service_errors():
            client.delete_run(run.run_id)
    number = _server_version(address)
    message = f"MLflow {number} at {redact(address)}: a run and its files were written"
    if number.partition(".")[0].isdigit() and int(number.partition(".")[0]) < _LEAST_MLFLOW:
        return warning(message, f"Upgrade it to {_LEAST_MLFLOW}.x: older servers are not tested.")
    if _in_the_clear(address):
        return warning(message, "Use https: the login and the reports travel unencrypted.")
    return ok(message)


def _server_version(address: str) -> str:
    """Returns the server's version; a text that says so where it does not tell."""
    import requests  # type: ignore[import-untyped]

    login = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    with suppress(requests.RequestException):
        answer = requests.get(f"{address.rstrip('/')}/version", auth=login if all(login) else None, timeout=_TIMEOUT)
        if answer.ok and len(answer.text) < 40:
            return str(answer.text.strip())
    return "of an unknown version"
