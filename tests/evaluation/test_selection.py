"""Selection: the best recognised of each diagnosis, near copies dropped, the test split left alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lesiongen.config import parse_config
from lesiongen.dataset import Dataset, DatasetWriter
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import SelectConfig, select
from lesiongen.evaluation.selection import stage
from lesiongen.evaluation.selection.publishing import KeptImages, write_kept
from lesiongen.evaluation.selection.rules import best_scored, copy_threshold, select_images
from lesiongen.records.origin import SampleOrigin, SelectOrigin
from lesiongen.records.selection import SelectionReport
from tests.evaluation.conftest import SIZE, real_samples, synthetic_samples

CONFIG = SelectConfig(keep=0.5, n_seeds=2, steps=24, image_size=SIZE)
LABELS = np.array([0] * 10 + [1] * 4 + [2])


def test_the_same_share_of_each_class_is_kept_the_best_scored_first() -> None:
    scores = np.concatenate([np.arange(10) / 10, [0.001, 0.004, 0.003, 0.002], [0.0]]).astype(np.float32)
    kept = best_scored(LABELS, scores, 0.7, np.ones(15, dtype=bool))
    assert np.flatnonzero(kept).tolist() == [3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14]  # 7 of 10, 3 of 4, 1 of 1


def test_of_equal_scores_the_first_is_kept() -> None:
    kept = best_scored(np.zeros(4, dtype=np.int64), np.ones(4, np.float32), 0.5, np.ones(4, dtype=bool))
    assert kept.tolist() == [True, True, False, False]


def test_copies_are_dropped_first_and_the_share_is_of_the_rest() -> None:
    similarity = np.array([0.9, 0.2, 0.2, 0.2, 0.8], np.float32)
    chances = np.array([0.99, 0.1, 0.9, 0.5, 0.3], np.float32)
    found = select_images(np.zeros(5, dtype=np.int64), chances, similarity, keep=0.5, threshold=0.8)
    assert found.near_copy.tolist() == [True, False, False, False, False]  # at the threshold is not above it
    assert found.kept.tolist() == [False, False, True, True, False]
    assert found.unrecognised.tolist() == [False, True, False, False, True]


def test_without_a_threshold_and_without_probabilities_nothing_is_dropped() -> None:
    found = select_images(LABELS, None, np.ones(15, np.float32), keep=1.0, threshold=None)
    assert found.kept.all()


def test_the_threshold_is_the_percentile_of_the_validation_images() -> None:
    assert copy_threshold(np.arange(101, dtype=np.float32) / 100, 99.0) == pytest.approx(0.99)


def test_a_selection_that_keeps_everything_is_refused() -> None:
    with pytest.raises(UsageError, match="keep = 1 with drop_near_copies = false keeps every image"):
        parse_config(SelectConfig, {"keep": 1.0, "drop_near_copies": False})


def without_test_images(path: Path) -> str:
    """The discs as a dataset; the files of its test split are removed."""
    with DatasetWriter(str(path), name="discs") as writer:
        for sample in real_samples():
            writer.add(sample)
    shards = list(path.glob("test-*.parquet"))
    for shard in shards:
        shard.unlink()
    assert shards
    return str(path)


def with_flaws(path: Path) -> str:
    """Synthetic discs; of each diagnosis half show another one, and three are copies of training images."""
    made = synthetic_samples()
    others = {"bcc": "mel", "mel": "nv", "nv": "bcc"}
    mixed = [
        replace(one, diagnosis=others[one.diagnosis], image_id=f"wrong{row}") if row % 2 else one
        for row, one in enumerate(made)
    ]
    copies = [replace(one, image_id=f"copy{row}", split="train") for row, one in enumerate(real_samples()[:3])]
    origin = SampleOrigin(stage="sample", model="m", model_version="7" * 64)
    with DatasetWriter(str(path), name="made", origin=origin, licence="CC0-1.0") as writer:
        for sample in (*mixed, *copies):
            writer.add(sample)
    return str(path)


def copies_of_training_images(path: Path) -> str:
    """Synthetic images that are each a copy of a training image."""
    origin = SampleOrigin(stage="sample", model="m", model_version="7" * 64)
    with DatasetWriter(str(path), name="copies", origin=origin) as writer:
        for row, one in enumerate(real_samples()[:12]):
            writer.add(replace(one, image_id=f"copy{row}", split="train"))
    return str(path)


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("selection")
    real, synthetic = without_test_images(folder / "real"), with_flaws(folder / "made")
    result = select(CONFIG, synthetic, real, str(folder / "selected"))
    return {"real": real, "synthetic": synthetic, "output": result.dataset.uri, "report": result.report}


def test_recognised_images_are_kept_and_copies_dropped_without_the_test_split(selected: dict[str, str]) -> None:
    dataset = Dataset.open(selected["output"])
    kept = list(dataset.metadata(["image_id"])["image_id"])
    assert not any(image_id.startswith("copy") for image_id in kept)
    wrong = sum(image_id.startswith("wrong") for image_id in kept)
    assert wrong <= 3 < len(kept) // 4  # half of the candidates were wrong
    report = SelectionReport.read(json.loads((Path(selected["output"]) / "selection.json").read_text()))
    for one in report.classes:
        rest = (one.images or 0) - (one.near_copies or 0)
        assert one.kept == -(-rest // 2)
        assert one.unrecognised == rest - one.kept
    assert sum(one.near_copies or 0 for one in report.classes) >= 3
    assert len(report.images) == 63
    assert not report.calibrated
    assert report.classifier is not None
    assert report.classifier.kind == "small"


def test_the_manifest_says_how_the_images_were_selected(selected: dict[str, str]) -> None:
    manifest = Dataset.open(selected["output"]).manifest
    origin = manifest.origin
    assert isinstance(origin, SelectOrigin)
    assert origin.model_version == "7" * 64
    assert origin.real_version == Dataset.open(selected["real"]).manifest.version
    assert origin.datasets[0].version == Dataset.open(selected["synthetic"]).manifest.version
    assert origin.config["keep"] == 0.5
    assert origin.kept == manifest.classes
    assert sum(origin.kept.values()) + sum(origin.dropped.values()) == 63
    assert (manifest.name, manifest.licence) == ("made-selected", "CC0-1.0")


def test_the_page_shows_what_was_dropped_and_warns_of_one_judge(selected: dict[str, str]) -> None:
    page = Path(selected["report"]).read_text()
    assert "Dropped: near copies of training images" in page
    assert "must be judged by another kind of classifier too" in page


def test_an_output_with_a_dataset_is_refused(selected: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="a dataset"):
        select(CONFIG, selected["synthetic"], selected["real"], selected["output"])


def test_near_copies_alone_need_no_classifier(selected: dict[str, str], tmp_path: Path) -> None:
    result = select(CONFIG.changed(keep=1.0), selected["synthetic"], selected["real"], str(tmp_path / "out"))
    report = SelectionReport.read(json.loads((tmp_path / "out" / "selection.json").read_text()))
    assert report.classifier is None
    assert all(one.unrecognised == 0 for one in report.classes)
    assert result.dataset.rows == 63 - sum(one.near_copies or 0 for one in report.classes)


def test_copies_alone_are_refused_before_a_classifier_is_trained(
    selected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "recognise", lambda *_: pytest.fail("nothing is left to recognise"))
    copies = copies_of_training_images(tmp_path / "copies")
    with pytest.raises(DataError, match="no image is left: all 12 are near copies of training images"):
        select(CONFIG, copies, selected["real"], str(tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_real_dataset_without_validation_images_is_refused(selected: dict[str, str], tmp_path: Path) -> None:
    with DatasetWriter(str(tmp_path / "real"), name="discs") as writer:
        for sample in real_samples():
            if sample.split != "validation":
                writer.add(sample)
    with pytest.raises(DataError, match="has no validation images; a choice needs them"):
        select(CONFIG, selected["synthetic"], str(tmp_path / "real"), str(tmp_path / "out"))


def test_images_of_several_datasets_bear_the_name_of_their_own(selected: dict[str, str], tmp_path: Path) -> None:
    datasets = {name: Dataset.open(selected["synthetic"]) for name in ("g1", "g4")}
    masks = {name: np.arange(63) == row for row, name in enumerate(datasets)}
    origin = SelectOrigin(stage="select")
    written = write_kept(KeptImages(datasets, masks), str(tmp_path / "out"), name="both", origin=origin, documents={})
    assert list(written.metadata(["image_id"])["image_id"]) == ["g1/made0", "g4/wrong1"]
    assert list(written.metadata(["licence"])["licence"]) == ["CC0-1.0"] * 2
