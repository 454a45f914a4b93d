"""Near copies of training images among the synthetic ones, by a threshold that real images have set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.imaging import nearest
from lesiongen.records.evaluation import Memorisation, NearestPair
from lesiongen.sample_sizes import MIN_HELD_OUT_IMAGES

__all__ = ["Neighbours", "copy_threshold", "find_copies", "nearest_pairs", "nearest_training_images"]

THUMBNAIL = 16
COMPONENTS = 64
ROWS_PER_COMPONENT = 4
SHOWN = 12


@dataclass(frozen=True)
class Neighbours:
    """The nearest training image of each query: its row, and the similarity in [-1, 1]."""

    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]


class _Descriptor:
    """Whitened principal components of 16-pixel colour thumbnails.

    Plain correlation of thumbnails is high for any two lesions on pale skin and higher still when one is blurred;
    whitening weighs all directions of variation alike, so that only images that agree in detail come close.
    """

    def __init__(self, train: NDArray[np.uint8]) -> None:
        flat = _thumbnails(train)
        self.mean = flat.mean(axis=0)
        _, scale, directions = np.linalg.svd(flat - self.mean, full_matrices=False)
        kept = max(2, min(COMPONENTS, len(train) // ROWS_PER_COMPONENT))
        self.directions = directions[:kept].T / np.maximum(scale[:kept], 1e-6)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray((_thumbnails(images) - self.mean) @ self.directions, dtype=np.float32)


def _thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    size = (THUMBNAIL, THUMBNAIL)
    small = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images]
    return np.stack(small).reshape(len(small), -1).astype(np.float32) / 255.0


def nearest_training_images(train: NDArray[np.uint8], *queries: NDArray[np.uint8]) -> list[Neighbours]:
    """Finds the nearest training image of every query over the eight turns and mirrorings of the query.

    Args:
        train: [n, size, size, 3].
        queries: Sets of images [m, size, size, 3].
    """
    describe = _Descriptor(train)
    references = describe(train)
    return [_nearest_turned(describe, references, images) for images in queries]


def _nearest_turned(describe: _Descriptor, references: NDArray[np.float32], images: NDArray[np.uint8]) -> Neighbours:
    turned = [np.rot90(side, turn, axes=(1, 2)) for side in (images, images[:, :, ::-1]) for turn in range(4)]
    found = [nearest(describe(view), references) for view in turned]
    rows, similarity = (np.stack(part) for part in zip(*found, strict=True))
    best, each = similarity.argmax(axis=0), np.arange(len(images))
    return Neighbours(rows[best, each], similarity[best, each])


def copy_threshold(held_out: Neighbours, percentile: float) -> float:
    """Returns the similarity that a percentile of the held-out real images stays below."""
    return float(np.percentile(held_out.similarity, percentile))


def find_copies(
    synthetic: Neighbours,
    held_out: Neighbours,
    ids: tuple[list[str], list[str]],
    percentile: float,
) -> Memorisation:
    """Marks the synthetic images that are nearer to a training image than held-out real images are.

    Held-out images share no lesion with the training images (the split sees to it), so their similarities show what
    is met by chance.

    Args:
        synthetic: Neighbours of the synthetic images.
        held_out: Neighbours of the held-out real images.
        ids: Image ids of the synthetic and of the training images.
        percentile: The threshold is this percentile of the held-out similarities.
    """
    threshold = copy_threshold(held_out, percentile)
    above = synthetic.similarity > threshold
    pairs = nearest_pairs(synthetic, ids, threshold)
    order = np.argsort(-synthetic.similarity, kind="stable")[:SHOWN]
    return Memorisation(
        method=(
            f"correlation of up to {COMPONENTS} whitened principal components of {THUMBNAIL}-pixel colour "
            "thumbnails, best of eight turns and mirrorings"
        ),
        threshold=threshold,
        percentile=percentile,
        expected_share=1 - percentile / 100,
        share_above=float(above.mean()),
        n_above=int(above.sum()),
        n_synthetic=len(above),
        n_held_out=len(held_out.similarity),
        calibrated=len(held_out.similarity) >= MIN_HELD_OUT_IMAGES,
        synthetic_quantiles=_quantiles(synthetic.similarity),
        held_out_quantiles=_quantiles(held_out.similarity),
        nearest_pairs=tuple(pairs[k] for k in order.tolist()),
    )


def nearest_pairs(synthetic: Neighbours, ids: tuple[list[str], list[str]], threshold: float) -> list[NearestPair]:
    """Names the nearest training image of every synthetic image, and whether it is nearer than the threshold.

    Args:
        synthetic: Neighbours of the synthetic images.
        ids: Image ids of the synthetic and of the training images.
        threshold: Similarity above which a synthetic image counts as a near copy.

    Returns:
        One pair for each synthetic image, in their order.
    """
    found = zip(ids[0], synthetic.rows.tolist(), synthetic.similarity.tolist(), strict=True)
    return [
        NearestPair(synthetic=name, train=ids[1][row], similarity=similarity, above=similarity > threshold)
        for name, row, similarity in found
    ]


def _quantiles(values: NDArray[np.float32]) -> dict[str, float | None]:
    return {f"p{q}": float(np.percentile(values, q)) for q in (5, 50, 95, 99)}
