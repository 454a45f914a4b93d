"""Manifests and events of earlier releases are read; those of later ones are told apart."""

import json

import pytest

from lesiongen.errors import DataError
from lesiongen.records.base import READING
from lesiongen.records.decision import Decision
from lesiongen.records.history import HistoryEvent
from lesiongen.records.model import read_model

EARLIER = {
    "schema_version": 1, "kind": "model", "family": "stable-diffusion", "method": "full", "base": None,
    "prediction": "epsilon", "image_size": 64, "libraries": {}, "files": {},
    "training": {
        "config": {"steps": 3}, "fingerprint": "ab", "dataset": {"uri": "s3://b/d", "version": "cd"}, "steps": 3,
        "skipped_steps": 0, "held_out_loss": None, "of_a_later_release": [1],
    },
}  # fmt: skip


def test_a_manifest_of_an_earlier_release_is_read():
    model = read_model(json.dumps(EARLIER).encode(), "_model.json")
    assert (model.training.dataset.uri, model.training.steps, model.training.images) == ("s3://b/d", 3, None)
    assert model.manifest_sha256 is None


def test_a_manifest_that_is_none_is_refused():
    with pytest.raises(DataError, match=r"_model\.json is not a valid model manifest: training\.steps"):
        read_model(json.dumps({**EARLIER, "training": {"steps": "three"}}).encode(), "_model.json")


def test_decisions_and_events_without_a_version_are_read_and_unknown_changes_refused():
    decision = {"outcome": "HOLD", "reasons": [{"gate": "learnt", "outcome": "HOLD", "message": "no"}]}
    assert Decision.model_validate(decision, context=READING).reasons[0].line == "learnt held: no"
    event = HistoryEvent.model_validate({"when": "a day", "who": "x", "action": "hold", "version": "1"})
    assert event.changed(state="undone").state == "undone"
    with pytest.raises(ValueError, match="stat\n"):
        event.changed(stat="undone")
