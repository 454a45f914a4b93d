"""The stage: synthetic images that are recognised and copy nothing, as a dataset of their own."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesiongen.dataset import MANIFEST_NAME, Dataset
from lesiongen.dataset.manifest import read_manifest
from lesiongen.errors import DataError
from lesiongen.evaluation.choosing import ChoosingMaterial, check_choosing, load_choosing
from lesiongen.evaluation.classifier.kinds.registry import check_classifier, opened_kind
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.neighbours import METHOD
from lesiongen.evaluation.selection.config import SelectConfig
from lesiongen.evaluation.selection.page import selection_page
from lesiongen.evaluation.selection.publishing import KeptImages, datasets_of, model_version_of, write_kept
from lesiongen.evaluation.selection.rules import Kept, copy_threshold, select_images
from lesiongen.evaluation.selection.scoring import Recognition, recognise, similarities
from lesiongen.names import selected_name
from lesiongen.parallel import use_own_cores
from lesiongen.records.origin import SelectOrigin
from lesiongen.records.selection import SelectedClass, SelectedImage, SelectionReport
from lesiongen.references import DatasetReference
from lesiongen.reporting import render
from lesiongen.sample_sizes import MIN_HELD_OUT_IMAGES
from lesiongen.storage import Storage, already_holds, claimed, open_storage
from lesiongen.temporary import temporary_folder
from lesiongen.tracking import StageRun, stage_run

__all__ = ["PAGE_NAME", "REPORT_NAME", "SelectResult", "select"]

REPORT_NAME, PAGE_NAME = "selection.json", "selection.html"
SET = "synthetic"
"""What the one set of images of a selection is called."""


@dataclass(frozen=True)
class SelectResult:
    """The dataset of the images that were kept, and the address of the page on the selection."""

    dataset: DatasetReference
    report: str


def select(config: SelectConfig, synthetic_uri: str, real_uri: str, output: str) -> SelectResult:
    """Keeps the synthetic images that classifiers of real images recognise best, and that copy no training image.

    Of the real images only the training and the validation split are read: classifiers are trained on the one and
    picked on the other, and validation images set the similarity above which an image is a near copy. The test split is
    not opened. ``selection.json`` and ``selection.html`` are written beside the shards.

    Args:
        config: Which images are kept.
        synthetic_uri: Dataset of synthetic images.
        real_uri: Dataset of real images.
        output: New folder or ``s3://`` prefix. Where it holds this very selection, of a call that was killed once it
            had published it, nothing is trained.

    Raises:
        UsageError: The output holds another dataset, another process writes there, or the classifier is unknown.
        DataError: A split is empty, the splits share a lesion, an image cannot be decoded, or all synthetic images are
            near copies.
        StorageError: Something cannot be read or written.
    """
    check_classifier(config.classifier)
    real, synthetic = Dataset.open(real_uri), Dataset.open(synthetic_uri)
    storage = open_storage(output)
    asked = SelectOrigin(
        stage="select",
        config=config.model_dump(mode="json"),
        datasets=datasets_of({SET: synthetic}),
        model_version=model_version_of({SET: synthetic}),
        real=real.uri,
        real_version=real.manifest.version,
    )
    _refuse_another(storage, asked, unless_alike=True)
    check_choosing(real, {SET: synthetic})
    params = {**config.model_dump(), "real": real.uri, "synthetic": synthetic.uri}
    with claimed(storage) as claim, stage_run("select", params) as run:
        _refuse_another(storage, asked, unless_alike=claim.taken_over)
        if not storage.exists(MANIFEST_NAME):
            use_own_cores()
            _select(config, real, synthetic, asked, output)
        return _report(run, output)


def _select(config: SelectConfig, real: Dataset, synthetic: Dataset, asked: SelectOrigin, output: str) -> None:
    settings = EvaluateConfig(
        classifiers=(config.classifier,), n_seeds=config.n_seeds, image_size=config.image_size, steps=config.steps
    )
    with opened_kind(config.classifier, settings) as kind, temporary_folder("images") as folder:
        material = load_choosing(real, {SET: synthetic}, kind.image_size, folder)
        near = similarities(material.train, material.validation, material.synthetic)
        threshold = copy_threshold(near.validation, config.copy_percentile) if config.drop_near_copies else None
        if threshold is not None and (near.synthetic[SET] > threshold).all():
            raise DataError(
                f"{synthetic.uri}: no image is left: all {len(synthetic)} are near copies of training images",
                hint="Draw other images, or keep near copies with --keep-near-copies.",
            )
        recognition = recognise(material, kind, config.n_seeds) if config.keep < 1 else None
        chances = recognition.chances[SET] if recognition else None
        images = material.synthetic[SET]
        kept = select_images(images.labels, chances, near.synthetic[SET], keep=config.keep, threshold=threshold)
        listed = _images(images.table["image_id"].tolist(), material, chances, near.synthetic[SET], kept)
        report = _about(asked, material, recognition, threshold, listed, kept)
        name = config.name or selected_name(synthetic.manifest.name)
        page = selection_page(name, report, images.images)
        write_kept(
            KeptImages({SET: synthetic}, {SET: kept.kept}),
            output,
            name=name,
            origin=_with_counts(asked, report),
            documents={REPORT_NAME: report.text(), PAGE_NAME: render(page)},
        )


def _images(
    image_ids: list[str],
    material: ChoosingMaterial,
    chances: NDArray[np.float32] | None,
    similarity: NDArray[np.float32],
    kept: Kept,
) -> tuple[SelectedImage, ...]:
    labels = material.synthetic[SET].labels
    return tuple(
        SelectedImage(
            dataset=SET,
            image_id=image_id,
            diagnosis=material.classes[labels[row]],
            chance=None if chances is None else float(chances[row]),
            similarity=float(similarity[row]),
            outcome="kept" if kept.kept[row] else "near copy" if kept.near_copy[row] else "not recognised",
        )
        for row, image_id in enumerate(image_ids)
    )


def _about(
    asked: SelectOrigin,
    material: ChoosingMaterial,
    recognition: Recognition | None,
    threshold: float | None,
    listed: tuple[SelectedImage, ...],
    kept: Kept,
) -> SelectionReport:
    labels, held_out = material.synthetic[SET].labels, len(material.validation)
    masks = {"near_copies": kept.near_copy, "unrecognised": kept.unrecognised, "kept": kept.kept}
    classes = (
        SelectedClass(
            diagnosis=material.classes[label],
            images=int((labels == label).sum()),
            **{name: int(mask[labels == label].sum()) for name, mask in masks.items()},
        )
        for label in np.unique(labels).tolist()
    )
    return SelectionReport(
        config=asked.config,
        datasets=asked.datasets,
        real=asked.real,
        real_version=asked.real_version,
        classifier=recognition.source if recognition else None,
        validation_balanced_accuracy=recognition.validation if recognition else (),
        similarity=METHOD,
        threshold=threshold,
        n_validation=held_out,
        calibrated=held_out >= MIN_HELD_OUT_IMAGES,
        classes=tuple(classes),
        images=listed,
    )


def _with_counts(asked: SelectOrigin, report: SelectionReport) -> SelectOrigin:
    kept = {one.diagnosis: one.kept or 0 for one in report.classes}
    dropped = {one.diagnosis: (one.images or 0) - kept[one.diagnosis] for one in report.classes}
    return asked.changed(kept=kept, dropped=dropped)


def _refuse_another(storage: Storage, asked: SelectOrigin, *, unless_alike: bool) -> None:
    """Refuses an output that holds a dataset; one that was selected in the same way may be this very one."""
    if not storage.exists(MANIFEST_NAME):
        return
    with suppress(DataError):  # a file of something else
        origin = read_manifest(storage).origin
        alike = isinstance(origin, SelectOrigin) and asked.content().items() <= origin.content().items()
        if unless_alike and alike:
            return
    raise already_holds(storage.uri, "a dataset")


def _report(run: StageRun, output: str) -> SelectResult:
    """Reports what is published, by this call or by one that was killed before it could."""
    published, storage = Dataset.open(output), open_storage(output)
    origin = published.manifest.origin
    dropped = sum(origin.dropped.values()) if isinstance(origin, SelectOrigin) else 0
    run.log_metrics({"images": len(published), "dropped": dropped})
    for name in (REPORT_NAME, PAGE_NAME):
        run.log_text(storage.read_bytes(name).decode(), name)
    return SelectResult(published.reference(), f"{published.uri}/{PAGE_NAME}")
