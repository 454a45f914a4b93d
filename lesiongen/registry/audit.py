"""The check of a registered model's history: the chain, the decision forms, and the tags of the versions."""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from lesiongen.errors import DataError, UsageError
from lesiongen.mlflow_server import mlflow_client, service_errors
from lesiongen.records.decision import Decision, Outcome
from lesiongen.records.history import FINISHED, STARTED, HistoryCheck, HistoryEvent, HistoryFinding
from lesiongen.redaction import redact
from lesiongen.registry.chain import SHORT, chain_of, record_digest
from lesiongen.registry.chain_check import chain_findings, chain_notes
from lesiongen.registry.tags import CHAMPION, decision_tags, events_of, found, registered_model
from lesiongen.storage import json_digest
from lesiongen.temporary import temporary_folder
from lesiongen.tracking import StageRun

__all__ = ["log_decision", "verify_history"]

FORMS, FORM = "decisions", "decision.json"


def verify_history(name: str, *, expected: str | None = None) -> HistoryCheck:
    """Checks that the history of a registered model is as it was written.

    Args:
        name: Name of the registered model.
        expected: Digest of a record, or its first characters (12 or more), that was kept elsewhere.

    Raises:
        UsageError: No model has this name, or the digest is none.
        ServiceError: The MLflow server does not answer.
    """
    if expected is not None and not (12 <= len(expected) <= 64 and set(expected.lower()) <= set("0123456789abcdef")):
        raise UsageError(f"{expected!r} is not a digest.", hint="Give 12 to 64 characters of what --verify printed.")
    client = mlflow_client()
    model = registered_model(client, name)
    tags = model.tags
    findings = chain_findings(tags, expected)
    try:
        events = events_of(name, tags)
    except DataError as error:
        events = []
        if not findings:
            findings = [HistoryFinding(kind="altered", message=str(error.args[0]))]
    named = {finding.record for finding in findings}
    sound = [event for event in events if event.sequence not in named]
    findings += [*_forms(client, sound), *_version_tags(client, name, events, named)]
    chain = chain_of(tags)
    return HistoryCheck(
        name=name,
        intact=not findings,
        records=len(chain),
        digest=chain[-1].digest if chain else None,
        findings=tuple(findings),
        notes=(*chain_notes(tags), *_champion_notes(model, events)),
    )


def log_decision(run: StageRun, decision: Decision) -> str:
    """Logs a decision form with a run, before anything of it is done, and returns its digest.

    It has a name of its own beside ``decision.json``, which a repeated step of a pipeline replaces.
    """
    form = json.loads(redact(json.dumps(decision.model_dump(mode="json"))))
    digest = json_digest(form)
    run.log_json(form, FORM)
    run.log_json(form, _form_of(digest))
    return digest


def _form_of(digest: str) -> str:
    return f"{FORMS}/{digest[:SHORT]}.json"


def _forms(client: Any, events: Sequence[HistoryEvent]) -> Iterator[HistoryFinding]:
    """Yields the decision forms that are gone, or are not those that were decided by."""
    for event in events:
        if event.decision_sha256 is None or event.run is None:
            continue
        text, told = _form(client, event.run, _form_of(event.decision_sha256)), f"The decision form of {_told(event)}"
        if text is None:
            message = f"{told} was removed: the run {event.run} does not hold it."
            yield HistoryFinding(kind="removed", record=event.sequence, message=message)
        elif record_digest(text) != event.decision_sha256:
            message = f"{told} was altered: {_form_of(event.decision_sha256)} of the run {event.run}."
            yield HistoryFinding(kind="altered", record=event.sequence, message=message)


def _form(client: Any, run: str, name: str) -> str | None:
    if found(lambda: client.get_run(run)) is None:
        return None
    with service_errors():
        if name not in {file.path for file in client.list_artifacts(run, FORMS)}:
            return None
        with temporary_folder("decision") as folder:
            return Path(client.download_artifacts(run, name, str(folder))).read_text(encoding="utf-8", errors="replace")


def _version_tags(
    client: Any, name: str, events: Sequence[HistoryEvent], unsound: Collection[int | None]
) -> Iterator[HistoryFinding]:
    """Yields the versions whose tags tell another decision than their last one, where the record of that is sound."""
    decisions = {event.version: event for event in events if event.action.upper() in set(Outcome)}
    for version, event in decisions.items():
        entity = found(lambda version=version: client.get_model_version(name, version))  # type: ignore[misc]
        if event.state != FINISHED or event.sequence is None or event.imported is not None or entity is None:
            continue
        if event.sequence in unsound:
            continue
        told = decision_tags(event)
        if not told.keys() & entity.tags.keys():  # nothing tells a decision, and so none that differs
            continue
        for tag, value in told.items():
            if entity.tags.get(tag) != value:
                message = f"The tag {tag} of version {version} was altered: it differs from {_told(event)}."
                yield HistoryFinding(kind="altered", record=event.sequence, tag=tag, message=message)


def _champion_notes(model: Any, events: Sequence[HistoryEvent]) -> Iterator[str]:
    """Yields that the champion is another one than the history says; while a command is at work nothing is said."""
    moves = [event for event in events if event.action in ("promote", "rollback") and event.state == FINISHED]
    if not moves or any(event.state == STARTED for event in events):
        return
    champion, known = model.aliases.get(CHAMPION), moves[-1].champion_after
    if str(champion or "none") != str(known or "none"):
        yield f"The champion is {champion or 'none'}, by the history {known or 'none'}: it was set by other means."


def _told(event: HistoryEvent) -> str:
    return f"the event {event.number} ({event.action} version {event.version}, {event.when})"
