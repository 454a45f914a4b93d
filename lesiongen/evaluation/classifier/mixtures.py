"""What a condition is trained on: real images, synthetic ones, or both, mixed by a protocol."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from lesiongen.errors import DataError
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.pixel_files import release

__all__ = [
    "DiagnosisMixture",
    "Drawn",
    "Mixture",
    "balanced_draw",
    "batch_obstacle",
    "check_mixable",
    "mixture_at",
    "TrainingImages",
    "protocol_mixture",
    "share_of",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The images of a step [n, size, size, 3] and their labels [n]; the last `n_added` are of the second set."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    n_added: int


class TrainingImages(Protocol):
    """What a classifier is trained on, whichever kind it is."""

    @property
    def main(self) -> LabelledImages:
        """The set whose statistics normalise what is predicted."""

    @property
    def added(self) -> LabelledImages | None:
        """The set that is mixed in, or None."""

    @property
    def separate_norm(self) -> bool:
        """Whether each set is normalised by its own statistics."""

    def draw(self, step: int, steps: int, count: int, rng: np.random.Generator) -> Drawn:
        """Draws the images of a step, counted from 1.

        Args:
            step: The step.
            steps: Steps of the whole training.
            count: Images in the batch.
            rng: Source of the draws.
        """

    def class_totals(self, total: float, classes: int) -> tuple[Floats, Floats]:
        """Returns the weight of each class [classes] in `main` and in `added`; all weights add up to `total`.

        It is for a loss that is minimised over all images at once, in the proportions of the steps with both sets.
        """


@dataclass(frozen=True, slots=True)
class Mixture:
    """Training images: a main set and, for part of the steps, a share of each batch from a second set.

    Both parts of a batch are drawn evenly over the diagnoses that their set holds.

    Args:
        main: The set that fills the batch.
        added: The set mixed in, or None.
        share: The share of each batch that comes from `added` while it is mixed in.
        until: The share of the steps during which `added` is mixed in; `main` alone ends the training.
        separate_norm: Whether each set is normalised by its own statistics; predictions use those of `main`.
    """

    main: LabelledImages
    added: LabelledImages | None = None
    share: float = 0.0
    until: float = 1.0
    separate_norm: bool = False

    def draw(self, step: int, steps: int, count: int, rng: np.random.Generator) -> Drawn:
        """Draws the images of a step."""
        n_added = round(self.share * count) if step <= self.until * steps else 0
        images, labels = balanced_draw(self.main, count - n_added, rng)
        if self.added is None or not n_added:
            return Drawn(images, labels, 0)
        more_images, more_labels = balanced_draw(self.added, n_added, rng)
        return Drawn(np.concatenate([images, more_images]), np.concatenate([labels, more_labels]), n_added)

    def class_totals(self, total: float, classes: int) -> tuple[Floats, Floats]:
        """Returns the weight of each class [classes] in each set."""
        share = 0.0 if self.added is None else self.share
        added = np.zeros(classes) if self.added is None else _even(self.added, total * share, classes)
        return _even(self.main, total * (1 - share), classes), added


def _pixels(pool: LabelledImages, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Returns the pixels of some rows, and gives back the pages of the file that held them."""
    drawn = pool.images[rows]
    release(pool.images)
    return drawn


def _even(images: LabelledImages, total: float, classes: int) -> Floats:
    totals = np.zeros(classes)
    present = np.unique(images.labels)
    totals[present] = total / len(present)
    return totals


@dataclass(frozen=True, slots=True)
class DiagnosisMixture:
    """Training images of two sets in one pool: drawn evenly over its diagnoses, then from one set or the other.

    Args:
        main: The first set.
        added: The second set.
        shares: [classes], the chance that a drawn image of a diagnosis comes from `added`; 0 where `added` has none of
            it, 1 where `main` has none.
        until: The share of the steps during which `added` is mixed in; `main` alone ends the training.
    """

    main: LabelledImages
    added: LabelledImages
    shares: Floats
    until: float = 1.0

    @property
    def separate_norm(self) -> bool:
        """Both sets are of one pool: they share their statistics."""
        return False

    def draw(self, step: int, steps: int, count: int, rng: np.random.Generator) -> Drawn:
        """Draws the images of a step."""
        if step > self.until * steps:
            return Drawn(*balanced_draw(self.main, count, rng), 0)
        present = np.union1d(self.main.labels, self.added.labels)
        drawn = present[rng.integers(0, len(present), count)]
        from_added = rng.random(count) < self.shares[drawn]
        main, added = _rows(self.main, drawn[~from_added], rng), _rows(self.added, drawn[from_added], rng)
        images = np.concatenate([_pixels(self.main, main), _pixels(self.added, added)])
        return Drawn(images, np.concatenate([self.main.labels[main], self.added.labels[added]]), len(added))

    def class_totals(self, total: float, classes: int) -> tuple[Floats, Floats]:
        """Returns the weight of each class [classes] in each set."""
        present = np.union1d(self.main.labels, self.added.labels)
        each = np.zeros(classes)
        each[present] = total / len(present)
        return each * (1 - self.shares), each * self.shares


