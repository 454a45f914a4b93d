"""Registration, promotion and rollback in a real MLflow registry."""

import hashlib
import json
import threading
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lesiongen.cli import registry as commands
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.registry import history, promote, register, rollback
from lesiongen.storage import open_storage
from tests.registry.commands import LAX, aliases
from tests.registry.conftest import COPYING, GOOD, UNSURE, publish


def test_a_registered_generator_says_what_it_is_and_where_it_came_from(submit, client, name, real):
    registered = submit(GOOD)
    version = client.get_model_version(name, registered.version)
    assert version.source == f"runs:/{version.run_id}/{name}"
    held = {Path(each.path).name for each in client.list_artifacts(version.run_id, name)}
    assert {"MLmodel", "requirements.txt", "input_example.json", "data"} <= held
    assert aliases(client, name) == {"challenger": 1}
    manifest = open_storage(registered.model_uri).read_bytes("_model.json")
    evaluation = open_storage(registered.evaluation_uri).read_bytes("evaluation.json")
    expected = {
        "image_manipulation": "synthetic",
        "lesiongen.model": registered.model_uri,
        "lesiongen.model_version": hashlib.sha256(manifest).hexdigest(),
        "lesiongen.evaluation": registered.evaluation_uri,
        "lesiongen.evaluation_version": hashlib.sha256(evaluation).hexdigest(),
        "lesiongen.training_dataset": json.dumps({"uri": real.uri, "version": real.manifest.version}),
        "lesiongen.contamination": '{"validation": 0, "test": 0}',
        "lesiongen.family": "stable-diffusion",
    }
    assert expected.items() <= version.tags.items()
    classifier = client.get_model_version(f"{name}-classifier", registered.classifier_version)
    assert classifier.source == f"{registered.evaluation_uri}/classifier"
    assert classifier.tags["lesiongen.generator"] == f"{name} version 1"
    assert client.get_run(version.run_id).info.run_name == "register"


def test_registering_again_after_a_restart_makes_no_second_version(submit, client, name):
    first = submit(GOOD)
    again = register(first.evaluation_uri, first.model_uri, name)
    assert again == first
    assert len(client.search_model_versions(f"name='{name}'")) == 1


def test_a_generator_in_a_folder_is_copied_into_the_run(submit, client, name, tmp_path):
    registered = submit(GOOD, root=str(tmp_path))
    version = client.get_model_version(name, registered.version)
    assert version.source.startswith(f"runs:/{version.run_id}/")
    kept = Path(client.download_artifacts(version.run_id, f"{name}/data/generator", str(tmp_path)))
    digest = hashlib.sha256((kept / "model" / "_model.json").read_bytes()).hexdigest()
    assert json.loads((kept / "reference.json").read_text()) == {"uri": registered.model_uri, "version": digest}
    assert promote(name, gates=LAX).champion == registered.version


def test_what_is_not_there_or_of_another_model_is_not_registered(submit, s3_root, client, name):
    with pytest.raises(StorageError, match="nowhere"):
        register(f"{s3_root}/nowhere", f"{s3_root}/nowhere", name)
    with pytest.raises(DataError, match="drawn by the model ffffffffffff, not"):
        submit(GOOD, drawn_by="f" * 64)
    for refused in ("", "a/b", "x" * 101, "a.promotion-lock"):
        with pytest.raises(UsageError, match="name"):
            register("here", "there", refused)
    assert client.search_registered_models(f"name='{name}'") == []


def test_a_generator_trained_on_test_images_of_another_split_is_rejected(submit, s3_root, client, name):
    resplit = publish(f"{s3_root}/resplit", {"train": [b"a", b"d"], "validation": [b"b"], "test": [b"c"]})
    registered = submit(GOOD, trained=resplit)
    tags = client.get_model_version(name, registered.version).tags
    assert json.loads(tags["lesiongen.contamination"]) == {"validation": 0, "test": 1}
    result = promote(name, gates=LAX)
    assert (result.decision.outcome, result.champion) == ("REJECT", None)

    open_storage(resplit.uri).delete_all()
    submit(GOOD, trained=resplit)  # nobody can tell any more
    assert promote(name, gates=LAX).decision.outcome == "HOLD"

    publish(resplit.uri, {"train": [b"e"]})  # ingested again: another version
    registered = submit(GOOD, trained=resplit)
    assert json.loads(client.get_model_version(name, registered.version).tags["lesiongen.contamination"]) is None
    held = promote(name, gates=LAX).decision
    assert held.outcome == "HOLD"
    assert any("It is not known whether the generator was trained on" in each.message for each in held.reasons)


