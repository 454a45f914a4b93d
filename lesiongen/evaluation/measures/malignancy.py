"""How well the classifiers tell malignant from benign diagnoses: on the whole, and by group of patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset import is_malignant
from lesiongen.evaluation.evidence import Results
from lesiongen.evaluation.measures.discrimination import binary_auroc
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.evaluation.measures.subgroups import NOT_STATED, absent_columns
from lesiongen.evaluation.report.text import with_interval
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.scores import Condition, GroupMalignancy, Malignancy, MalignancyScores, Share
from lesiongen.reporting import Block, Section, Table, Text

__all__ = ["JudgedImages", "MalignantDiagnoses", "malignancy"]


class MalignantDiagnoses(Measure):
    """Malignant against benign: area under the ROC curve, sensitivity and specificity, by group of patients."""

    place = 21

    def measure(self, evidence: Results) -> Mapping[str, object]:
        """Returns ``malignancy``."""
        config, material = evidence.config, evidence.material
        images = JudgedImages(material.test.labels, material.test.table, evidence.resamples)
        probabilities = {name: outcome.probabilities for name, outcome in evidence.outcomes.items()}
        found = malignancy(images, probabilities, material.classes, config.subgroups, config.min_group)
        return {"malignancy": found}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section on malignant diagnoses."""
        return [Section("Malignant diagnoses", _blocks(evaluation))]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns the area under the ROC curve, the sensitivity and the specificity of each condition."""
        metrics: dict[str, float | None] = {}
        for condition, scores in evaluation.malignancy.conditions.items():
            metrics[f"auroc_malignant_{condition}"] = scores.auroc.mean
            metrics[f"sensitivity_malignant_{condition}"] = scores.sensitivity.share
            metrics[f"specificity_malignant_{condition}"] = scores.specificity.share
        return metrics


@dataclass(frozen=True)
class JudgedImages:
    """The test images, without their pixels.

    Attributes:
        labels: [n].
        table: A row for each image, with the columns of its groups.
        resamples: Resamples of their lesions.
    """

    labels: NDArray[np.int64]
    table: pd.DataFrame
    resamples: Resamples


def malignancy(
    images: JudgedImages,
    probabilities: Mapping[Condition, NDArray[np.floating]],
    classes: Sequence[str],
    columns: Sequence[str],
    min_group: int,
) -> Malignancy:
    """Tells how well malignant and benign diagnoses are told apart.

    An image is called malignant where the likeliest diagnosis is any malignant one; its score is the sum of the
    probabilities of the malignant diagnoses. Which these are is in `lesiongen.dataset.DIAGNOSES`.

    Args:
        images: The test images.
        probabilities: For each condition [seeds, n, classes].
        classes: Names of the classes.
        columns: Columns of the table whose groups are scored apart.
        min_group: A share of fewer images is marked as too small.
    """
    known = {name: is_malignant(name) for name in classes}
    judged = np.array([known[name] is not None for name in classes])[images.labels]
    malignant = np.array([known[name] is True for name in classes])
    both_kinds = len(set(malignant[images.labels[judged]])) == 2
    return Malignancy(
        malignant=tuple(name for name in classes if known[name] is True),
        benign=tuple(name for name in classes if known[name] is False),
        undecided=tuple(name for name in classes if known[name] is None),
        n_left_out=int((~judged).sum()),
        conditions={
            name: _scores(images, each, malignant, judged, columns, min_group) for name, each in probabilities.items()
        }
        if both_kinds
        else {},
    )


def _scores(
    images: JudgedImages,
    probabilities: NDArray[np.floating],
    malignant: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    columns: Sequence[str],
    min_group: int,
) -> MalignancyScores:
    truth = malignant[images.labels]
    called = malignant[probabilities.argmax(axis=-1)]
    right = (called == truth).mean(axis=0)

    def share(rows: NDArray[np.bool_]) -> Share:
        return _share(right, rows & judged, images.resamples, min_group)

    return MalignancyScores(
        auroc=binary_auroc(truth, probabilities[..., malignant].sum(axis=-1), judged, images.resamples),
        sensitivity=share(truth),
        specificity=share(~truth),
        groups=tuple(
            GroupMalignancy(
                column=column, group=group, sensitivity=share(rows & truth), specificity=share(rows & ~truth)
            )
            for column, group, rows in _groups(images.table, columns)
        ),
    )


def _groups(table: pd.DataFrame, columns: Sequence[str]) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Returns column, group and rows [n] of each group, those that state nothing included."""
    found = []
    for column in columns:
        if not absent_columns(table, [column]):
            groups = table[column].fillna(NOT_STATED).astype(str)
            found += [(column, group, (groups == group).to_numpy(dtype=bool)) for group in sorted(groups.unique())]
    return found


