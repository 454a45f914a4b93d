"""Promotion and rollback: which version of a generator is the champion, decided by the gates."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lesiongen.errors import DataError, UsageError
from lesiongen.registry.gates import Decision, Outcome, Policy, decide
from lesiongen.registry.records import (
    CHALLENGER,
    CHAMPION,
    CLASSIFIER_TAG,
    CONTAMINATION_TAG,
    EVALUATION_TAG,
    EVALUATION_VERSION_TAG,
    HistoryEvent,
    history,
    now,
    promotion_lock,
    record,
    version_of,
    whoami,
)
from lesiongen.registry.registration import EVALUATION_FILE
from lesiongen.storage import open_storage
from lesiongen.tracking import mlflow_client, service_errors, stage_run

__all__ = ["PromotionResult", "RollbackResult", "promote", "rollback"]


@dataclass(frozen=True)
class PromotionResult:
    """The decision on a version, and who is champion now and was before."""

    name: str
    version: str
    decision: Decision
    champion: str | None
    previous_champion: str | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the result as plain values, for JSON."""
        return {**vars(self), "decision": self.decision.as_dict()}


@dataclass(frozen=True)
class RollbackResult:
    """The version that is champion again, and the one that was until now."""

    name: str
    champion: str
    rolled_back: str


def promote(
    name: str,
    version: str | None = None,
    policy: Policy | None = None,
    *,
    who: str | None = None,
    break_stale_lock: bool = False,
) -> PromotionResult:
    """Applies the gates to a registered version and makes it the champion when they say PROMOTE.

    On HOLD and REJECT the champion stays. The decision is written to the version's tags and to the history.

    Args:
        name: Name of the registered model.
        version: Version to decide on; the challenger where none is given.
        policy: Limits of the gates; the default ones where none are given.
        who: Who decides; user and host where not given.
        break_stale_lock: Whether to take over the lock of a promotion that died.

    Raises:
        UsageError: There is no such model or version.
        DataError: The evaluation is not the one that was registered.
        ServiceError: The MLflow server does not answer, or another promotion is at work.
    """
    history(name)  # says so where there is no such model
    policy, client = policy or Policy(), mlflow_client()
    params = {"name": name, "version": version or CHALLENGER, "policy": policy.model_dump()}
    with stage_run("promote", params) as run, promotion_lock(client, name, break_stale=break_stale_lock):
        chosen, tags = _chosen(client, name, version)
        decision = decide(_evaluation(tags), policy)
        before = version_of(client, name, CHAMPION)
        after = chosen if decision.outcome is Outcome.PROMOTE else before
        if decision.outcome is Outcome.PROMOTE:
            _set_champion(client, name, chosen)
        _write_decision(client, name, chosen, decision, before, after, who or whoami())
        run.log_json(decision.as_dict(), "decision.json")
        run.set_tags({"lesiongen.outcome": decision.outcome, "lesiongen.version_decided": f"{name} version {chosen}"})
    return PromotionResult(name, chosen, decision, after, before)


def rollback(name: str, *, who: str | None = None, why: str = "", break_stale_lock: bool = False) -> RollbackResult:
    """Makes the previous champion the champion again; repeated, it goes back further.

    Raises:
        UsageError: There is no champion, or none before it.
        ServiceError: The MLflow server does not answer, or another promotion is at work.
    """
    history(name)  # says so where there is no such model
    client = mlflow_client()
    with promotion_lock(client, name, break_stale=break_stale_lock):
        current = version_of(client, name, CHAMPION)
        earlier = _champions_before(history(name), current)
        if current is None or not earlier:
            raise UsageError(f"{name} has no earlier champion to go back to.", hint=f"lesiongen history {name}")
        target = earlier[-1]
        event = HistoryEvent(now(), who or whoami(), "rollback", current, current, target, (why,) if why else ())
        _set_champion(client, name, target)
        record(client, name, event)
    return RollbackResult(name, target, current)


def _chosen(client: Any, name: str, version: str | None) -> tuple[str, Mapping[str, str]]:
    chosen = version or version_of(client, name, CHALLENGER)
    if chosen is None:
        raise UsageError(f"{name} has no challenger.", hint="Register a model, or name a version.")
    return chosen, _tags(client, name, chosen)


def _tags(client: Any, name: str, version: str) -> Mapping[str, str]:
    from mlflow.exceptions import MlflowException

    with service_errors():
        try:
            tags: Mapping[str, str] = client.get_model_version(name, version).tags
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise UsageError(f"{name} has no version {version}.", hint=f"lesiongen history {name}") from error
    return tags


def _evaluation(tags: Mapping[str, str]) -> Mapping[str, Any]:
    uri = tags.get(EVALUATION_TAG)
    if uri is None:
        raise DataError("This version was not registered with an evaluation.", hint="Use lesiongen register.")
    data = open_storage(uri).read_bytes(EVALUATION_FILE)
    if hashlib.sha256(data).hexdigest() != tags.get(EVALUATION_VERSION_TAG):
        hint = "Evaluate anew and register the new evaluation."
        raise DataError(f"{uri}/{EVALUATION_FILE} has changed since it was registered.", hint=hint)
    evaluation = json.loads(data)
    if not isinstance(evaluation, dict):
        raise DataError(f"{uri}/{EVALUATION_FILE} is no evaluation.")
    return {**evaluation, "contamination": json.loads(tags.get(CONTAMINATION_TAG, "null"))}


def _write_decision(
    client: Any, name: str, version: str, decision: Decision, before: str | None, after: str | None, who: str
) -> None:
    reasons = tuple(f"{reason.outcome} {reason.gate}: {reason.message}" for reason in decision.reasons)
    record(client, name, HistoryEvent(now(), who, decision.outcome.lower(), version, before, after, reasons))
    tags = {
        "lesiongen.decision": decision.outcome.value,
        "lesiongen.decided_by": who,
        "lesiongen.decided_at": now(),
        "lesiongen.reasons": json.dumps(reasons),
        "lesiongen.previous_champion": before or "",
    }
    with service_errors():
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)


def _set_champion(client: Any, name: str, version: str) -> None:
    # The classifier first: whoever resolves the new generator finds the classifier that belongs to it.
    classifier = _tags(client, name, version).get(CLASSIFIER_TAG)
    with service_errors():
        if classifier:
            client.set_registered_model_alias(f"{name}-classifier", CHAMPION, classifier)
        client.set_registered_model_alias(name, CHAMPION, version)


def _champions_before(events: list[HistoryEvent], current: str | None) -> list[str]:
    """Replays the history (a promotion puts a champion on top, a rollback takes one off) up to the current one."""
    champions: list[str] = []
    for event in events:
        if event.action == "promote" and champions[-1:] != [event.version]:
            champions.append(event.version)
        elif event.action == "rollback" and champions:
            champions.pop()
    while current in champions:
        if champions.pop() == current:
            break
    return champions
