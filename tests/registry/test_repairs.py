"""What the next command does about one that died, about records of the first releases, and about changes by hand."""

import json
import time

import pytest

from lesiongen.cli.registry import history_command
from lesiongen.errors import DataError, UsageError
from lesiongen.records.history import HistoryEvent
from lesiongen.registry import champion, history, promote, register, rollback
from lesiongen.registry import tags as stored
from lesiongen.registry.champion import registered
from lesiongen.registry.tags import write_event
from tests.registry.commands import LAX, aliases, released
from tests.registry.conftest import COPYING, GOOD


def event_of(who, action, version, before, after, **values):
    return HistoryEvent(
        when="a day", who=who, action=action, version=version, champion_before=before, champion_after=after, **values
    )


@pytest.fixture
def tags(passing):
    return passing.tags


@pytest.fixture
def begun(client, name, tags):
    """A registry in which the promotion of version 2 was written down, and nothing of it done."""
    released(client, name, tags, versions=3, champions=1)
    event = event_of("alice", "promote", "2", "1", "2", reasons=("PROMOTE",), number=7, state="started")
    write_event(client, name, event)
    return event


def champions(client, name):
    return tuple(aliases(client, each).get("champion") for each in (name, f"{name}-classifier"))


def last(name):
    return next(event for event in reversed(history(name)) if event.number == 7)


def test_history_says_what_did_not_end_and_the_next_command_finishes_it(client, name, begun, caplog, capsys):
    history_command(name)
    assert "1 -> 2  (alice)  not finished" in capsys.readouterr().out
    result = rollback(name, who="bob")  # any command: this one then does its own work
    assert "alice began to promote version 2" in caplog.text
    assert "finished now" in caplog.text
    assert (last(name).state, last(name).who, last(name).repaired_by) == ("finished", "alice", stored.whoami())
    assert (result.rolled_back, champions(client, name)) == ("2", (1, 1))
    assert [event.action for event in history(name)] == ["promote", "promote", "rollback"]
    history_command(name)
    assert f"(alice)  finished by {stored.whoami()}" in capsys.readouterr().out


def test_what_a_dead_command_moved_halfway_is_finished(client, name, begun):
    client.set_registered_model_alias(f"{name}-classifier", "champion", 2)
    assert promote(name, "2", LAX, who="alice").champion == "2"
    assert champions(client, name) == (2, 2)


@pytest.mark.parametrize("moved", [False, True])
def test_a_promotion_whose_version_was_deleted_is_undone(client, name, begun, moved, caplog):
    if moved:
        client.set_registered_model_alias(f"{name}-classifier", "champion", 2)
        client.set_registered_model_alias(name, "champion", 2)
    client.delete_model_version(name, "2")
    with pytest.raises(UsageError, match="no earlier champion"):
        rollback(name)
    assert "undone now" in caplog.text
    assert champions(client, name) == (1, 1)
    assert last(name).state == "undone"


def test_a_promotion_whose_classifier_was_deleted_is_undone(client, name, begun, caplog):
    client.delete_model_version(f"{name}-classifier", "2")
    with pytest.raises(UsageError, match="Register it again"):
        promote(name, "2", LAX)
    assert "undone now" in caplog.text
    assert champions(client, name) == (1, 1)


def test_a_champion_that_was_set_by_hand_meanwhile_stays(client, name, begun, caplog):
    client.set_registered_model_alias(f"{name}-classifier", "champion", 2)  # as far as the dead command came
    client.set_registered_model_alias(name, "champion", 3)
    assert promote(name, "3", LAX).previous_champion == "3"
    assert "has been set to 3 meanwhile" in caplog.text
    assert champions(client, name) == (3, 3)


def test_a_champion_that_was_taken_away_by_hand_meanwhile_stays_away(client, name, begun):
    client.delete_registered_model_alias(name, "champion")
    with pytest.raises(UsageError, match="no earlier champion"):
        rollback(name)
    assert champions(client, name) == (None, None)


def test_a_promotion_that_a_replaced_process_wrote_down_late_is_undone(client, name, begun, caplog):
    for number, action, version, before, after in ((8, "promote", "3", "1", "3"), (9, "rollback", "3", "3", "1")):
        write_event(client, name, event_of("bob", action, version, before, after, number=number))
    with pytest.raises(UsageError, match="no earlier champion"):
        rollback(name)
    assert (champions(client, name), last(name).state) == ((1, 1), "undone")