def _share(right: NDArray[np.floating], rows: NDArray[np.bool_], resamples: Resamples, min_group: int) -> Share:
    """Returns the mean of `right` [n] over some images, with its interval over resampled lesions."""
    lesions, number = resamples.lesions[rows], resamples.weights.shape[1]
    total = resamples.weights @ np.bincount(lesions, minlength=number).astype(np.float64)
    hits = resamples.weights @ np.bincount(lesions, right[rows], minlength=number)
    low, high = resamples.interval(np.divide(hits, total, out=np.full(len(total), np.nan), where=total > 0))
    return Share(
        share=float(right[rows].mean()) if rows.any() else None,
        n=int(rows.sum()),
        lesions=len(np.unique(lesions)),
        low=low,
        high=high,
        too_small=int(rows.sum()) < min_group,
    )


def _blocks(evaluation: EvaluationRecord) -> list[Block]:
    found = evaluation.malignancy
    if not found.conditions:
        return [Text(_nothing_to_tell(found))]
    kinds = f"Malignant or pre-malignant: {', '.join(found.malignant)}. Benign: {', '.join(found.benign)}."
    left_out = f" {found.n_left_out} test images of undecided classes are left out." if found.n_left_out else ""
    how = (
        "Sensitivity is the share of malignant images that are given any malignant diagnosis, specificity the share "
        "of benign images that are given none. Groups are in the order of the sensitivity from real images; too small "
        f"are shares of fewer than {evaluation.config.get('min_group')} images."
    )
    rows = [
        (
            name,
            with_interval(each.auroc.mean, each.auroc),
            with_interval(each.sensitivity.share, each.sensitivity),
            with_interval(each.specificity.share, each.specificity),
        )
        for name, each in found.conditions.items()
    ]
    heads = ("trained on", "AUROC", "sensitivity", "specificity")
    return [Text(f"{kinds}{left_out} {how}"), Table(heads, rows, "Malignant against benign"), *_group_tables(found)]


def _nothing_to_tell(found: Malignancy) -> str:
    text = "The test images do not hold both malignant and benign diagnoses."
    if not found.undecided:
        return text
    names = ", ".join(found.undecided)
    return f"{text} Not known to be either: {names}. The taxonomy knows its own diagnoses: map the labels to these."


def _group_tables(found: Malignancy) -> list[Block]:
    by_condition = {
        name: {(each.column, each.group): each for each in scores.groups} for name, scores in found.conditions.items()
    }
    real = found.conditions.get("real", next(iter(found.conditions.values())))
    tables: list[Block] = []
    for kind, images in (("sensitivity", "malignant"), ("specificity", "benign")):
        rows = []
        for each in sorted(real.groups, key=lambda each: _rank(each.sensitivity)):
            own = getattr(each, kind)
            shares = [getattr(groups[each.column, each.group], kind) for groups in by_condition.values()]
            cells = [with_interval(share.share, share) for share in shares]
            small = "too small" if own.too_small else ""
            rows.append((each.column.replace("_", " "), each.group, own.n, own.lesions, *cells, small))
        heads = ("by", "group", f"{images} images", "lesions", *(f"{kind}, {name}" for name in by_condition), "")
        tables.append(Table(heads, rows, f"{kind.capitalize()} by group of patients"))
    return tables


def _rank(share: Share) -> tuple[bool, float]:
    return share.too_small, share.share if share.share is not None else 1.0
