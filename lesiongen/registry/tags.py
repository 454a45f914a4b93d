"""What the registry keeps in MLflow: the names of tags and aliases, and the history of a model."""

import getpass
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from lesiongen import names
from lesiongen.errors import DataError, UsageError
from lesiongen.mlflow_server import mlflow_client, service_errors
from lesiongen.records.base import READING
from lesiongen.records.history import HistoryEvent

__all__ = [
    "CARD_TAG",
    "CHALLENGER",
    "CHAMPION",
    "CLASSIFIER_NAME_TAG",
    "CLASSIFIER_TAG",
    "CONTAMINATION_TAG",
    "EVALUATION_TAG",
    "EVALUATION_VERSION_TAG",
    "EVENT_TAG",
    "LEASE_TAG",
    "LOCK_SUFFIX",
    "MODEL_TAG",
    "MODEL_VERSION_TAG",
    "check_name",
    "events_of",
    "found",
    "history",
    "now",
    "tag_number",
    "version_of",
    "whoami",
    "write_event",
]

T = TypeVar("T")
CHALLENGER, CHAMPION = "challenger", "champion"
MODEL_TAG, MODEL_VERSION_TAG = "lesiongen.model", "lesiongen.model_version"
EVALUATION_TAG, EVALUATION_VERSION_TAG = "lesiongen.evaluation", "lesiongen.evaluation_version"
CLASSIFIER_TAG, CONTAMINATION_TAG = "lesiongen.classifier_version", "lesiongen.contamination"
CARD_TAG = "lesiongen.card"
"""Where the model card lies that was written at registration."""
CLASSIFIER_NAME_TAG = "lesiongen.classifier_name"
"""The registered model of the classifier: MLflow's page can rename the generator, and the classifier keeps its name."""
EVENT_TAG, LEASE_TAG = "lesiongen.event.", "lesiongen.lease."
TIMED_EVENT_TAG = "lesiongen.history."
"""Began the records of the first releases, whose keys are times; they are older than every numbered one."""
LOCK_SUFFIX = ".promotion-lock"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def history(name: str) -> list[HistoryEvent]:
    """Returns all that happened to a registered model, oldest first.

    Raises:
        UsageError: No model has this name.
        DataError: A record of the history is not what LesionGen writes.
    """
    client = mlflow_client()
    model = found(lambda: client.get_registered_model(check_name(name)))
    if model is None:
        hint = "Register one first: lesiongen register EVALUATION --model MODEL --name NAME"
        raise UsageError(f"No model is registered as {name!r}.", hint=hint)
    return events_of(name, model.tags)


def events_of(name: str, tags: Mapping[str, str]) -> list[HistoryEvent]:
    """Reads the history from the tags of a registered model, in the order of the events' numbers.

    Raises:
        DataError: A record is not what LesionGen writes.
    """
    timed = sorted(key for key in tags if key.startswith(TIMED_EVENT_TAG))
    numbered = {number: key for key in tags if (number := tag_number(key, EVENT_TAG)) is not None}
    events = [_event(name, key, tags[key]) for key in timed]
    return events + [_event(name, key, tags[key]).changed(number=each) for each, key in sorted(numbered.items())]


def write_event(client: Any, name: str, event: HistoryEvent) -> None:
    """Writes an event into the history of a model, in place of an earlier state of the same event."""
    with service_errors():
        client.set_registered_model_tag(
            name, f"{EVENT_TAG}{event.number:08d}", json.dumps(event.model_dump(mode="json"))
        )


def tag_number(key: str, prefix: str) -> int | None:
    """Returns the number that follows a prefix, None where the key is another one."""
    digits = key.removeprefix(prefix)
    return int(digits) if key.startswith(prefix) and re.fullmatch(r"[0-9]{1,18}", digits) else None


def found(ask: Callable[[], T]) -> T | None:
    """Returns the registry's answer, None where what it is asked for does not exist.

    Raises:
        ServiceError: The MLflow server does not answer, or refuses.
    """
    from mlflow.exceptions import MlflowException

    with service_errors():
        try:
            return ask()
        except MlflowException as error:
            if error.error_code not in ABSENT:
                raise
            return None


def version_of(client: Any, name: str, alias: str) -> str | None:
    """Returns the version that an alias points to, or None where it points to none."""
    version = found(lambda: client.get_model_version_by_alias(name, alias))
    return None if version is None else str(version.version)


def check_name(name: str) -> str:
    """Returns a model name that MLflow, a path and a query all take as it is.

    Raises:
        UsageError: It does not keep to the rule of names, or is the name of a lock.
    """
    if LOCK_SUFFIX in name:
        raise UsageError(f"name = {name!r}: {LOCK_SUFFIX} is kept for locks")
    return names.check_name(name)


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


def _event(name: str, key: str, text: str) -> HistoryEvent:
    try:
        return HistoryEvent.model_validate_json(text, context=READING)
    except ValidationError as error:
        later = any(problem["loc"] == ("schema_version",) for problem in error.errors())
        hint = (
            "It was written by a later release: use that one."
            if later
            else "Delete or correct this tag of the registered model in MLflow."
        )
        raise DataError(f"The history of {name} holds an invalid record, the tag {key}.", hint=hint) from error
