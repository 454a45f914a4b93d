"""What the registry writes into MLflow: tags, aliases, the history of a model, and the lock of a promotion."""

import getpass
import json
import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lesiongen.errors import ServiceError, UsageError
from lesiongen.tracking import mlflow_client, service_errors

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "EVALUATION_TAG",
    "EVALUATION_VERSION_TAG",
    "CLASSIFIER_TAG",
    "CONTAMINATION_TAG",
    "HistoryEvent",
    "check_name",
    "history",
    "now",
    "promotion_lock",
    "record",
    "version_of",
    "whoami",
]

logger = logging.getLogger(__name__)
CHALLENGER, CHAMPION = "challenger", "champion"
EVALUATION_TAG, EVALUATION_VERSION_TAG = "lesiongen.evaluation", "lesiongen.evaluation_version"
CLASSIFIER_TAG, CONTAMINATION_TAG = "lesiongen.classifier_version", "lesiongen.contamination"
HISTORY_TAG = "lesiongen.history."
LOCK_SUFFIX = ".promotion-lock"
LOCK_WAIT_SECONDS, LOCK_STALE_SECONDS = 30.0, 600.0


@dataclass(frozen=True)
class HistoryEvent:
    """One thing that happened to a registered model."""

    when: str
    who: str
    action: str
    """register, promote, hold, reject or rollback."""
    version: str
    champion_before: str | None = None
    champion_after: str | None = None
    reasons: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns the event as plain values, for JSON."""
        return {**vars(self), "reasons": list(self.reasons)}


def history(name: str) -> list[HistoryEvent]:
    """Returns all that happened to a registered model, oldest first.

    Raises:
        UsageError: No model has this name.
    """
    from mlflow.exceptions import MlflowException

    client = mlflow_client()
    with service_errors():
        try:
            tags = client.get_registered_model(check_name(name)).tags
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            hint = "Register one first: lesiongen register EVALUATION --model MODEL --name NAME"
            raise UsageError(f"No model is registered as {name!r}.", hint=hint) from error
    events = (json.loads(tags[key]) for key in sorted(tags) if key.startswith(HISTORY_TAG))
    return [HistoryEvent(**{**event, "reasons": tuple(event["reasons"])}) for event in events]


def record(client: Any, name: str, event: HistoryEvent) -> None:
    """Appends an event to the history of a model; events sort by the time in their key."""
    with service_errors():
        key = f"{HISTORY_TAG}{time.time_ns():020d}"
        client.set_registered_model_tag(name, key, json.dumps(event.as_dict()))


def version_of(client: Any, name: str, alias: str) -> str | None:
    """Returns the version that an alias points to, or None where it points to none."""
    from mlflow.exceptions import MlflowException

    with service_errors():
        try:
            return str(client.get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


@contextmanager
def promotion_lock(
    client: Any, name: str, *, wait_seconds: float = LOCK_WAIT_SECONDS, break_stale: bool = False
) -> Iterator[None]:
    """Lets one process at a time change the aliases of a model, which have no compare-and-set.

    The lock is a registered model of its own: MLflow's store lets only one creation of a name succeed.

    Args:
        client: The MLflow client.
        name: The model whose aliases are to change.
        wait_seconds: How long to wait for another promotion to end.
        break_stale: Whether to take over a lock that is older than ten minutes.

    Raises:
        ServiceError: Another promotion holds the lock, or one that died has left it behind.
    """
    lock, deadline = f"{name}{LOCK_SUFFIX}", time.monotonic() + wait_seconds
    while not _took(client, lock):
        holder, created = _holder(client, lock)
        stale = created is not None and time.time() - created > LOCK_STALE_SECONDS
        if stale and break_stale:
            _break(client, lock, created)
        elif stale or time.monotonic() > deadline:
            hint = (
                "It is older than ten minutes: if no promotion is at work any more, repeat with --break-lock."
                if stale
                else "Try again when it has ended."
            )
            raise ServiceError(f"Another promotion of {name} is at work ({holder}).", hint=hint)
        else:
            time.sleep(0.2)
    try:
        yield
    finally:
        try:
            with service_errors():
                client.delete_registered_model(lock)
        except ServiceError as error:  # what was decided stands; the next promotion says how to go on
            logger.warning("The lock %s was left behind: %s", lock, error)


def _took(client: Any, lock: str) -> bool:
    from mlflow.exceptions import MlflowException

    with service_errors():
        try:
            client.create_registered_model(lock, tags={"lesiongen.holder": f"{whoami()}, {now()}"})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return False
    return True


def _holder(client: Any, lock: str) -> tuple[str, float | None]:
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # released meanwhile
        model = client.get_registered_model(lock)
        return model.tags.get("lesiongen.holder", "unknown"), model.creation_timestamp / 1000
    return "released meanwhile", None


def _break(client: Any, lock: str, created: float | None) -> None:
    from mlflow.exceptions import MlflowException

    # Renamed and not deleted: when two break the same lock, the second rename fails on the name taken by the
    # first, and a new lock, created in between, is not taken for the old one.
    with suppress(MlflowException):
        client.rename_registered_model(lock, f"{lock}.broken-{int((created or 0) * 1000)}")


def check_name(name: str) -> str:
    """Returns a model name that MLflow, a path and a query all take as it is.

    Raises:
        UsageError: It has other characters, or is the name of a lock.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name) or LOCK_SUFFIX in name:
        raise UsageError(f"The model name {name!r} is refused.", hint="Letters, digits, '.', '_' and '-', at most 100.")
    return name


def whoami() -> str:
    """Returns who acts: ``LESIONGEN_USER``, or user and host."""
    if user := os.environ.get("LESIONGEN_USER"):
        return user
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a container may run as a user without a name
        return f"uid {os.getuid()}@{socket.gethostname()}"


def now() -> str:
    """Returns the time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