def test_a_rollback_that_another_command_finished_goes_back_once_when_repeated(client, name, tags, caplog):
    released(client, name, tags, versions=4, champions=3)
    write_event(client, name, event_of("alice", "rollback", "3", "3", "2", number=7, state="started"))
    with pytest.raises(UsageError, match="no version 9"):
        promote(name, "9", LAX)
    assert champions(client, name) == (2, 2)
    assert rollback(name).rolled_back == "3"
    assert "repeat the command to go back further" in caplog.text
    assert champions(client, name) == (2, 2)
    assert rollback(name).champion == "1"
    assert [event.champion_after for event in history(name)] == ["1", "2", "3", "2", "1"]


def test_the_history_holds_no_secret(client, name, tags, monkeypatch):
    secret = "0aB1" * 4
    monkeypatch.setenv("LESIONGEN_VLM_API_KEY", secret)
    released(client, name, tags, versions=2, champions=2)
    rollback(name, why=f"drawn with {secret} \x1b[2J")
    assert history(name)[-1].reasons == ("drawn with *** \\x1b[2J",)


def test_rollback_refuses_a_champion_that_was_deleted(client, name, tags):
    released(client, name, tags, versions=3, champions=3)
    client.delete_model_version(name, "2")
    with pytest.raises(UsageError, match="no version 2"):
        rollback(name)
    assert champions(client, name) == (3, 3)


def test_rollback_from_a_champion_set_by_hand(client, name, tags):
    released(client, name, tags, versions=4, champions=2)
    client.set_registered_model_alias(name, "champion", 3)
    assert rollback(name).champion == "2"
    assert promote(name, "4", LAX).previous_champion == "2"
    assert rollback(name).champion == "2"
    assert rollback(name).champion == "1"


def test_an_incomplete_version_is_refused_until_the_same_registration_completes_it(client, name, passing):
    addresses = passing.addresses
    version = register(**addresses, name=name)
    client.set_model_version_tag(name, version.version, champion.REGISTRATION_TAG, champion.BEGUN)
    for chosen in (None, version.version):
        with pytest.raises(UsageError, match="not completely registered") as caught:
            promote(name, chosen, LAX)
        assert f"lesiongen register {addresses['evaluation_uri']} --model {addresses['model_uri']}" in str(caught.value)
    assert register(**addresses, name=name) == version
    assert promote(name, gates=LAX).champion == version.version


def test_the_same_content_at_another_address_is_the_same_version(client, name, passing, tmp_path):
    first = register(**passing.addresses, name=name)
    model, evaluation = (records_of(uri, tmp_path) for uri in (first.model_uri, first.evaluation_uri))
    assert register(evaluation, model, name).version == first.version
    tags = client.get_model_version(name, first.version).tags
    assert (tags["lesiongen.model"], tags["lesiongen.evaluation"]) == (model, evaluation)
    assert promote(name, gates=LAX).champion == first.version


def records_of(uri, folder):
    from lesiongen.storage import open_storage

    copy = folder / uri.split("/")[-2]
    copy.mkdir()
    for key in ("_model.json", "evaluation.json"):
        if open_storage(uri).exists(key):
            (copy / key).write_bytes(open_storage(uri).read_bytes(key))
    return str(copy)


def test_the_order_of_events_follows_no_clock(client, name, evaluate, monkeypatch):
    right = time.time_ns
    for number in (1, 2, 3):
        if number == 3:  # a machine whose clock is an hour behind
            monkeypatch.setattr(time, "time_ns", lambda: right() - 3600 * 10**9)
            monkeypatch.setattr(stored, "now", lambda: "2001-01-01T00:00:00Z")
        register(**evaluate(GOOD), name=name)
        promote(name, gates=LAX)
    assert rollback(name).champion == "2"


def test_records_of_the_first_releases_are_read_and_come_first(client, name, tags):
    released(client, name, tags, versions=3, champions=0)
    for number in (1, 2):
        event = {"when": "2026-01-01", "who": "x", "action": "promote", "version": str(number), "reasons": ["r"]}
        event |= {"champion_before": None if number == 1 else "1", "champion_after": str(number)}
        client.set_registered_model_tag(name, f"lesiongen.history.{1790000000 + number:020d}", json.dumps(event))
        for each in (name, f"{name}-classifier"):
            client.set_registered_model_alias(each, "champion", str(number))
    assert promote(name, "3", LAX).previous_champion == "2"
    assert [rollback(name).champion, rollback(name).champion] == ["2", "1"]
    assert [event.version for event in history(name)] == ["1", "2", "3", "3", "2"]


def test_a_version_of_the_first_releases_is_complete_and_found_again(client, name, passing):
    addresses = passing.addresses
    version = register(**addresses, name=name)
    client.delete_model_version_tag(name, version.version, champion.REGISTRATION_TAG)
    assert promote(name, gates=LAX).champion == version.version
    assert register(**addresses, name=name) == version


