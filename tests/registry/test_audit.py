"""The check of a history in a real registry: records, decision forms and the tags of versions."""

import json

import mlflow
import pytest
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.cli.registry import TAMPERED_EXIT_CODE
from lesiongen.errors import UsageError
from lesiongen.records.history import HistoryCheck
from lesiongen.registry import audit, history, promote, register, rollback, verify_history
from lesiongen.registry.chain import HEAD_TAG, chain_of
from tests.registry.commands import LAX
from tests.registry.conftest import COPYING, GOOD


@pytest.fixture
def decided(evaluate, name):
    """A registry in which two versions were decided on, one was refused, and one rolled back."""
    for evaluation in (GOOD, GOOD, COPYING):
        register(**evaluate(evaluation), name=name)
        promote(name, gates=LAX)
    rollback(name, why="odd vessels")
    return name


def chain(client, name):
    return chain_of(client.get_registered_model(name).tags)


def found(name):
    return [(finding.kind, finding.record) for finding in verify_history(name).findings]


def test_a_history_that_nobody_touched_is_intact(decided, client):
    check = verify_history(decided)
    assert (check.intact, check.findings, check.notes) == (True, (), ())
    assert check.records == len(chain(client, decided)) == 14, "every event as begun and as finished"
    assert check.digest == chain(client, decided)[-1].digest
    promote(decided, "2", LAX)
    assert verify_history(decided, expected=check.digest).intact, "it goes on from there"


def test_an_altered_a_removed_and_exchanged_records_are_named(decided, client):
    records = chain(client, decided)
    promotion = records[3]
    altered = {**promotion.content, "who": "somebody else"}
    client.set_registered_model_tag(decided, promotion.key, json.dumps(altered))
    assert found(decided) == [("altered", 4)]
    client.set_registered_model_tag(decided, promotion.key, promotion.text)
    client.delete_registered_model_tag(decided, records[7].key)
    assert found(decided)[0] == ("removed", 8)
    client.set_registered_model_tag(decided, records[7].key, records[7].text)
    for one, other in ((records[4], records[5]), (records[5], records[4])):
        client.set_registered_model_tag(decided, one.key, other.text)
    assert found(decided) == [("moved", 5), ("moved", 6)]


def test_a_removed_end_is_found(decided, client):
    client.delete_registered_model_tag(decided, chain(client, decided)[-1].key)
    (finding,) = verify_history(decided).findings
    assert (finding.kind, finding.tag) == ("removed", HEAD_TAG)


def test_a_decision_form_that_was_altered_or_removed_is_named(decided, client):
    event = next(event for event in history(decided) if event.action == "reject")
    name = f"decisions/{event.decision_sha256[:16]}.json"
    form = json.loads(stored_text(event.run, name))
    assert form["outcome"] == "REJECT"
    client.log_text(event.run, json.dumps({**form, "outcome": "PROMOTE"}), name)
    (finding,) = verify_history(decided).findings
    assert (finding.kind, finding.record) == ("altered", event.sequence)
    assert "decision form" in finding.message
    client.log_text(event.run, json.dumps(form), name)
    assert verify_history(decided).intact, "the layout of the text is no matter"
    client.delete_run(event.run)
    assert verify_history(decided).intact, "a run in the bin of MLflow can be restored"


def stored_text(run, name):
    return mlflow.artifacts.load_text(f"runs:/{run}/{name}")


def test_a_form_that_is_not_there_is_named(decided, client, monkeypatch):
    monkeypatch.setattr(audit, "FORMS", "nowhere")
    assert {kind for kind, _ in found(decided)} == {"removed"}


def test_the_tags_of_a_version_that_tell_another_decision_are_named(decided, client):
    client.set_model_version_tag(decided, "3", "lesiongen.decision", "PROMOTE")
    (finding,) = verify_history(decided).findings
    assert (finding.kind, finding.tag) == ("altered", "lesiongen.decision")
    assert "version 3" in finding.message


def test_a_champion_that_was_set_by_hand_is_told(decided, client):
    client.set_registered_model_alias(decided, "champion", "3")
    check = verify_history(decided)
    assert (check.intact, check.notes) == (True, ("The champion is 3, by the history 1: it was set by other means.",))


def test_the_command_has_an_exit_code_for_a_history_that_was_changed(decided, client):
    run = CliRunner().invoke
    intact = run(app, ["history", decided, "--verify"])
    assert intact.exit_code == 0, intact.output
    assert "14 records; the history is as it was written." in intact.output
    digest = verify_history(decided).digest
    assert f"Digest of the last record: {digest}" in intact.output
    assert run(app, ["history", decided, "--verify", "--expect", digest[:16]]).exit_code == 0
    assert run(app, ["history", decided, "--verify", "--expect", "0" * 16]).exit_code == TAMPERED_EXIT_CODE

    client.delete_registered_model_tag(decided, chain(client, decided)[2].key)
    changed = run(app, ["history", decided, "--verify"])
    assert changed.exit_code == TAMPERED_EXIT_CODE == 3
    assert "removed: Record 3 was removed" in changed.output
    plain = run(app, ["history", decided, "--verify", "--json"])
    assert plain.exit_code == TAMPERED_EXIT_CODE
    assert HistoryCheck.model_validate_json(plain.output).findings[0].record == 3


def test_what_cannot_be_checked_is_wrong_use(decided):
    for arguments in (["--expect", "0" * 16], ["--verify", "--expect", "no digest"]):
        refused = CliRunner().invoke(app, ["history", decided, *arguments])
        assert isinstance(refused.exception, UsageError)
    with pytest.raises(UsageError, match="No model is registered"):
        verify_history("unheard-of")


def test_an_invalid_record_is_named_and_not_an_error(decided, client):
    record = chain(client, decided)[1]
    client.set_registered_model_tag(decided, record.key, "{")
    assert found(decided)[0] == ("altered", 2)
