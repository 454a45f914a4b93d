"""Changing the champion: what is to be done is written down first, and the next command can repeat every step."""

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lesiongen.errors import UsageError
from lesiongen.mlflow_server import service_errors
from lesiongen.records.history import FINISHED, STARTED, UNDONE, HistoryEvent
from lesiongen.registry.classifiers import classifier_model_of, model_for_classifiers
from lesiongen.registry.lease import Lease
from lesiongen.registry.tags import (
    CHAMPION,
    CLASSIFIER_NAME_TAG,
    CLASSIFIER_TAG,
    EVALUATION_TAG,
    MODEL_TAG,
    decision_tags,
    events_of,
    found,
    version_of,
    whoami,
    write_event,
)

__all__ = ["BEGUN", "COMPLETE", "REGISTRATION_TAG", "Registered", "carry_out", "is_complete", "registered", "settle"]

logger = logging.getLogger(__name__)
REGISTRATION_TAG, BEGUN, COMPLETE = "lesiongen.registration", "begun", "complete"


@dataclass(frozen=True)
class Registered:
    """A completely registered version, with the version of its classifier."""

    version: str
    classifier: str | None
    tags: Mapping[str, str]
    classifier_name: str | None
    """The registered model of the classifier."""


def is_complete(tags: Mapping[str, str]) -> bool:
    """Returns whether the registration of a version, of which these are the tags, has ended."""
    # The first releases wrote no tag of completion; the classifier's was among their last.
    return tags.get(REGISTRATION_TAG, COMPLETE if CLASSIFIER_TAG in tags else BEGUN) == COMPLETE


def registered(client: Any, name: str, version: str) -> Registered:
    """Returns a version that may become the champion.

    Raises:
        UsageError: It does not exist, its registration did not end, or its classifier was deleted.
        ServiceError: The MLflow server does not answer.
    """
    entity = found(lambda: client.get_model_version(name, version))
    if entity is None:
        raise _no_version(name, version)
    tags, repeat = entity.tags, _register_command(name, entity.tags)
    if not is_complete(tags):
        raise UsageError(f"Version {version} of {name} is not completely registered.", hint=f"Repeat: {repeat}")
    classifier = tags.get(CLASSIFIER_TAG) or None
    model = classifier_model_of(client, name, tags)
    if classifier and model is None:
        known = f"{tags.get(CLASSIFIER_NAME_TAG) or f'{name}-classifier'} version {classifier}"
        message = f"The classifier of {name} version {version}, {known}, was deleted or renamed."
        raise UsageError(message, hint=f"Register it again: {repeat}")
    return Registered(str(entity.version), classifier, tags, model)


def carry_out(lease: Lease, event: HistoryEvent) -> None:
    """Does what an event says: writes it down as started, moves the aliases, and writes it down as finished.

    Raises:
        UsageError: The version decided on, or the one that is to be the champion, is not there; nothing was written.
        ServiceError: The MLflow server does not answer, or another command has taken the lease over.
    """
    client, name = lease.client, lease.name
    target = registered(client, name, event.champion_after) if event.champion_after and _moves(event) else None
    if target is None and found(lambda: client.get_model_version(name, event.version)) is None:
        raise _no_version(name, event.version)
    lease.confirm()
    lease.changed = True
    write_event(client, name, event.changed(state=STARTED))
    if target is not None:
        _set_champion(lease, target.version)
    if event.action != "rollback":
        _tag_decision(client, name, event)
    lease.confirm()
    write_event(client, name, event.changed(state=FINISHED))


def settle(lease: Lease) -> list[HistoryEvent]:
    """Finishes or undoes what commands that died have begun, and logs it.

    A champion that was set in MLflow by other means stays.

    Returns:
        The history of the model as it is now.

    Raises:
        DataError: A record of the history is not what LesionGen writes.
        ServiceError: The MLflow server does not answer, or another command has taken the lease over.
    """
    events = events_of(lease.name, lease.model.tags)
    finished = [event.number or 0 for event in events if _moves(event) and event.state == FINISHED]
    return [_settled(lease, event, max(finished, default=0)) for event in events]


