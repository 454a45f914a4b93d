"""The MLflow server that the environment names: a client of it, and its errors as ours."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lesiongen.endpoints import mlflow_proxy_hint, tracking_address, tracking_variable
from lesiongen.errors import ServiceError, UsageError
from lesiongen.redaction import redact

__all__ = ["mlflow_client", "service_errors"]


def mlflow_client() -> Any:
    """Returns an ``MlflowClient`` for the named server, with telemetry off and waits that end within a minute.

    Raises:
        UsageError: No variable names one, or it is not the address of a server.
    """
    address = tracking_address()
    _use_own_login()
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true")
    # MLflow's own defaults try for four minutes before they say that nobody is there.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # each try would be a line before the sentence
    from mlflow import MlflowClient

    with service_errors():
        return MlflowClient(tracking_uri=address)


@contextmanager
def service_errors() -> Iterator[None]:
    """Turns what MLflow raises into a `ServiceError` that names the server."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException  # type: ignore[import-untyped]

    try:
        yield
    except (MlflowException, RequestException) as error:
        variable = tracking_variable() or "MLFLOW_TRACKING_URI"
        server = os.environ.get(variable, "")
        text = redact(str(error))
        if "Max retries exceeded" in text or "timed out" in text or "Connection" in text:
            hint = mlflow_proxy_hint(server) or f"Start it (lesiongen up), or correct {variable}."
            raise ServiceError(f"The MLflow server at {server} does not answer.", hint=hint) from error
        proxy = mlflow_proxy_hint(server)  # its own answers look like the server's
        raise ServiceError(f"The MLflow server at {server} refuses: {text}", hint=proxy) from error


def _use_own_login() -> None:
    """Hands the login of ``LESIONGEN_MLFLOW_URI`` to MLflow's client, which reads it from variables of its own.

    Raises:
        UsageError: The user is given without a password, or the other way round.
    """
    own = {name: os.environ.get(f"LESIONGEN_MLFLOW_{name}") for name in ("USERNAME", "PASSWORD")}
    if tracking_variable() != "LESIONGEN_MLFLOW_URI" or not any(own.values()):
        return
    for name, value in own.items():
        if not value:
            raise UsageError(f"LESIONGEN_MLFLOW_{name} is not set", hint="Set user and password, or neither.")
        os.environ[f"MLFLOW_TRACKING_{name}"] = value
