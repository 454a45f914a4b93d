"""How far the synthetic images are from the real ones, in the features of a named network."""

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import ClassDistance, FeatureDistances, Fidelity
from lesiongen.reporting import Block, Section, Table, Text
from lesiongen.seeds import derive_seed

__all__ = ["FeatureFidelity", "compare_features", "fidelity", "manifold_scores"]

Features = NDArray[np.float32]
NEIGHBOURS = 5
DISTANCES = ("images", "n", "n training", "KID", "Fréchet distance", "precision", "recall", "density", "coverage")
MAX_ROWS = 5000
KID_SUBSETS, KID_SUBSET_SIZE = 50, 200
MIN_ROWS = 2 * NEIGHBOURS
"""Fewer images than this, and no distance between distributions is worth printing."""


class FeatureFidelity(Measure):
    """How far the synthetic images are from the real ones in the features of a network.

    It is the classifier of real images, or the extractor that the configuration names.
    """

    place = 40

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``fidelity``."""
        material, extracted = evidence.material, evidence.extracted
        if extracted is None:
            train, synthetic = map(evidence.features, (material.train.images, material.synthetic.images))
            held_out, name = evidence.features(evidence.held_out), f"penultimate features of {evidence.judge}"
        else:
            train, synthetic, held_out = extracted.train, extracted.synthetic, extracted.held_out
            name = f"{extracted.source.features} of {extracted.source.source}"
        found = fidelity(
            train,
            synthetic,
            held_out,
            (material.train.labels, material.synthetic.labels),
            material.classes,
            extractor=name,
            seed=derive_seed(evidence.config.seed, "fidelity"),
        )
        return {"fidelity": found if extracted is None else found.changed(source=extracted.source)}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section on fidelity."""
        found = evaluation.fidelity
        rows = [
            (
                label,
                scores.n_fake,
                scores.n_real,
                scores.kid,
                scores.frechet_distance,
                scores.precision,
                scores.recall,
                scores.density,
                scores.coverage,
            )
            for label, scores in (("synthetic", found.synthetic), ("held-out real", found.held_out_real))
        ]
        per_class = [(name, entry.n_synthetic, entry.n_real, entry.kid) for name, entry in found.per_class.items()]
        blocks: list[Block] = [
            Text(
                f"Distances to the real training images in the {found.extractor}. They depend on that network and on "
                "the numbers of images and are not comparable with values in papers; the held-out "
                "real images give the scale."
            ),
            *_extractor(found),
            Table(DISTANCES, rows),
            Table(("class", "synthetic", "real", "KID"), per_class, "By diagnosis"),
        ]
        return [Section("Fidelity", blocks)]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns KID, the Fréchet distance and coverage of the synthetic images."""
        found = evaluation.fidelity.synthetic
        return {"kid": found.kid, "frechet_distance": found.frechet_distance, "coverage": found.coverage}


def _extractor(found: Fidelity) -> list[Block]:
    source = found.source
    if source is None:
        return []

    def side(size: Mapping[str, int | None]) -> str:
        return ", ".join(f"{name} {value}" for name, value in size.items())

    resize = f"{source.resample} to {side(source.size)}" if source.resample else "none"
    crop = f"; centre crop {side(source.crop_size)}" if source.crop_size else ""
    features = f"{source.features}, {source.width} values"
    row = (source.model, source.revision, source.licence or "not stated", features, f"{resize}{crop}")
    return [Table(("model", "revision", "licence", "features", "resize"), [row], "The extractor")]


def fidelity(
    real: Features,
    synthetic: Features,
    held_out: Features,
    labels: tuple[NDArray[np.int64], NDArray[np.int64]],
    classes: tuple[str, ...],
    *,
    extractor: str,
    seed: int,
) -> Fidelity:
    """Compares the synthetic images, and for scale the held-out real ones, with the real training images.

    Args:
        real: Features [n, d] of the real training images.
        synthetic: Features of the synthetic images.
        held_out: Features of real images that no generator has seen.
        labels: Class numbers of the real training and of the synthetic images, for the distances by class.
        classes: Names of the classes.
        extractor: What the features are, in words.
        seed: Seed of the subsets.
    """
    by_class = {}
    for number, name in enumerate(classes):
        mine = real[labels[0] == number], synthetic[labels[1] == number]
        enough = min(map(len, mine)) >= MIN_ROWS
        kid = _kid(*mine, derive_seed(seed, "kid", name))[0] if enough else None
        by_class[name] = ClassDistance(n_real=len(mine[0]), n_synthetic=len(mine[1]), kid=kid)
    return Fidelity(
        extractor=extractor,
        neighbours=NEIGHBOURS,
        synthetic=compare_features(real, synthetic, seed),
        held_out_real=compare_features(real, held_out, seed),
        per_class=by_class,
    )


def compare_features(real: Features, other: Features, seed: int) -> FeatureDistances:
    """Returns KID, the Fréchet distance, precision, recall, density and coverage, with both counts.

    At most 5,000 images of each side are used, drawn with the seed. The value is None where there are too few images.
    """
    real, other = _at_most(real, seed, "real"), _at_most(other, seed, "other")
    counts = {"n_real": len(real), "n_fake": len(other)}
    if min(len(real), len(other)) < MIN_ROWS:
        return FeatureDistances(**counts)
    kid, spread = _kid(real, other, derive_seed(seed, "kid"))
    distance = _frechet_distance(real, other)
    return FeatureDistances(
        **counts, kid=kid, kid_spread=spread, frechet_distance=distance, **manifold_scores(real, other)
    )


def manifold_scores(real: Features, other: Features, neighbours: int = NEIGHBOURS) -> dict[str, float]:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020, eq. 4 and 5).

    Args:
        real: [n, d], n > neighbours.
        other: [m, d], m > neighbours.
        neighbours: k of the balls around each image.

    >>> real = np.array([[0.0], [1.0], [2.0], [10.0]])
    >>> scores = manifold_scores(real, real + 0.5, neighbours=1)
    >>> scores["precision"], scores["coverage"]
    (1.0, 1.0)
    """
    between = pairwise_distances(real, other)
    real_radius = _radius(real, neighbours)
    inside = between < real_radius[:, None]
    return {
        "precision": float(inside.any(axis=0).mean()),
        "recall": float((between < _radius(other, neighbours)[None, :]).any(axis=1).mean()),
        "density": float(inside.sum(axis=0).mean() / neighbours),
        "coverage": float((between.min(axis=1) < real_radius).mean()),
    }


