"""The stage: every candidate is trained and kept, then the choice is made and written down."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec

import numpy as np

from lesiongen import __version__
from lesiongen.dataset import Dataset
from lesiongen.dataset.writer import is_published
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation.choosing import ChoosingMaterial, check_choosing
from lesiongen.evaluation.classifier.kinds.registry import check_classifier
from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.evaluation.selection.publishing import KeptImages, datasets_of, model_version_of, write_kept
from lesiongen.evaluation.sweeping.candidates import Trainings, opened_trainings
from lesiongen.evaluation.sweeping.config import SweepConfig
from lesiongen.evaluation.sweeping.grid import Setting, grid
from lesiongen.evaluation.sweeping.page import build_sweep_page, sweep_figures
from lesiongen.evaluation.sweeping.rule import RULE, Scores, one_standard_error, score_candidates
from lesiongen.imaging import encode_png
from lesiongen.names import check_name
from lesiongen.parallel import use_own_cores
from lesiongen.progress import progress
from lesiongen.records.origin import SelectOrigin
from lesiongen.records.sweep import Candidate, CandidatePredictions, SweepRecord, SweptSource, read_sweep
from lesiongen.reporting import render
from lesiongen.sample_sizes import MIN_HELD_OUT_IMAGES
from lesiongen.seeds import derive_seed
from lesiongen.storage import Claim, Creation, Storage, already_holds, as_json, claimed, open_storage
from lesiongen.tracking import StageRun, stage_run

__all__ = ["RESULT", "SweepResult", "sweep"]

RESULT, PAGE, SETTINGS, IMAGES = "sweep.json", "sweep.html", "settings.json", "synthetic"
CHOSEN_FIELDS = (
    *("classifiers", "image_size", "steps", "batch_size", "learning_rate", "weight_decay", "checks"),
    *("protocol", "synthetic_fraction", "synthetic_until", "synthetic_weight"),
)
"""Fields of `EvaluateConfig` that an evaluation of the choice has to have."""


@dataclass(frozen=True)
class SweepResult:
    """A finished sweep: where it is, the SHA-256 of its ``sweep.json``, the address of its page, and its content."""

    uri: str
    digest: str
    report: str
    record: SweepRecord


def sweep(config: SweepConfig, synthetic_uris: Mapping[str, str], real_uri: str, output: str) -> SweepResult:
    """Tries every way of using synthetic images on the validation images, and writes down which is to be tested.

    Only the training and the validation split of the real images are read. Real images alone are always a candidate.
    A finished candidate is kept at once: a call that was stopped or killed is repeated to go on, and one that has
    finished finds its result.

    Args:
        config: The grid, and by what it is judged.
        synthetic_uris: Datasets of synthetic images by name, such as one for each guidance scale.
        real_uri: Dataset of real images.
        output: Folder or ``s3://`` prefix: a new one, or that of a call with the same settings.

    Raises:
        UsageError: The output has other settings, another process writes there, the classifier is unknown, or it
            cannot be trained by one of the protocols.
        DataError: A split is empty, the splits share a lesion, an image cannot be decoded, or no candidate has
            synthetic images that can be mixed in.
        StorageError: Something cannot be read or written.
    """
    if not synthetic_uris:
        raise UsageError("a sweep needs one dataset of synthetic images or more")
    judge = config.classifier or ("lite0" if find_spec("efficientnet_lite_pytorch") else "small")
    for name in (judge, config.recogniser):
        check_classifier(name)
    real = Dataset.open(real_uri)
    synthetic = {check_name(name): Dataset.open(uri) for name, uri in synthetic_uris.items()}
    check_choosing(real, synthetic)
    storage = open_storage(output)
    storage.require_writable()
    params = {**config.model_dump(mode="json"), "real": real.uri, "synthetic": dict(synthetic_uris)}
    with claimed(storage) as claim, stage_run("sweep", params) as run:
        asked = _asked(config, judge, real, synthetic)
        _keep_settings(storage, asked)
        if not storage.exists(RESULT):
            use_own_cores()
            with opened_trainings(config, judge, real, synthetic, storage) as trainings:
                _sweep(asked, trainings, storage, claim)
        return _report(run, storage)


def _asked(config: SweepConfig, judge: str, real: Dataset, synthetic: Mapping[str, Dataset]) -> SweepRecord:
    return SweepRecord(
        name=config.name,
        lesiongen_version=__version__,
        config=config.model_dump(mode="json"),
        judge=judge,
        real=_source(real),
        synthetic={name: _source(dataset) for name, dataset in synthetic.items()},
    )


def _source(dataset: Dataset) -> SweptSource:
    return SweptSource(uri=dataset.uri, version=dataset.manifest.version)


def _keep_settings(storage: Storage, asked: SweepRecord) -> None:
    """Writes down what all candidates have in common, or refuses what differs from what is there."""
    settings = asked.model_dump(mode="json", include={"lesiongen_version", "config", "judge"})
    settings |= {"real": asked.real.version, "synthetic": {name: one.version for name, one in asked.synthetic.items()}}
    if not storage.exists(SETTINGS):
        storage.create_bytes(SETTINGS, as_json(settings).encode())
    there = storage.read_json(SETTINGS)
    if there != settings:
        differ = [name for name in settings if not isinstance(there, dict) or there.get(name) != settings[name]]
        raise UsageError(
            f"{storage.uri} has a sweep with other settings ({', '.join(differ)})",
            hint="Name another output, or repeat the call with the settings in settings.json there.",
        )


def _sweep(asked: SweepRecord, trainings: Trainings, storage: Storage, claim: Claim) -> None:
    """Trains what is missing, chooses, and publishes the choice; sweep.json comes last."""
    settings, left_out = _usable(grid(trainings.config, list(trainings.synthetic)), trainings)
    found = _trained(settings, trainings, storage, claim)
    record = _judged(asked, settings, found, trainings).changed(left_out=left_out, notes=_notes(trainings))
    tested = settings[[one.name for one in record.candidates].index(record.tested)]
    claim.check(ask=True)
    images = _publish_images(tested, trainings, storage)
    judged_with = trainings.config.evaluate_config(trainings.judge, tested.mixing).model_dump(mode="json")
    whole = record.changed(
        chosen_images=images,
        evaluate={name: judged_with[name] for name in CHOSEN_FIELDS},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    figures = sweep_figures(whole)
    claim.check(ask=True)
    if storage.exists(RESULT):
        raise already_holds(storage.uri, "a sweep")
    for name, figure in figures.items():
        storage.write_bytes(f"{name}.png", encode_png(figure))
    storage.write_text(PAGE, render(build_sweep_page(whole, figures)))
    if storage.create_bytes(RESULT, whole.text().encode()) is Creation.TAKEN:
        raise already_holds(storage.uri, "a sweep")


def _usable(settings: Sequence[Setting], trainings: Trainings) -> tuple[list[Setting], dict[str, str]]:
    """Returns the candidates that can be trained, and why the others cannot, by name."""
    obstacles = {setting: trainings.obstacle(setting) for setting in settings}
    left_out = {setting.name: obstacle for setting, obstacle in obstacles.items() if obstacle}
    usable = [setting for setting, obstacle in obstacles.items() if not obstacle]
    if all(setting.mixing is None for setting in usable):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise DataError(
            f"no candidate has synthetic images that can be mixed in: {reasons}",
            hint="Add another filter or another protocol, in another output.",
        )
    return usable, left_out


def _notes(trainings: Trainings) -> tuple[str, ...]:
    """Returns what limits how far the choice can be trusted."""
    config, n_validation = trainings.config, len(trainings.material.validation)
    notes: list[str] = []
    if trainings.judge == config.recogniser and any(one.keep < 1 for one in config.filters):
        notes.append(
            f"The classifier {trainings.judge} both selects the images (recogniser) and judges the candidates "
            "(classifier): it favours the images that it has selected. Choose another one for either."
        )
    if n_validation < MIN_HELD_OUT_IMAGES and any(one.drop_near_copies for one in config.filters):
        notes.append(f"{n_validation} validation images are too few for a firm threshold of near copies.")
    return tuple(notes)


def _trained(
    settings: Sequence[Setting], trainings: Trainings, storage: Storage, claim: Claim
) -> list[CandidatePredictions]:
    """Returns what the classifiers of every candidate predict; what is kept already is not trained again."""
    each = trainings.config.n_seeds * trainings.trainer.steps
    found = {setting: _kept(storage, setting) for setting in settings if storage.exists(setting.file)}
    done = each * len(found)
    with progress("Training candidates", total=each * len(settings), unit="steps", done=done) as bar:
        for number, setting in enumerate(settings, start=1):
            if setting in found:
                continue
            note = f"candidate {number} of {len(settings)}: {setting.name}"
            predicted = trainings.predictions(setting, partial(bar.advance, note=note))
            claim.check()
            storage.write_bytes(setting.file, json.dumps(predicted.model_dump(mode="json")).encode())
            found[setting] = predicted
    return [found[setting] for setting in settings]


def _kept(storage: Storage, setting: Setting) -> CandidatePredictions:
    kept = CandidatePredictions.read(storage.read_json(setting.file))
    if kept.name != setting.name:
        raise UsageError(
            f"{storage.uri}/{setting.file} is not what the candidate {setting.name} has predicted",
            hint="Delete the file; the candidate is then trained again.",
        )
    return kept


def _judged(
    asked: SweepRecord, settings: Sequence[Setting], found: Sequence[CandidatePredictions], trainings: Trainings
) -> SweepRecord:
    config, material = trainings.config, trainings.material
    validation = material.validation
    resamples = Resamples(
        validation.lesions, config.n_bootstrap, config.confidence, derive_seed(config.seed, "bootstrap")
    )
    predictions = [np.array(one.predictions, dtype=np.int64) for one in found]
    seed = derive_seed(config.seed, "seeds")
    scores = score_candidates(validation.labels, predictions, len(material.classes), resamples, seed)
    choice, tested = _chosen(scores, range(len(settings))), _chosen(scores, range(1, len(settings)))
    return _about(asked, material).changed(
        classifier=found[0].classifier,
        rule=RULE,
        candidates=tuple(
            _candidate(row, settings[row], found[row].n_synthetic, scores, resamples) for row in range(len(settings))
        ),
        best=settings[int(scores.means.argmax())].name,
        choice=settings[choice].name,
        tested=settings[choice or tested].name,
    )


def _chosen(scores: Scores, among: range) -> int:
    """Returns the row that the rule chooses among some, the simplest first."""
    best = max(among, key=lambda row: scores.means[row])
    errors = np.array([scores.difference_error(best, row) for row in among])
    return among[one_standard_error(scores.means[list(among)], errors)]


def _about(asked: SweepRecord, material: ChoosingMaterial) -> SweepRecord:
    return asked.changed(
        classes=material.classes,
        n_train=len(material.train),
        n_validation=len(material.validation),
        validation_lesions=len(np.unique(material.validation.lesions)),
    )


def _candidate(row: int, setting: Setting, n_synthetic: int, scores: Scores, resamples: Resamples) -> Candidate:
    best = int(scores.means.argmax())
    low, high = resamples.interval(scores.resampled[row])
    from_real = resamples.interval(scores.resampled[row] - scores.resampled[0])
    return Candidate(
        name=setting.name,
        sets=setting.sets,
        mixing={} if setting.mixing is None else setting.mixing.fields(),
        keep=setting.filter.keep,
        drop_near_copies=setting.filter.drop_near_copies,
        rank=row,
        n_synthetic=n_synthetic,
        per_seed=tuple(scores.per_seed[row].tolist()),
        mean=float(scores.means[row]),
        standard_error=float(scores.resampled[row].std(ddof=1)),
        low=low,
        high=high,
        behind=float(scores.means[best] - scores.means[row]),
        behind_error=scores.difference_error(best, row),
        from_real=float(scores.means[row] - scores.means[0]),
        from_real_low=from_real[0],
        from_real_high=from_real[1],
    )


def _publish_images(tested: Setting, trainings: Trainings, storage: Storage) -> SweptSource:
    """Publishes the synthetic images of the candidate that is to be tested, unless they are a whole set as it is."""
    kept = trainings.kept(tested)
    datasets = {name: trainings.synthetic[name] for name in tested.sets}
    if len(datasets) == 1 and all(mask.all() for mask in kept.values()):
        return _source(datasets[tested.sets[0]])
    images, place, config = KeptImages(datasets, kept), f"{storage.uri}/{IMAGES}", trainings.config
    before, after = _counts(trainings, kept, whole=True), _counts(trainings, kept, whole=False)
    origin = SelectOrigin(
        stage="select",
        config={
            **tested.filter.model_dump(mode="json"),
            "copy_percentile": config.copy_percentile,
            "classifier": config.recogniser,
            "n_seeds": config.recogniser_seeds,
        },
        datasets=datasets_of(datasets),
        model_version=model_version_of(datasets),
        real=trainings.real.uri,
        real_version=trainings.real.manifest.version,
        kept=after,
        dropped={name: count - after[name] for name, count in before.items()},
    )
    if not is_published(open_storage(place), origin):
        write_kept(images, place, name=f"{config.name}-synthetic", origin=origin, documents={})
    return _source(Dataset.open(place))


def _counts(trainings: Trainings, kept: Mapping[str, np.ndarray], *, whole: bool) -> dict[str, int]:
    classes, material = trainings.material.classes, trainings.material
    labels = np.concatenate([material.synthetic[name].labels[mask | whole] for name, mask in kept.items()])
    present = np.unique(np.concatenate([material.synthetic[name].labels for name in kept]))
    return {classes[label]: int((labels == label).sum()) for label in present.tolist()}


def _report(run: StageRun, storage: Storage) -> SweepResult:
    data = storage.read_bytes(RESULT)
    record = read_sweep(data, f"{storage.uri}/{RESULT}")
    chosen = record.candidate(record.choice)
    run.log_metrics(
        {
            "candidates": len(record.candidates),
            "validation_balanced_accuracy": chosen.mean or 0.0,
            "validation_difference_from_real": chosen.from_real or 0.0,
        }
    )
    run.log_text(data.decode(), RESULT)
    run.log_text(storage.read_text(PAGE), PAGE)
    return SweepResult(storage.uri, hashlib.sha256(data).hexdigest(), f"{storage.uri}/{PAGE}", record)
