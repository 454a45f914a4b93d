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
from lesiongen.registry.chain import (
    HEAD_TAG,
    TIMED_EVENT_TAG,
    appended,
    chain_of,
    earlier_records,
    event_number,
    record_digest,
)

__all__ = [
    "CARD_TAG",
    "CHALLENGER",
    "CHAMPION",
    "CLASSIFIER_NAME_TAG",
    "CLASSIFIER_TAG",
    "CONTAMINATION_TAG",
    "EVALUATION_TAG",
    "EVALUATION_VERSION_TAG",
    "LEASE_TAG",
    "LOCK_SUFFIX",
    "MODEL_TAG",
    "MODEL_VERSION_TAG",
    "check_name",
    "decision_tags",
    "events_of",
    "found",
    "history",
    "now",
    "registered_model",
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
LEASE_TAG = "lesiongen.lease."
LOCK_SUFFIX = ".promotion-lock"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def history(name: str) -> list[HistoryEvent]:
    """Returns all that happened to a registered model, oldest first.

    Raises:
        UsageError: No model has this name.
        DataError: A record of the history is not what LesionGen writes.
    """
    return events_of(name, registered_model(mlflow_client(), name).tags)


def registered_model(client: Any, name: str) -> Any:
    """Returns a registered model as MLflow holds it.

    Raises:
        UsageError: No model has this name.
    """
    model = found(lambda: client.get_registered_model(check_name(name)))
    if model is None:
        hint = "Register one first: lesiongen register EVALUATION --model MODEL --name NAME"
        raise UsageError(f"No model is registered as {name!r}.", hint=hint)
    return model


def events_of(name: str, tags: Mapping[str, str]) -> list[HistoryEvent]:
    """Reads the history from the tags of a registered model, in the order of the events' numbers.

    Of an event that has several records the last one counts.

    Raises:
        DataError: A record is not what LesionGen writes.
    """
    states = {key: _event(name, key, text) for key, text in earlier_records(tags).items()}
    timed = {key: event for key, event in states.items() if key.startswith(TIMED_EVENT_TAG)}
    numbered = {number: states[key] for key in states if (number := event_number(key)) is not None}
    for record in chain_of(tags):
        event = _event(name, record.key, record.text)
        if event.number is None:
            timed[event.imported or record.key] = event
        else:
            numbered[event.number] = event
    ordered = [event.changed(number=number) for number, event in sorted(numbered.items())]
    return [event for _, event in sorted(timed.items())] + ordered


def write_event(client: Any, name: str, event: HistoryEvent) -> None:
    """Appends an event, or a later state of one, to the history of a model.

    It is one tag, so it is written completely or not at all. No earlier record is touched.
    """
    with service_errors():
        tags = client.get_registered_model(name).tags
        chain, digest = chain_of(tags), None
        if chain and HEAD_TAG not in tags:  # its writer was killed: at most one record of its own may go without
            client.set_registered_model_tag(name, HEAD_TAG, chain[-1].digest)
        for key, text in appended(tags, event):
            client.set_registered_model_tag(name, key, text)
            digest = record_digest(text)
        if digest is not None:
            client.set_registered_model_tag(name, HEAD_TAG, digest)


def decision_tags(event: HistoryEvent) -> dict[str, str]:
    """Returns the tags that tell the decision of an event on its version."""
    return {
        "lesiongen.decision": event.action.upper(),
        "lesiongen.decided_by": event.who,
        "lesiongen.decided_at": event.when,
        "lesiongen.reasons": json.dumps(event.reasons),
        "lesiongen.previous_champion": event.champion_before or "",
    }


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