def _settled(lease: Lease, event: HistoryEvent, newest: int) -> HistoryEvent:
    if event.action == "register":
        return event  # only the same registration can complete it
    if event.state == STARTED:
        return _repaired(lease, event.changed(repaired_by=whoami()), newest)
    settled = event
    if event.action == "rollback" and event.number in lease.left_behind and event.repaired_by is None:
        settled = settled.changed(repaired_by=whoami())  # whoever began it may not know that it ended
    if event.reported_under in lease.left_behind:
        settled = settled.changed(reported_under=None)
    if settled != event:
        lease.changed = True
        write_event(lease.client, lease.name, settled)
    return settled


def _repaired(lease: Lease, event: HistoryEvent, newest: int) -> HistoryEvent:
    begun = f"A command of {event.who} began to {event.action} version {event.version} of {lease.name} at {event.when}"
    current = version_of(lease.client, lease.name, CHAMPION)
    # An older event than the newest was written late, by a process that had been replaced.
    foreign = _moves(event) and (newest > (event.number or 0) or _is_foreign(lease, event, current))
    try:
        if not foreign:
            carry_out(lease, event)
            logger.warning("%s and did not end; it was finished now.", begun)
            return event.changed(state=FINISHED)
        reason = f"the champion has been set to {current or 'none'} meanwhile, and stays."
    except UsageError as error:
        reason = str(error.args[0])
    lease.confirm()
    lease.changed = True
    if _moves(event):
        _set_champion(lease, current if foreign else event.champion_before, event.champion_after)
    event = event.changed(state=UNDONE, reasons=(*event.reasons, f"Undone: {reason}"))
    write_event(lease.client, lease.name, event)
    logger.warning("%s and did not end; it was undone now: %s", begun, reason)
    return event


def _moves(event: HistoryEvent) -> bool:
    return event.action in ("promote", "rollback")


def _is_foreign(lease: Lease, event: HistoryEvent, current: str | None) -> bool:
    """Whether the champion is one that neither preceded the event nor follows from it: somebody else has set it."""
    expected = {event.champion_before, event.champion_after}
    if current is None and None not in expected:  # MLflow takes the alias away with a version that is deleted
        return all(_entity(lease, lease.name, version) for version in expected)
    return current not in expected


def _entity(lease: Lease, name: str, version: str | None) -> Any:
    return found(lambda: lease.client.get_model_version(name, version)) if version else None


def _set_champion(lease: Lease, champion: str | None, *moved: str | None) -> None:
    """Sets the aliases of the champion and of its classifier together.

    Args:
        lease: The lease.
        champion: Version of the generator; None, or one that is gone, takes the aliases away.
        moved: Versions whose classifiers an event that is undone may have made the champion.
    """
    client, name = lease.client, lease.name
    target = _entity(lease, name, champion)
    model = classifier_model_of(client, name, target.tags) if target else None
    earlier = (_entity(lease, name, version) for version in (version_of(client, name, CHAMPION), *moved))
    left = {classifier_model_of(client, name, entity.tags) for entity in earlier if entity}
    left |= {model_for_classifiers(client, name)} if model is None else set()
    # The classifier first: whoever resolves the new generator finds the classifier that belongs to it.
    lease.confirm()
    for other in sorted(filter(None, left - {model})):
        _set_alias(client, other, None)
    if model is not None:
        _set_alias(client, model, target.tags[CLASSIFIER_TAG])
    lease.confirm()
    _set_alias(client, name, str(target.version) if target else None)


def _set_alias(client: Any, name: str, version: str | None) -> None:
    if version is None:
        if version_of(client, name, CHAMPION) is not None:
            found(lambda: client.delete_registered_model_alias(name, CHAMPION))
        return
    with service_errors():
        client.set_registered_model_alias(name, CHAMPION, version)


def _tag_decision(client: Any, name: str, event: HistoryEvent) -> None:
    with service_errors():
        for key, value in decision_tags(event).items():
            client.set_model_version_tag(name, event.version, key, value)


def _no_version(name: str, version: str) -> UsageError:
    hint = f"See lesiongen history {name}, and choose another: lesiongen promote {name} --version VERSION"
    return UsageError(f"{name} has no version {version}.", hint=hint)


def _register_command(name: str, tags: Mapping[str, str]) -> str:
    evaluation, model = tags.get(EVALUATION_TAG, "EVALUATION"), tags.get(MODEL_TAG, "MODEL")
    return f"lesiongen register {shlex.quote(evaluation)} --model {shlex.quote(model)} --name {name}"
