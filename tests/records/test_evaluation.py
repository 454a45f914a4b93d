"""The content of evaluation.json: written whole, read back as it was, and never trusted where it is damaged."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lesiongen.errors import DataError
from lesiongen.records.evaluation import EvaluationRecord, read_evaluation
from lesiongen.records.scores import ClassRecall, Score
from tests.records.completeness import absent

WRITTEN = Path(__file__).with_name("evaluation.json")
"""Written by release 0.1.0, before the document had a type."""

ADDED = (
    ".chosen_by",
    ".further",
    ".counts.test_seen",
    ".counts.validation_seen",
    ".classifier",
    ".further_classifiers",
    ".concept_fidelity",
    ".malignancy",
    ".controls",
    ".mixing_curve",
    ".reconstruction",
    ".test_sets",
    ".fidelity.source",
    ".protocol.reconstruction",
    ".protocol.both.name",
    ".protocol.both.synthetic_weight",
    ".memorisation.search",
    ".worst_group",
    ".utility.auroc",
    ".utility.intersections",
    ".comparisons.n",
    ".comparisons.lesions",
    ".comparisons.not_computed",
)


@pytest.fixture
def document():
    return json.loads(WRITTEN.read_bytes())


def test_a_document_of_an_earlier_release_is_read_whole_and_written_as_it_was():
    record = read_evaluation(WRITTEN.read_bytes(), "evaluation.json")
    since = {name for name in absent(record) if not name.startswith(ADDED)}
    assert not since, "what was added since has a default, and is not written"
    assert record.text() == WRITTEN.read_text(encoding="utf-8")


def test_numbers_that_are_none_are_missing():
    score = Score(mean=math.nan, low=-math.inf, high=0.5, per_seed=(0.5, math.nan))
    assert (score.mean, score.low, score.high, score.per_seed) == (None, None, 0.5, (0.5, None))
    assert ClassRecall.read({"recall": "0.5", "n": 9.0, "low": True, "high": 10**400}) == ClassRecall(n=9)
    assert ClassRecall.read({"n": 9.5}) == ClassRecall.read({"n": -3}) == ClassRecall()
    assert Score(mean=np.float32(0.5), per_seed=(np.float64(0.25),)) == Score(mean=0.5, per_seed=(0.25,))


def test_a_part_of_another_shape_is_missing_and_the_rest_is_read(document):
    document["memorisation"] = ["not", "an", "object"]
    document["utility"]["real"]["per_class"] = 3
    record = read_evaluation(json.dumps(document).encode(), "evaluation.json")
    assert record.memorisation.share_above is None
    assert record.scores("real").per_class == {}
    assert record.scores("real").accuracy.mean == document["utility"]["real"]["accuracy"]["mean"]


def test_what_is_written_is_checked():
    with pytest.raises(ValueError, match="per_class"):
        EvaluationRecord(utility={"real": {"per_class": 3}})
    with pytest.raises(ValueError, match="notes"):
        EvaluationRecord().changed(notes=3)
    with pytest.raises(ValueError, match="note\n"):
        EvaluationRecord().changed(note=())
    with pytest.raises(ValueError, match="must be a number"):
        Score(mean="0.5")
    with pytest.raises(ValueError, match="must be a whole number"):
        ClassRecall(n=-1)


def test_fields_of_a_later_release_are_passed_over(document):
    document["calibration_curve"] = [0.1]
    document["memorisation"]["descriptor"] = "another"
    assert read_evaluation(json.dumps(document).encode(), "evaluation.json") == read_evaluation(
        WRITTEN.read_bytes(), "evaluation.json"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not an evaluation"),
        (b'{"schema_version": 2}', "has schema version 2; this release reads 1"),
    ],
)
def test_what_is_no_evaluation_is_refused(content, message):
    with pytest.raises(DataError, match=message):
        read_evaluation(content, "evaluation.json")
