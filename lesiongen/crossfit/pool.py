"""The stage: pools the evaluations of all folds, and writes crossfit.json, report.html and the figures."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from lesiongen import __version__
from lesiongen.crossfit.config import CrossfitConfig
from lesiongen.crossfit.page import crossfit_figures, crossfit_page
from lesiongen.crossfit.pooling import Fold, detectable_differences, fold_results, open_folds, pooled_evaluation
from lesiongen.dataset import Dataset
from lesiongen.records.base import READING
from lesiongen.records.crossfit import CrossfitRecord
from lesiongen.records.evaluation import Source
from lesiongen.reporting import render
from lesiongen.storage import Creation, Storage, already_holds, as_json, claimed, open_storage, path_digest
from lesiongen.temporary import temporary_folder
from lesiongen.tracking import StageRun, stage_run

__all__ = ["REPORT", "RESULT", "CrossfitResult", "pool_folds"]

RESULT, REPORT, FIGURES = "crossfit.json", "report.html", "pictures"


@dataclass(frozen=True)
class CrossfitResult:
    """A finished cross-fitted evaluation.

    Attributes:
        uri: Its folder or prefix.
        record: The content of crossfit.json.
    """

    uri: str
    record: CrossfitRecord

    @property
    def report(self) -> str:
        """Address of the HTML report."""
        return f"{self.uri}/{REPORT}"

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers that summarise it; those that are not known are left out."""
        pooled = self.record.pooled
        found = {f"balanced_accuracy_{name}": one.balanced_accuracy.mean for name, one in pooled.utility.items()}
        for entry in pooled.comparisons:
            name = entry.name.replace(" ", "_")
            found[f"difference_{name}"] = entry.difference
            found[f"p_holm_{name}"] = entry.p_holm
            found[f"detectable_{name}"] = self.record.detectable.get(entry.name)
        return {name: value for name, value in found.items() if value is not None}


def pool_folds(config: CrossfitConfig, dataset_uri: str, evaluations: Sequence[str], output: str) -> CrossfitResult:
    """Scores and compares the conditions over the test images of all folds.

    Args:
        config: How the dataset was divided.
        dataset_uri: The dataset that was divided.
        evaluations: The evaluation of every fold, in any order.
        output: New folder or ``s3://`` prefix; crossfit.json is written there last. Where it holds the result for these
            very evaluations, that is returned.

    Raises:
        UsageError: The evaluations are not those of all folds of this dataset, made in the same way, or the output
            holds another result.
        DataError: A file is damaged, or an evaluation has kept no predictions.
        StorageError: Something cannot be read or written.
    """
    storage, dataset = open_storage(output), Dataset.open(dataset_uri)
    params = {**config.model_dump(), "dataset": dataset.uri}
    with claimed(storage), stage_run("pool_folds", params) as run:
        folds = open_folds(config, dataset, evaluations)
        if storage.exists(RESULT):
            result = _found_again(storage, config, folds)
        else:
            with temporary_folder("crossfit") as folder:
                result = _publish(storage, _pooled(config, dataset, folds), folder)
        _track(run, storage, result)
    return result


def _pooled(config: CrossfitConfig, dataset: Dataset, folds: Sequence[Fold]) -> CrossfitRecord:
    pooled = pooled_evaluation(config, folds)
    return CrossfitRecord(
        name=config.name,
        lesiongen_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config=config.model_dump(mode="json"),
        dataset=Source(uri=dataset.uri, version=dataset.manifest.version),
        folds=fold_results(folds),
        detectable=detectable_differences(pooled),
        pooled=pooled,
        files={},
    )


def _found_again(storage: Storage, config: CrossfitConfig, folds: Sequence[Fold]) -> CrossfitResult:
    """Returns what the output holds where it is the result of these evaluations."""
    with suppress(ValidationError, ValueError):
        there = CrossfitRecord.model_validate(json.loads(storage.read_bytes(RESULT)), context=READING)
        same = [one.evaluation.version for one in there.folds] == [fold.source.version for fold in folds]
        if same and there.config == config.model_dump(mode="json"):
            return CrossfitResult(storage.uri, there)
    raise already_holds(storage.uri, "another cross-fitted evaluation")


def _publish(storage: Storage, record: CrossfitRecord, folder: Path) -> CrossfitResult:
    figures = crossfit_figures(record)
    (folder / FIGURES).mkdir()
    for name, figure in figures.items():
        figure.save(folder / FIGURES / f"{name}.png")
    (folder / REPORT).write_text(render(crossfit_page(record, figures)), encoding="utf-8")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    whole = record.changed(files={path.relative_to(folder).as_posix(): path_digest(path) for path in files})
    with storage.publishing() as place:
        place.upload_folder(folder, description="Writing the report")
        if place.create_bytes(RESULT, as_json(whole.content()).encode()) is Creation.TAKEN:
            raise already_holds(storage.uri, "another cross-fitted evaluation")
    return CrossfitResult(storage.uri, whole)


def _track(run: StageRun, storage: Storage, result: CrossfitResult) -> None:
    run.log_metrics(result.metrics)
    run.log_text(as_json(result.record.content()), RESULT)
    for name in result.record.files:
        with storage.fetch(name) as path:
            if name.startswith(f"{FIGURES}/"):
                run.log_image(path, path.name)
            else:
                run.log_file(path)