@pytest.mark.parametrize("record", ["", "{", "[]", '{"when": 1}', "[" * 5000])
def test_an_invalid_record_is_named(client, name, tags, record):
    released(client, name, tags, versions=2, champions=2)
    client.set_registered_model_tag(name, "lesiongen.event.00000009", record)
    for command in (history, rollback, promote):
        with pytest.raises(DataError, match=r"tag lesiongen\.event\.00000009"):
            command(name)
    assert champions(client, name) == (2, 2)


def test_the_same_decision_is_written_once_and_a_different_one_again(client, name, evaluate):
    register(**evaluate(COPYING), name=name)
    for who in ("alice", "alice", "bob"):
        promote(name, gates=LAX, who=who)
    promote(name)  # the default gates
    assert [event.who for event in history(name)] == [stored.whoami(), "alice", "bob", stored.whoami()]


def test_a_champion_without_a_classifier_takes_the_alias_of_the_last_one_away(client, name, tags):
    released(client, name, tags, versions=2, champions=1)
    client.set_model_version_tag(name, "2", stored.CLASSIFIER_TAG, "")
    promote(name, "2", LAX)
    assert champions(client, name) == (2, None)
    rollback(name)
    assert champions(client, name) == (1, 1)


def test_a_model_that_was_renamed_in_mlflow_keeps_its_classifier(client, name, evaluate):
    register(**evaluate(GOOD), name=name)
    assert promote(name, gates=LAX).champion == "1"
    renamed = f"{name}-renamed"
    client.rename_registered_model(name, renamed)

    again = register(**evaluate(GOOD), name=renamed)
    assert (again.classifier_name, again.classifier_version) == (f"{name}-classifier", "2")
    assert promote(renamed, gates=LAX).champion == "2"
    assert aliases(client, f"{name}-classifier")["champion"] == 2
    assert rollback(renamed).champion == "1"
    assert aliases(client, f"{name}-classifier")["champion"] == 1
    assert [event.action for event in history(renamed)] == ["register", "promote", "register", "promote", "rollback"]


def test_a_model_and_its_classifier_that_were_renamed_alike_are_found(client, name, evaluate):
    register(**evaluate(GOOD), name=name)
    for suffix in ("", "-classifier"):
        client.rename_registered_model(f"{name}{suffix}", f"{name}-renamed{suffix}")
    assert promote(f"{name}-renamed", gates=LAX).champion == "1"
    assert aliases(client, f"{name}-renamed-classifier")["champion"] == 1


def test_a_name_that_is_given_again_has_no_part_of_the_renamed_model(client, name, evaluate):
    register(**evaluate(GOOD), name=name)
    for suffix in ("", "-classifier"):
        client.rename_registered_model(f"{name}{suffix}", f"{name}-renamed{suffix}")
    register(**evaluate(GOOD), name=name)
    renamed = registered(client, f"{name}-renamed", "1")
    assert renamed.classifier_name == f"{name}-renamed-classifier"
    assert register(**evaluate(GOOD), name=f"{name}-renamed").classifier_name == f"{name}-renamed-classifier"


def test_two_models_never_share_their_classifiers(client, name, evaluate):
    """The old model was renamed, its classifier was not, and a new model has the old name."""
    register(**evaluate(GOOD), name=name)
    client.rename_registered_model(name, f"{name}-old")
    promote(f"{name}-old", gates=LAX)
    assert register(**evaluate(GOOD), name=name).classifier_name == f"{name}-classifier-2"
    promote(name, gates=LAX)
    assert aliases(client, f"{name}-classifier") == {"champion": 1}
    assert aliases(client, f"{name}-classifier-2") == {"champion": 1}
    client.set_model_version_tag(f"{name}-old", "1", stored.CLASSIFIER_TAG, "")
    promote(f"{name}-old", "1", LAX)
    assert aliases(client, f"{name}-classifier-2") == {"champion": 1}


def test_a_classifier_of_the_first_releases_has_the_derived_name(client, name, evaluate):
    register(**evaluate(GOOD), name=name)
    client.delete_model_version_tag(name, "1", stored.CLASSIFIER_NAME_TAG)
    assert promote(name, gates=LAX).champion == "1"
    assert aliases(client, f"{name}-classifier")["champion"] == 1


def test_a_classifier_that_was_renamed_alone_is_told(client, name, evaluate):
    register(**evaluate(GOOD), name=name)
    client.rename_registered_model(f"{name}-classifier", f"{name}-other")
    with pytest.raises(UsageError, match=f"{name}-classifier version 1, was deleted or renamed"):
        promote(name, gates=LAX)
