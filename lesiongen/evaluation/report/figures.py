"""The figures of an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from lesiongen.evaluation.images import LabelledImages, pil_images
from lesiongen.evaluation.material import Material
from lesiongen.evaluation.neighbours import Neighbours
from lesiongen.imaging import contact_sheet
from lesiongen.records.scores import ClassRecall, Condition, ConditionScores, Score
from lesiongen.reporting import figure_image

__all__ = [
    "calibration_figure",
    "confusion_figure",
    "nearest_pairs_figure",
    "recall_figure",
    "reconstructions_figure",
    "samples_figure",
    "similarity_figure",
    "test_sets_figure",
]

COLOURS = {"real": "#4269d0", "synthetic": "#ff725c", "both": "#3ca951", "reconstruction": "#a463f2"}
AS_IT_STANDS: dict[str, Any] = {"parse_math": False}
"""How foreign text is written: a class may be named ``$\\frac$``, which is not a formula."""
LONGEST_NAME = 30
PER_CLASS = 5
PAIRS_PER_CLASS = 4
RELIABILITY_BINS = 10
TILE = 96


def recall_figure(utility: Mapping[Condition, ConditionScores], classes: Sequence[str]) -> Image.Image:
    """Draws the balanced accuracy and each class's recall of every condition, with intervals."""
    entries = {
        condition: [_as_recall(scores.balanced_accuracy), *(scores.per_class[name] for name in classes)]
        for condition, scores in utility.items()
    }
    return _rows_figure(["balanced accuracy", *classes], entries, "recall on real test images")


def test_sets_figure(sets: Mapping[str, Mapping[Condition, ConditionScores]]) -> Image.Image:
    """Draws the balanced accuracy of every condition on each test set, with intervals."""
    conditions = next(iter(sets.values()))
    entries = {
        condition: [_as_recall(utility[condition].balanced_accuracy) for utility in sets.values()]
        for condition in conditions
    }
    return _rows_figure(list(sets), entries, "balanced accuracy, over the diagnoses of each set")


def _as_recall(score: Score) -> ClassRecall:
    return ClassRecall(recall=score.mean, low=score.low, high=score.high)


def _rows_figure(rows: Sequence[str], entries: Mapping[Condition, Sequence[ClassRecall]], label: str) -> Image.Image:
    """Draws one row of points for each name, a point with its interval for each condition."""
    figure = Figure(figsize=(7.2, 0.55 * len(rows) + 1.0))
    axes = figure.subplots()
    for number, (condition, of_condition) in enumerate(entries.items()):
        places = np.arange(len(rows)) + 0.22 * (number - (len(entries) - 1) / 2)
        _intervals(axes, of_condition, places, COLOURS[condition], condition)
    axes.set_yticks(range(len(rows)), _shown(rows), **AS_IT_STANDS)
    axes.invert_yaxis()
    axes.axhline(0.5, color="#bbbbbb", linewidth=0.8)
    axes.set_xlim(0, 1)
    axes.set_xlabel(label)
    axes.grid(axis="x", color="#e4e4e4")
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=len(entries), frameon=False)
    figure.set_layout_engine("constrained")
    return figure_image(figure)


def _shown(names: Sequence[str]) -> list[str]:
    """Cuts names of classes to a length that leaves room for the figure, in one line each."""
    lines = (" ".join(name.split()) for name in names)
    return [f"{line[: LONGEST_NAME - 1]}…" if len(line) > LONGEST_NAME else line for line in lines]


def _intervals(axes: Axes, entries: Sequence[ClassRecall], places: NDArray[Any], colour: str, label: str) -> None:
    shown = [k for k, entry in enumerate(entries) if entry.recall is not None]
    values = np.array([entries[k].recall for k in shown], dtype=float)
    bounds = np.array([[entries[k].low for k in shown], [entries[k].high for k in shown]], dtype=float)
    errors = np.abs(bounds - values)
    axes.errorbar(values, places[shown], xerr=errors, fmt="o", color=colour, label=label, capsize=2, markersize=5)


def confusion_figure(utility: Mapping[Condition, ConditionScores], classes: Sequence[str]) -> Image.Image:
    """Draws the confusion matrices, each row as shares of the true class, means over the seeds."""
    side = 0.42 * len(classes) + 0.6 + 0.08 * max(8, *map(len, _shown(classes)))
    figure = Figure(figsize=(side * len(utility), side + 0.4), layout="constrained")
    panels = figure.subplots(1, len(utility), squeeze=False)[0]
    for axes, (condition, scores) in zip(panels, utility.items(), strict=True):
        counts = np.array(scores.confusion)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.6 else "#333333"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=7, color=colour)
        axes.set_xticks(range(len(classes)), _shown(classes), rotation=60, fontsize=8, **AS_IT_STANDS)
        axes.set_yticks(range(len(classes)), _shown(classes), fontsize=8, **AS_IT_STANDS)
        axes.set_title(f"trained on {condition}", fontsize=10)
        axes.set_xlabel("predicted", fontsize=8)
        axes.set_ylabel("true", fontsize=8)
    return figure_image(figure)