def balanced_draw(
    pool: LabelledImages, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draws images whose labels are uniform over the classes that the pool holds, with replacement."""
    members = pool.members
    chosen = rng.integers(0, len(members), count)
    index = np.array([members[k][rng.integers(0, len(members[k]))] for k in chosen], dtype=np.int64)
    return _pixels(pool, index), pool.labels[index]


def _rows(pool: LabelledImages, labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draws for each label a row of the pool that has it, with replacement."""
    members = {int(pool.labels[rows[0]]): rows for rows in pool.members}
    return np.array([rng.choice(members[label]) for label in labels.tolist()], dtype=np.int64)


def protocol_mixture(
    config: EvaluateConfig, real: LabelledImages, added: LabelledImages, classes: int
) -> TrainingImages:
    """Mixes images into the real training images as the protocol of a configuration says.

    Args:
        config: The protocol and its numbers.
        real: The real training images.
        added: The images mixed in: synthetic ones, or those of a control in their place.
        classes: Number of diagnoses.

    Raises:
        DataError: As `check_mixable` raises it.
    """
    check_mixable(config, real.labels, added.labels, classes)
    share, until = config.synthetic_fraction, config.synthetic_until
    if config.protocol == "concat":
        return DiagnosisMixture(real, added, _pooled_shares(real, added, config.synthetic_weight, classes))
    if config.protocol == "minority":
        return _minority_mixture(real, added, share, until, classes)
    if config.protocol == "pretrain":
        return Mixture(real, added, 1.0, until)
    return Mixture(real, added, share, until, separate_norm=config.protocol == "separate-norm")


def batch_obstacle(config: EvaluateConfig) -> str:
    """Returns why a share of a configuration mixes nothing into batches of images; empty where each mixes in some.

    >>> batch_obstacle(EvaluateConfig(synthetic_fraction=0.005))
    'synthetic_fraction = 0.005 of a batch of 64 images rounds to no image'
    """
    if config.protocol not in ("curriculum", "separate-norm"):
        return ""
    shares = [("synthetic_fraction", config.synthetic_fraction)]
    shares += [("mixing_curve", share) for share in config.mixing_curve if share > 0]
    for name, share in shares:
        if not round(share * config.batch_size):
            return f"{name} = {share:g} of a batch of {config.batch_size} images rounds to no image"
    return ""


def check_mixable(config: EvaluateConfig, real: NDArray[np.int64], added: NDArray[np.int64], classes: int) -> None:
    """Checks that the protocol of a configuration mixes in an image.

    Args:
        config: The protocol.
        real: Labels [n] of the real training images.
        added: Labels [m] of the images that are to be mixed in.
        classes: Number of diagnoses.

    Raises:
        DataError: No images to mix in; or the protocol is ``minority``, and none of them is of a diagnosis
            with few real training images.
    """
    if not len(added):
        raise DataError("there are no images to mix in", hint="Give synthetic images, or keep more of them.")
    if config.protocol == "minority" and not _is_minority(real, classes)[added].any():
        raise DataError(
            "protocol minority: no image can be mixed in: none is of a diagnosis with fewer real training images than "
            "the median diagnosis",
            hint="Where the diagnoses have equal numbers of real images, use another protocol.",
        )


def mixture_at(
    config: EvaluateConfig, real: LabelledImages, added: LabelledImages, classes: int, share: float
) -> TrainingImages:
    """Mixes as `protocol_mixture` does, at another share between 0 and 1.

    The share is ``synthetic_fraction``; under ``pretrain``, ``synthetic_until``. Under ``concat`` it is the expected
    share of the draws of the diagnoses that both sets hold, which fixes ``synthetic_weight``.

    Raises:
        DataError: The protocol is ``concat`` or ``minority``, and the images cannot be mixed so.
    """
    if config.protocol == "concat":
        return DiagnosisMixture(
            real, added, _pooled_shares(real, added, _weight_of(real, added, share, classes), classes)
        )
    return protocol_mixture(config.changed(**{_share_field(config): share}), real, added, classes)


def share_of(config: EvaluateConfig) -> float | None:
    """Returns the share at which `mixture_at` mixes as `protocol_mixture` does; None where it depends on the images."""
    return None if config.protocol == "concat" else float(getattr(config, _share_field(config)))


def _share_field(config: EvaluateConfig) -> str:
    return "synthetic_until" if config.protocol == "pretrain" else "synthetic_fraction"


def _pooled_shares(real: LabelledImages, added: LabelledImages, weight: float, classes: int) -> Floats:
    """Within a diagnosis a real image counts once, and an added one `weight` times."""
    of_real, of_added = (np.bincount(part.labels, minlength=classes) for part in (real, added))
    pooled = of_real + weight * of_added
    return np.asarray(np.divide(weight * of_added, pooled, out=np.zeros(classes), where=pooled > 0))


def _weight_of(real: LabelledImages, added: LabelledImages, share: float, classes: int) -> float:
    """Returns the weight at which `share` of the draws of the diagnoses that both sets hold is of added images."""
    shared = np.intersect1d(real.labels, added.labels)
    if not len(shared):
        raise DataError("no diagnosis is among the real training images and among those that are mixed in")

    def excess(logarithm: float) -> float:
        return float(_pooled_shares(real, added, np.exp(logarithm), classes)[shared].mean()) - share

    return float(np.exp(brentq(excess, -40.0, 40.0)))


def _minority_mixture(
    real: LabelledImages, added: LabelledImages, share: float, until: float, classes: int
) -> DiagnosisMixture:
    """Mixes in images of the diagnoses with few real training images."""
    of_real = np.bincount(real.labels, minlength=classes)
    kept = added.take(_is_minority(real.labels, classes)[added.labels])
    of_added = np.bincount(kept.labels, minlength=classes)
    shares = np.where(of_added == 0, 0.0, np.where(of_real == 0, 1.0, share))
    return DiagnosisMixture(real, kept, shares, until)


def _is_minority(real: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Returns, for each diagnosis, whether it has fewer real training images than the median diagnosis [classes].

    The median is over the diagnoses that have real training images.
    """
    counts = np.bincount(real, minlength=classes)
    return np.asarray(counts < np.median(counts[counts > 0]))
