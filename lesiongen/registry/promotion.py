"""Promotion and rollback: which version of a generator is the champion, decided by the gates."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lesiongen.errors import UsageError
from lesiongen.mlflow_server import mlflow_client
from lesiongen.records.decision import Decision, Outcome
from lesiongen.records.history import FINISHED, HistoryEvent
from lesiongen.redaction import shown
from lesiongen.registry.audit import log_decision
from lesiongen.registry.champion import Registered, carry_out, registered, settle
from lesiongen.registry.documents import contamination_of, evaluation_of
from lesiongen.registry.gates import Gates, decide
from lesiongen.registry.lease import Lease, lease
from lesiongen.registry.tags import (
    CHALLENGER,
    CHAMPION,
    history,
    now,
    version_of,
    whoami,
    write_event,
)
from lesiongen.tracking import stage_run

__all__ = ["PromotionResult", "RollbackResult", "promote", "rollback"]

logger = logging.getLogger(__name__)


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
        return {**vars(self), "decision": self.decision.model_dump(mode="json")}


@dataclass(frozen=True)
class RollbackResult:
    """The version that is champion again, and the one that was until now."""

    name: str
    champion: str
    rolled_back: str


def promote(
    name: str, version: str | None = None, gates: Gates | None = None, *, who: str | None = None
) -> PromotionResult:
    """Applies the gates to a registered version and makes it the champion when they say PROMOTE.

    On HOLD and REJECT the champion stays. The decision is written to the version's tags and to the history. The same
    decision on the same version, repeated with nothing in between, is written once.

    Args:
        name: Name of the registered model.
        version: Version to decide on; the challenger where none is given.
        gates: Limits of the gates; the default ones where none are given.
        who: Who decides; user and host where not given.

    Raises:
        UsageError: The model or the version is unknown, or its registration did not end.
        DataError: The evaluation is not the one that was registered, or a record in the registry is invalid.
        ServiceError: The MLflow server does not answer, or another command is at work.
    """
    history(name)  # refuses an unknown model
    gates, client = gates or Gates(), mlflow_client()
    params = {"name": name, "version": version or CHALLENGER, "gates": gates.model_dump()}
    with stage_run("promote", params) as run:
        with lease(client, name, "promote") as held:
            events = settle(held)
            chosen = _chosen(client, name, version)
            decision = decide(evaluation_of(chosen.tags), contamination_of(chosen.tags), gates)
            form = {"decision_sha256": log_decision(run, decision), "run": run.run_id}
            event = _decision_event(held, chosen.version, decision, events, who or whoami())
            carry_out(held, event if event.decision_sha256 else event.changed(**form))
        decided = f"{name} version {chosen.version}"
        run.set_tags({"lesiongen.outcome": decision.outcome, "lesiongen.version_decided": decided})
    return PromotionResult(name, chosen.version, decision, event.champion_after, event.champion_before)


def rollback(name: str, *, who: str | None = None, why: str = "") -> RollbackResult:
    """Makes the previous champion the champion again; repeated, it goes back further.

    A rollback that did not end is finished first. Whoever repeats it goes back once; the log says so.

    Raises:
        UsageError: The model has no champion, or none before it, or that one was deleted.
        DataError: A record of the history is not what LesionGen writes.
        ServiceError: The MLflow server does not answer, or another command is at work.
    """
    history(name)  # refuses an unknown model
    client = mlflow_client()
    with lease(client, name, "rollback") as held:
        events = settle(held)
        current = version_of(client, name, CHAMPION)
        if (unreported := _unreported(events, current)) is not None:
            return _report(held, unreported)
        earlier = _champions_before(events, current)
        if current is None or not earlier:
            raise UsageError(f"{name} has no earlier champion to go back to.", hint=f"lesiongen history {name}")
        reasons = (shown(why),) if why else ()
        event = HistoryEvent(
            when=now(),
            who=who or whoami(),
            action="rollback",
            version=current,
            champion_before=current,
            champion_after=earlier[-1],
            reasons=reasons,
            number=held.number,
        )
        carry_out(held, event)
    return RollbackResult(name, earlier[-1], current)


def _chosen(client: Any, name: str, version: str | None) -> Registered:
    chosen = version or version_of(client, name, CHALLENGER)
    if chosen is None:
        raise UsageError(f"{name} has no challenger.", hint="Register a model, or name a version.")
    return registered(client, name, chosen)


def _decision_event(
    held: Lease, version: str, decision: Decision, events: Sequence[HistoryEvent], who: str
) -> HistoryEvent:
    """Returns the event of a decision: the last one again, where a command that did not learn its end is repeated."""
    champion = version_of(held.client, held.name, CHAMPION)
    action = decision.outcome.lower()
    after = version if decision.outcome is Outcome.PROMOTE else champion
    reasons = tuple(shown(reason.line) for reason in decision.reasons)
    last = next((event for event in reversed(events) if event.action != "register"), None)
    if last is not None and last.number is not None and last.state == FINISHED and last.champion_after == champion:
        same = (last.action, last.version, last.reasons) == (action, version, reasons)
        if same and (last.who == who or last.repaired_by is not None or last.number in held.left_behind):
            return last
    return HistoryEvent(
        when=now(),
        who=who,
        action=action,
        version=version,
        champion_before=champion,
        champion_after=after,
        reasons=reasons,
        number=held.number,
    )


def _unreported(events: Sequence[HistoryEvent], current: str | None) -> HistoryEvent | None:
    """Returns the rollback that led to this champion, where whoever began it did not learn that it ended."""
    moves = [event for event in events if event.action in ("promote", "rollback") and event.state == FINISHED]
    if not moves or moves[-1].action != "rollback" or moves[-1].champion_after != current:
        return None
    last = moves[-1]
    return last if last.repaired_by is not None and last.reported_under is None else None


def _report(held: Lease, event: HistoryEvent) -> RollbackResult:
    held.changed = True
    write_event(held.client, held.name, event.changed(reported_under=held.number))
    logger.warning(
        "The rollback that %s began at %s has been finished; repeat the command to go back further.",
        *(event.who, event.when),
    )
    return RollbackResult(held.name, str(event.champion_after), event.version)


def _champions_before(events: Sequence[HistoryEvent], current: str | None) -> list[str]:
    """Replays the history (a promotion puts a champion on top, a rollback takes some off) up to the current one."""
    champions: list[str] = []
    for event in events:
        if event.state != FINISHED:
            continue
        if event.action == "promote" and champions[-1:] != [event.version]:
            champions.append(event.version)
        elif event.action == "rollback":
            while champions and champions[-1] != event.champion_after:
                champions.pop()
    while current in champions:
        if champions.pop() == current:
            break
    return champions