def calibration_figure(
    labels: NDArray[np.int64], probabilities: Mapping[Condition, NDArray[np.float32]]
) -> Image.Image:
    """Draws, for each condition, the share of right predictions over the stated confidence (all seeds together)."""
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    edges = np.linspace(0, 1, RELIABILITY_BINS + 1)
    for condition, values in probabilities.items():
        confidence = values.max(axis=-1).ravel()
        right = (values.argmax(axis=-1) == labels).ravel()
        bins = np.clip(np.digitize(confidence, edges) - 1, 0, RELIABILITY_BINS - 1)
        used = np.unique(bins)
        points = [(confidence[bins == k].mean(), right[bins == k].mean()) for k in used]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=COLOURS[condition], label=condition)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="stated confidence", ylabel="share of right predictions")
    axes.grid(color="#e4e4e4")
    axes.legend(frameon=False)
    return figure_image(figure)


def similarity_figure(synthetic: Neighbours, held_out: Neighbours, threshold: float | None) -> Image.Image:
    """Draws how near the synthetic and the held-out real images come to the training images."""
    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    axes = figure.subplots()
    both = np.concatenate([synthetic.similarity, held_out.similarity])
    edges = np.linspace(float(both.min()), 1.0, 41).tolist()
    for values, label, colour in (
        (held_out.similarity, "held-out real", COLOURS["real"]),
        (synthetic.similarity, "synthetic", COLOURS["synthetic"]),
    ):
        weights = np.full(len(values), 1 / len(values))
        axes.hist(values, edges, weights=weights, alpha=0.6, color=colour, label=label)
    if threshold is not None:
        axes.axvline(threshold, color="#333333", linewidth=1, linestyle="--", label="threshold")
    axes.set(xlabel="similarity to the nearest training image", ylabel="share of images")
    axes.legend(frameon=False)
    return figure_image(figure)


def samples_figure(material: Material, *, real: bool) -> Image.Image:
    """Lays out synthetic images class by class, beside real training images where these may be shown."""
    images, captions = [], []
    for number, name in enumerate(material.classes):
        for part, kind in ((material.synthetic, "synthetic"), (material.train, "real"))[: 2 if real else 1]:
            rows = np.flatnonzero(part.labels == number)[:PER_CLASS]
            images += pil_images(part.images[rows])
            captions += [f"{kind} {name}"] * len(rows)
            blank = PER_CLASS - len(rows)
            images += [Image.new("RGB", (TILE, TILE), "#eeeeee")] * blank
            captions += [f"no more {name}"] * blank
    return contact_sheet(images, captions, columns=PER_CLASS * (2 if real else 1), tile=TILE)


def reconstructions_figure(train: LabelledImages, reconstructed: LabelledImages, classes: Sequence[str]) -> Image.Image:
    """Lays out the first training images of each class in a row, each before its reconstruction."""
    images, captions = [], []
    for number, name in enumerate(classes):
        rows = np.flatnonzero(train.labels == number)[:PAIRS_PER_CLASS]
        for row in rows.tolist():
            images += pil_images(np.stack([train.images[row], reconstructed.images[row]]))
            captions += [f"real {name}", "reconstruction"]
        blank = 2 * (PAIRS_PER_CLASS - len(rows))
        images += [Image.new("RGB", (TILE, TILE), "#eeeeee")] * blank
        captions += [f"no more {name}"] * blank
    return contact_sheet(images, captions, columns=2 * PAIRS_PER_CLASS, tile=TILE)


def nearest_pairs_figure(
    synthetic: LabelledImages, train: LabelledImages, neighbours: Neighbours, *, shown: int, real: bool
) -> Image.Image:
    """Lays out the synthetic images that come nearest to a training image, each before that image."""
    order = np.argsort(-neighbours.similarity, kind="stable")[:shown]
    images, captions = [], []
    for row in order.tolist():
        images += pil_images(synthetic.images[[row]])
        captions.append(f"synthetic {neighbours.similarity[row]:.2f}")
        if real:
            images += pil_images(train.images[[int(neighbours.rows[row])]])
            captions.append("nearest real")
    return contact_sheet(images, captions, columns=8 if real else 6, tile=TILE)
