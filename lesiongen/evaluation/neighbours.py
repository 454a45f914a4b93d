"""The training image nearest to each of other images, in a descriptor of whole images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.evaluation.pixel_files import batches, each
from lesiongen.imaging import nearest

__all__ = ["METHOD", "Neighbours", "Whitening", "nearest_training_images", "nearest_turned", "thumbnails"]

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


class Whitening:
    """Whitened principal components of the rows of a table.

    Plain correlation of thumbnails is high for any two lesions on pale skin and higher still when one is blurred;
    whitening weighs all directions of variation alike, so that only images that agree in detail come close.
    """

    def __init__(self, rows: NDArray[np.float32], components: int = COMPONENTS) -> None:
        self.mean = rows.mean(axis=0)
        _, scale, directions = np.linalg.svd(rows - self.mean, full_matrices=False)
        kept = max(2, min(components, len(rows) // ROWS_PER_COMPONENT))
        self.directions = directions[:kept].T / np.maximum(scale[:kept], 1e-6)

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the components [n, kept] of rows [n, d]."""
        return np.asarray((rows - self.mean) @ self.directions, dtype=np.float32)


def thumbnails(images: NDArray[np.uint8], box: tuple[float, float, float, float] | None = None) -> NDArray[np.float32]:
    """Returns the images, or what lies in a box of each, as rows of 16 x 16 pixels in three colours, in [0, 1]."""
    size, how = (THUMBNAIL, THUMBNAIL), Image.Resampling.BOX
    small = [np.asarray(Image.fromarray(image).resize(size, how, box)) for image in each(images)]
    return np.stack(small).reshape(len(small), -1).astype(np.float32) / 255.0


def nearest_training_images(train: NDArray[np.uint8], *queries: NDArray[np.uint8]) -> list[Neighbours]:
    """Finds the nearest training image of every query over the eight turns and mirrorings of the query.

    Args:
        train: [n, size, size, 3].
        queries: Sets of images [m, size, size, 3].
    """
    flat = thumbnails(train)
    whiten = Whitening(flat)
    references = whiten(flat)
    return [nearest_turned(lambda view: whiten(thumbnails(view)), references, images) for images in queries]


def nearest_turned(
    describe: Callable[[NDArray[Any]], NDArray[np.float32]], references: NDArray[np.float32], images: NDArray[Any]
) -> Neighbours:
    """Finds the reference nearest to each of the images [n, height, width, ...] in one of eight turns and mirrorings.

    Args:
        describe: Returns rows [n, d] of images.
        references: [m, d].
        images: May be in a file; `CHUNK` of them are described at a time.
    """
    turned = [np.rot90(side, turn, axes=(1, 2)) for side in (images, images[:, :, ::-1]) for turn in range(4)]
    found = [nearest(_described(describe, view), references) for view in turned]
    rows, similarity = (np.stack(part) for part in zip(*found, strict=True))
    best, every = similarity.argmax(axis=0), np.arange(len(images))
    return Neighbours(rows[best, every], similarity[best, every])


def _described(describe: Callable[[NDArray[Any]], NDArray[np.float32]], images: NDArray[Any]) -> NDArray[np.float32]:
    return np.concatenate([describe(batch) for batch in batches(images, CHUNK)])
