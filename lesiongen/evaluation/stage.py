"""The stage: trains, tests, compares, and writes evaluation.json, report.html, the figures and the classifier."""

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image

from lesiongen import __version__
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.evaluation.assessment import assess
from lesiongen.evaluation.classifier.conditions import train_conditions
from lesiongen.evaluation.classifier.controls import opened_longer, prepared_controls, train_controls
from lesiongen.evaluation.classifier.kinds.pretrained import check_address
from lesiongen.evaluation.classifier.kinds.registry import check_classifier, opened_kind
from lesiongen.evaluation.classifier.mixing_curve import curve_mixtures, train_curve
from lesiongen.evaluation.concepts.scorer import check_scorer, opened_scorer
from lesiongen.evaluation.concepts.sources import ConceptSources
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.control_images import load_control_images
from lesiongen.evaluation.datasets import EvaluatedDatasets, source_of
from lesiongen.evaluation.extractor import extracted_features, opened_extractor
from lesiongen.evaluation.material import at_size, load_material
from lesiongen.evaluation.measures.measure import all_measures
from lesiongen.evaluation.predictions import write_predictions
from lesiongen.evaluation.report.page import build_page
from lesiongen.evaluation.sweeping.choice import chosen_by, chosen_note
from lesiongen.evaluation.test_sets import check_test_sets
from lesiongen.parallel import use_own_cores
from lesiongen.records.concept_fidelity import Shown
from lesiongen.records.evaluation import EvaluationRecord, read_evaluation
from lesiongen.records.sweep import ChosenBy
from lesiongen.records.test_sets import OutsideTestSet
from lesiongen.references import EvaluationReference
from lesiongen.reporting import render
from lesiongen.storage import Claim, Creation, Storage, already_holds, claimed, open_storage, path_digest
from lesiongen.temporary import temporary_folder
from lesiongen.tracking import StageRun, stage_run

__all__ = ["EvaluationResult", "evaluate"]

RESULT, REPORT = "evaluation.json", "report.html"
FIGURES = "pictures"


@dataclass(frozen=True)
class EvaluationResult:
    """A finished evaluation.

    Attributes:
        reference: What the next step reads.
        report: Address of the HTML report.
        evaluation: The content of evaluation.json.
    """

    reference: EvaluationReference
    report: str
    evaluation: EvaluationRecord


def evaluate(
    config: EvaluateConfig,
    real_uri: str,
    synthetic_uri: str,
    output: str,
    reconstructed_uri: str | None = None,
    sweep_uri: str | None = None,
    test_sets: Mapping[str, str] = MappingProxyType({}),
) -> EvaluationResult:
    """Measures what synthetic images are worth, on real images that nothing was learnt from or chosen by.

    Args:
        config: How to train and how sure to be.
        real_uri: Dataset of real images with its three splits.
        synthetic_uri: Dataset of synthetic images.
        output: New folder or ``s3://`` prefix; evaluation.json is written there last. Where it holds this very
            evaluation, of a call that was killed once it had published it, nothing is trained.
        reconstructed_uri: Dataset that ``reconstruct`` made of the real one, to tell what the generator's autoencoder
            loses from what its denoiser loses; None: that is not measured.
        sweep_uri: The sweep that chose the settings and the synthetic images; its digest is written into the record
            before an image is read. None: no sweep chose them.
        test_sets: Datasets of real images from elsewhere by name, each tested on as well and reported apart.

    Raises:
        UsageError: `output` holds another evaluation, another process writes there, a classifier is unknown, it
            cannot carry the protocol or a control, the sweep was made for other images or chose other settings, or the
            name of a test set is not usable.
        DataError: The data cannot carry an evaluation (`load_material` says when).
        StorageError: Something cannot be read or written.
    """
    _check_names(config, test_sets)
    storage = open_storage(output)
    datasets = EvaluatedDatasets.opened(config, real_uri, synthetic_uri, reconstructed_uri, test_sets)
    choice = None if sweep_uri is None else chosen_by(sweep_uri, config, datasets.real, datasets.synthetic)
    asked = _asked(config, datasets, choice)
    _refuse_another(storage, asked, unless_alike=True)
    storage.require_writable()
    with claimed(storage) as claim, stage_run("evaluate", _params(config, asked)) as run:
        _refuse_another(storage, asked, unless_alike=claim.taken_over)
        if not storage.exists(RESULT):
            use_own_cores()
            with temporary_folder("evaluation") as folder:
                _evaluate(config, datasets, asked, folder)
                _publish(storage, folder, claim)
        return _report(run, storage)


