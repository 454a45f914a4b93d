"""The training image nearest to each of other images, in a descriptor of whole images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.evaluation.pixel_files import each
from lesiongen.imaging import nearest

__all__ = ["METHOD", "Neighbours", "nearest_training_images"]

THUMBNAIL = 16
COMPONENTS = 64
ROWS_PER_COMPONENT = 4
CHUNK = 4096
"""Images whose thumbnails are held at a time."""
METHOD = (
    f"correlation of up to {COMPONENTS} whitened principal components of {THUMBNAIL}-pixel colour thumbnails, best of "
    "eight turns and mirrorings"
)
"""How similarity is measured, in words."""


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
        found = np.empty((len(images), self.directions.shape[1]), dtype=np.float32)
        for start in range(0, len(images), CHUNK):
            part = slice(start, start + CHUNK)
            found[part] = (_thumbnails(images[part]) - self.mean) @ self.directions
        return found


def _thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    size = (THUMBNAIL, THUMBNAIL)
    small = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in each(images)]
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