def test_only_a_promoted_version_becomes_champion_and_every_decision_is_written_down(submit, client, name):
    submit(GOOD)
    first = promote(name, gates=LAX, who="a clinician")
    assert (first.decision.outcome, first.champion, first.previous_champion) == ("PROMOTE", "1", None)
    submit(UNSURE)
    second = promote(name, gates=LAX)
    assert (second.decision.outcome, second.version, second.champion) == ("HOLD", "2", "1")
    submit(COPYING)
    third = promote(name, gates=LAX)
    assert (third.decision.outcome, third.champion) == ("REJECT", "1")
    assert aliases(client, name) == {"challenger": 3, "champion": 1}
    assert aliases(client, f"{name}-classifier") == {"champion": 1}

    tags = client.get_model_version(name, "3").tags
    assert tags["lesiongen.decision"] == "REJECT"
    assert any("repeats patients' images" in reason for reason in json.loads(tags["lesiongen.reasons"]))
    assert client.get_model_version(name, "1").tags["lesiongen.decided_by"] == "a clinician"
    events = history(name)
    actions = ["register", "promote", "register", "hold", "register", "reject"]
    assert [event.action for event in events] == actions
    assert (events[1].who, events[1].champion_before, events[1].champion_after) == ("a clinician", None, "1")
    assert len(events[5].reasons) == 9


def test_rollback_goes_back_champion_by_champion_with_their_classifiers(submit, client, name):
    for _ in range(3):
        submit(GOOD)
        promote(name, gates=LAX)
    promote(name, gates=LAX)  # deciding again on the champion changes nothing
    assert rollback(name, why="odd vessels").champion == "2"
    assert aliases(client, f"{name}-classifier")["champion"] == 2
    assert rollback(name).champion == "1"
    with pytest.raises(UsageError, match="no earlier champion"):
        rollback(name)
    assert aliases(client, name)["champion"] == 1
    assert promote(name, "3", LAX).previous_champion == "1"
    assert rollback(name).champion == "1"
    assert [event.reasons for event in history(name) if event.action == "rollback"][0] == ("odd vessels",)


def test_a_changed_evaluation_is_refused_and_the_lock_released(submit, client, name):
    registered = submit(COPYING)
    open_storage(registered.evaluation_uri).write_json("evaluation.json", GOOD)  # not what was registered
    for _ in range(2):
        with pytest.raises(DataError, match="has changed since it was registered"):
            promote(name, gates=LAX)
    assert "champion" not in aliases(client, name)


def test_unknown_models_and_versions_are_named(submit, name, client):
    with pytest.raises(UsageError, match="No model is registered"):
        promote(name)
    submit(GOOD)
    with pytest.raises(UsageError, match="no version 7"):
        promote(name, "7", LAX)
    with pytest.raises(UsageError, match="no earlier champion"):
        rollback(name)


def test_promotions_at_the_same_moment_come_one_after_the_other(submit, name, client):
    for _ in range(3):
        submit(GOOD)
    start, results = threading.Barrier(3), []

    def race(version):
        start.wait()
        results.append(promote(name, version, LAX))

    threads = [threading.Thread(target=race, args=(version,)) for version in "123"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each one's predecessor is the champion that the one before it left: a chain, not three that saw the same.
    assert len({result.previous_champion for result in results}) == 3
    last = next(r.version for r in results if r.version not in {x.previous_champion for x in results})
    assert aliases(client, name)["champion"] == int(last)


def test_the_commands_tell_decision_reasons_and_history(submit, name, client, tmp_path):
    gates = tmp_path / "gates.yaml"
    gates.write_text("min_seeds: 1\nmin_test_lesions: 1\n")
    app = typer.Typer()
    for command in ("register", "promote", "rollback", "history"):
        app.command(command)(getattr(commands, f"{command}_command"))
    run = CliRunner().invoke
    registered = submit(GOOD)
    arguments = [registered.evaluation_uri, "--model", registered.model_uri, "--name", name]
    assert f"{name} version 1 is the challenger" in run(app, ["register", *arguments]).output
    held = run(app, ["promote", name])  # the default gates ask for five seeds
    assert held.exit_code == 3, held.output
    assert "HOLD" in held.output
    assert "at least 5 are required" in held.output
    assert f"{name} version 1; champion: none" in held.output
    promoted = run(app, ["promote", name, "--gates", str(gates), "--json"])
    assert promoted.exit_code == 0, promoted.output
    assert json.loads(promoted.output)["decision"]["outcome"] == "PROMOTE"
    submit(COPYING)
    rejected = run(app, ["promote", name, "--gates", str(gates)])
    assert rejected.exit_code == 4
    assert "champion: version 1" in rejected.output
    submit(GOOD)
    run(app, ["promote", name, "--gates", str(gates)])
    assert "version 1 is the champion again" in run(app, ["rollback", name]).output
    told = run(app, ["history", name])
    assert "champion none -> 1" in told.output
    assert json.loads(run(app, ["history", name, "--json"]).output)[-1]["action"] == "rollback"