def _check_names(config: EvaluateConfig, test_sets: Mapping[str, str]) -> None:
    """Refuses names of models and of test sets that cannot be right, before anything is opened."""
    for name in config.classifiers:
        check_classifier(name)
    if config.concept_scorer:
        check_scorer(config.concept_scorer)
    if config.fidelity_extractor is not None:
        check_address(config.fidelity_extractor, (), "extractor")
    check_test_sets(config, test_sets)


def _asked(config: EvaluateConfig, datasets: EvaluatedDatasets, choice: ChosenBy | None) -> EvaluationRecord:
    """Returns what the record says of how the evaluation is made."""
    return EvaluationRecord(
        name=config.name,
        lesiongen_version=__version__,
        config=config.model_dump(mode="json"),
        sources=datasets.sources,
        chosen_by=choice,
        test_sets={name: OutsideTestSet(**source_of(each).model_dump()) for name, each in datasets.test_sets.items()},
    )


def _params(config: EvaluateConfig, asked: EvaluationRecord) -> dict[str, Any]:
    """Returns the parameters of the run: the settings, and what was read."""
    sources = {str(name): source.model_dump() for name, source in asked.sources.items()}
    params: dict[str, Any] = {**config.model_dump(), **sources}
    if asked.chosen_by is not None:
        params["sweep"] = asked.chosen_by.model_dump()
    sets = asked.test_sets.items()
    return params | {f"test_set_{name}": {"uri": each.uri, "version": each.version} for name, each in sets}


def _evaluate(config: EvaluateConfig, datasets: EvaluatedDatasets, asked: EvaluationRecord, folder: Path) -> None:
    """Writes the whole evaluation to a folder; all that cannot be loaded is found before anything is trained."""
    with ExitStack() as opened:
        kinds = {name: opened.enter_context(opened_kind(name, config)) for name in config.classifiers}
        first, primary = next(iter(kinds.items()))
        longer = opened.enter_context(opened_longer(config)) if "longer" in config.controls else None
        scorer = opened.enter_context(opened_scorer(config.concept_scorer)) if config.concept_scorer else None
        extractor = None
        if config.fidelity_extractor is not None:
            extractor = opened.enter_context(opened_extractor(config.fidelity_extractor))
        pixels = opened.enter_context(temporary_folder("images"))
        real, synthetic, reconstructed = datasets.real, datasets.synthetic, datasets.reconstructed
        size, test_sets = primary.image_size, datasets.test_sets
        material = load_material(config, real, synthetic, reconstructed, size=size, test_sets=test_sets, folder=pixels)
        if asked.chosen_by is not None:
            material = replace(material, notes=[*material.notes, chosen_note(asked.chosen_by)])
        control_images = load_control_images(material, real, datasets.controls, pixels)
        notes = [note for each in control_images.values() for note in each.notes]
        material = replace(material, notes=[*material.notes, *notes])
        controls = prepared_controls(config, material, control_images)
        mixtures = curve_mixtures(config, material)
        extracted = None if extractor is None else extracted_features(extractor, material, real, synthetic)
        trained = {}
        for name, kind in kinds.items():
            with temporary_folder("images") as other_pixels:
                sized = at_size(material, real, synthetic, kind.image_size, other_pixels, reconstructed=reconstructed)
                trained[name] = train_conditions(config, sized, kind, name)
        trained[first] = replace(
            trained[first],
            curve=train_curve(config, material, primary, mixtures, trained[first].outcomes),
            controls=train_controls(config, material, controls, primary, longer),
        )
        dated = asked.changed(created=datetime.now(UTC).isoformat(timespec="seconds"))
        shown: dict[Shown, Dataset] = {"synthetic": synthetic, "real": real}
        if reconstructed is not None:
            shown["reconstruction"] = reconstructed
        concepts = ConceptSources(shown, scorer)
        evaluation, figures = assess(config, material, trained, dated, folder, concepts, extracted)
        write_predictions(folder, material, trained)
        best = trained[first].outcomes[evaluation.best_condition]
        _write(folder, evaluation, figures)
        best.best.model.save(folder / "classifier", _about_classifier(evaluation, best.best_seed))
        whole = evaluation.changed(files=_digests(folder))
        (folder / RESULT).write_text(whole.text(), encoding="utf-8")