def _radius(rows: Features, neighbours: int) -> NDArray[np.float64]:
    """Returns the distance [n] of each row to its k-th nearest neighbour."""
    distances = pairwise_distances(rows)
    return np.asarray(np.partition(distances, neighbours, axis=1)[:, neighbours])


class _Given(nn.Module):
    """Takes the place of torchmetrics' feature extractor: the features were computed before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def _kid(real: Features, other: Features, seed: int) -> tuple[float, float]:
    """Returns the Kernel Inception Distance: mean and deviation over the subsets."""
    size = min(KID_SUBSET_SIZE, len(real), len(other))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save all extracted")
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(feature=_Given(real.shape[1]), subsets=KID_SUBSETS, subset_size=size)
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(other), real=False)
        mean, spread = metric.compute()
    return float(mean), float(spread)


def _frechet_distance(real: Features, other: Features) -> float:
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1])).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real).double(), real=True)
    metric.update(torch.from_numpy(other).double(), real=False)
    return float(metric.compute())


def _at_most(rows: Features, seed: int, name: str) -> Features:
    if len(rows) <= MAX_ROWS:
        return rows
    rng = np.random.default_rng(derive_seed(seed, "rows", name))
    return rows[rng.choice(len(rows), MAX_ROWS, replace=False)]
