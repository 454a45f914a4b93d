"""Pooling the folds: scores and comparisons over all images, against scikit-learn and scipy."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, f1_score

from lesiongen.crossfit import CrossfitConfig, pool_folds
from lesiongen.crossfit.pooling import detectable_differences
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import evaluate
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.scores import Comparison
from lesiongen.storage import open_storage

from .conftest import CONFIG, EVALUATE


@pytest.fixture(scope="module")
def pooled(folds, tmp_path_factory):
    return pool_folds(CONFIG, folds["dataset"], folds["evaluations"][::-1], str(tmp_path_factory.mktemp("out") / "all"))


def predicted(folds, classifier="small") -> pd.DataFrame:
    """The test predictions of a classifier in all folds, read without LesionGen."""
    parts = []
    for uri in folds["evaluations"]:
        classes = json.loads((Path(uri) / "evaluation.json").read_text())["classes"]
        part = pq.read_table(Path(uri) / "predictions" / "held_out.parquet").to_pandas()
        part["predicted"] = [classes[int(np.argmax(row))] for row in part["probabilities"]]
        parts.append(part[(part["split"] == "test") & (part["classifier"] == classifier)])
    truth = Dataset.open(folds["dataset"]).metadata(["image_id", "diagnosis"])
    return pd.concat(parts).merge(truth, on="image_id")


def test_scores_are_those_of_all_test_images_together(folds, pooled) -> None:
    table = predicted(folds)
    assert sorted(table["image_id"].unique()) == sorted(
        Dataset.open(folds["dataset"]).metadata(["image_id"])["image_id"]
    )
    for condition, rows in table.groupby("condition", observed=True):
        scores = pooled.record.pooled.scores(condition)
        for seed, part in rows.groupby("seed"):
            truth, guess = part["diagnosis"], part["predicted"]
            assert scores.balanced_accuracy.per_seed[seed] == pytest.approx(balanced_accuracy_score(truth, guess))
            assert scores.macro_f1.per_seed[seed] == pytest.approx(f1_score(truth, guess, average="macro"))


def test_the_ceiling_is_that_of_all_test_images(folds, pooled) -> None:
    scores = {}
    for (condition, _), rows in predicted(folds).groupby(["condition", "seed"], observed=True):
        scores.setdefault(condition, []).append(balanced_accuracy_score(rows["diagnosis"], rows["predicted"]))
    real, passed = (np.mean(scores[name]) for name in ("real", "reconstruction"))
    found = pooled.record.pooled.reconstruction
    assert found.ceiling.value == pytest.approx(passed / real)
    records = [json.loads((Path(uri) / "evaluation.json").read_text()) for uri in folds["evaluations"]]
    ratios = [record["reconstruction"]["laplacian_variance_ratio"] for record in records]
    assert found.laplacian_variance_ratio == pytest.approx(np.mean(ratios))
    assert "denoiser" in pooled.record.pooled.protocol.reconstruction


def test_probabilities_of_different_models_are_not_ranked_together(folds, pooled) -> None:
    records = [json.loads((Path(uri) / "evaluation.json").read_text()) for uri in folds["evaluations"]]
    for condition, scores in pooled.record.pooled.utility.items():
        own = [record["utility"][condition]["auroc"]["mean"] for record in records]
        assert scores.auroc.mean == pytest.approx(np.mean(own))
        assert scores.auroc.low is None
        malignant = [record["malignancy"]["conditions"][condition]["auroc"]["mean"] for record in records]
        assert pooled.record.pooled.malignancy.conditions[condition].auroc.mean == pytest.approx(np.mean(malignant))


@pytest.mark.skipif(len(EVALUATE.classifiers) == 1, reason="the extra lite0 is not installed")
def test_a_further_classifier_is_pooled_beside_the_primary_one(folds, pooled) -> None:
    table = predicted(folds, "lite0")
    further = pooled.record.pooled.further_classifiers["lite0"]
    assert further.classifier.kind == "lite0"
    for condition, rows in table.groupby("condition", observed=True):
        expected = [balanced_accuracy_score(one["diagnosis"], one["predicted"]) for _, one in rows.groupby("seed")]
        assert list(further.utility[condition].balanced_accuracy.per_seed) == pytest.approx(expected)
    assert all(entry.p_holm is None for entry in further.comparisons)
    assert "Other classifiers" in open_storage(pooled.uri).read_text("report.html")


def test_the_difference_is_that_of_the_scores_and_each_fold_is_reported(folds, pooled) -> None:
    record = pooled.record
    both, real = (record.pooled.scores(name).balanced_accuracy.mean for name in ("both", "real"))
    compared = {entry.name: entry for entry in record.pooled.comparisons}
    assert compared["both vs real"].difference == pytest.approx(both - real)
    assert [fold.fold for fold in record.folds] == [1, 2, 3]
    assert sum(fold.images for fold in record.folds) == record.pooled.counts.test.n == 174
    assert sum(fold.lesions for fold in record.folds) == record.pooled.counts.test_lesions == 87
    own = json.loads((Path(folds["evaluations"][1]) / "evaluation.json").read_text())
    expected = own["utility"]["real"]["balanced_accuracy"]["mean"]
    assert record.folds[1].balanced_accuracy["real"] == expected
    assert pooled.metrics["balanced_accuracy_real"] == real


def test_the_detectable_difference_is_found_four_times_in_five() -> None:
    error = 0.01
    low, high = (norm.ppf(q, 0.02, error) for q in (0.025, 0.975))
    entry = Comparison(name="both vs real", difference=0.02, low=low, high=high, family=2)
    record = EvaluationRecord(config=EVALUATE.model_dump(mode="json"), comparisons=(entry,))
    found = detectable_differences(record)["both vs real"]
    threshold = norm.ppf(1 - 0.05 / 2 / 2) * error
    assert norm.sf(threshold, loc=found, scale=error) == pytest.approx(0.8, abs=1e-4)


def test_the_page_shows_every_fold_and_the_files_are_vouched_for(pooled) -> None:
    storage = open_storage(pooled.uri)
    page = storage.read_text("report.html")
    assert "Cross-fitted evaluation: discs" in page
    assert "found four times in five" in page
    assert "No worst group is claimed: every image is tested on" in page
    assert "of unknown would be found" not in page
    names = {"report.html", *(f"pictures/{name}.png" for name in ("folds", "recall", "confusion"))}
    assert set(pooled.record.files) == names
    for name, digest in pooled.record.files.items():
        assert hashlib.sha256(storage.read_bytes(name)).hexdigest() == digest


def test_the_same_call_finds_the_result_and_another_is_refused(folds, pooled) -> None:
    again = pool_folds(CONFIG, folds["dataset"], folds["evaluations"], pooled.uri)
    assert again.record == pooled.record
    renamed = CONFIG.changed(name="others")
    with pytest.raises(UsageError, match="another cross-fitted evaluation"):
        pool_folds(renamed, folds["dataset"], folds["evaluations"], pooled.uri)


def test_folds_that_do_not_make_a_whole_are_refused(folds, tmp_path) -> None:
    dataset, evaluations, output = folds["dataset"], folds["evaluations"], str(tmp_path / "out")
    with pytest.raises(UsageError, match="Each of the 3 folds is needed once; given: 1, 3"):
        pool_folds(CONFIG, dataset, [evaluations[0], evaluations[2]], output)
    with pytest.raises(UsageError, match="is of another division into folds"):
        pool_folds(CrossfitConfig(name="discs", folds=3, seed=1), dataset, evaluations, output)
    with pytest.raises(UsageError, match="is not the evaluation of a fold of"):
        pool_folds(CONFIG, folds["synthetic"], evaluations, output)
    other = str(tmp_path / "other")
    evaluate(EVALUATE.changed(steps=2), folds["folds"][0], folds["synthetic"], other)
    with pytest.raises(UsageError, match="differ in what they trained on"):
        pool_folds(CONFIG, dataset, [other, *evaluations[1:]], output)


def test_predictions_that_were_changed_are_refused(folds, tmp_path) -> None:
    copy = tmp_path / "evaluation"
    shutil.copytree(folds["evaluations"][0], copy)
    path = copy / "predictions" / "held_out.parquet"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="is not what evaluation.json describes"):
        pool_folds(CONFIG, folds["dataset"], [str(copy), *folds["evaluations"][1:]], str(tmp_path / "out"))