def _refuse_another(storage: Storage, asked: EvaluationRecord, *, unless_alike: bool) -> None:
    """Refuses an output that holds an evaluation; one that was made in the same way may be this very one."""
    if storage.exists(RESULT) and not (unless_alike and _holds(storage, asked)):
        raise already_holds(storage.uri, "an evaluation")


def _holds(storage: Storage, asked: EvaluationRecord) -> bool:
    with suppress(DataError):  # a file of something else
        return read_evaluation(storage.read_bytes(RESULT), f"{storage.uri}/{RESULT}").made_as(asked)
    return False


def _publish(storage: Storage, folder: Path, claim: Claim) -> None:
    data = (folder / RESULT).read_bytes()
    (folder / RESULT).unlink()  # it makes the others valid, and goes last
    with storage.publishing() as place:
        place.upload_folder(folder, description="Writing the evaluation")
        claim.check(ask=True)
        if storage.exists(RESULT):
            raise already_holds(storage.uri, "an evaluation")
        if place.create_bytes(RESULT, data) is Creation.TAKEN:
            raise already_holds(storage.uri, "an evaluation")


def _report(run: StageRun, storage: Storage) -> EvaluationResult:
    """Reports what is published, by this call or by one that was killed before it could."""
    data = storage.read_bytes(RESULT)
    evaluation = read_evaluation(data, f"{storage.uri}/{RESULT}")
    metrics = headline(evaluation)
    run.log_metrics(metrics)
    for name in sorted(evaluation.files):
        if name.startswith(f"{FIGURES}/"):
            with storage.fetch(name) as path:
                run.log_image(path, path.name)
        elif "/" not in name:
            with storage.fetch(name) as path:
                run.log_file(path)
    run.log_text(data.decode(), RESULT)
    reference = EvaluationReference(uri=storage.uri, version=hashlib.sha256(data).hexdigest(), metrics=metrics)
    return EvaluationResult(reference, f"{storage.uri}/{REPORT}", evaluation)


def headline(evaluation: EvaluationRecord) -> dict[str, float]:
    """Returns the numbers that summarise the evaluation; those that are not known are left out."""
    metrics = {name: value for measure in all_measures() for name, value in measure.headline(evaluation).items()}
    return {name: value for name, value in metrics.items() if value is not None}


def _about_classifier(evaluation: EvaluationRecord, seed: int) -> dict[str, Any]:
    condition = evaluation.best_condition
    return {
        "trained_on": condition,
        "seed": seed,
        "preprocessing": "centre square, Lanczos to image_size, values in [0, 1]",
        "test_balanced_accuracy": evaluation.scores(condition).balanced_accuracy.per_seed[seed],
        "sources": {name: source.model_dump() for name, source in evaluation.sources.items()},
        "lesiongen_version": evaluation.lesiongen_version,
    }


def _write(folder: Path, evaluation: EvaluationRecord, figures: Mapping[str, Image.Image]) -> None:
    (folder / FIGURES).mkdir()
    for name, figure in figures.items():
        figure.save(folder / FIGURES / f"{name}.png")
    (folder / REPORT).write_text(render(build_page(evaluation, figures)), encoding="utf-8")


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        digests[path.relative_to(folder).as_posix()] = path_digest(path)
    return digests
