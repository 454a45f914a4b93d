"""Descriptors that look for copies where a thumbnail of the whole image does not: in crops, and on other skin."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lesiongen.concepts.segmentation import segment
from lesiongen.evaluation.neighbours import Neighbours, Whitening, nearest_turned, thumbnails
from lesiongen.evaluation.pixel_files import batches, each

__all__ = ["LESION", "WINDOW", "LesionSearch", "WindowSearch"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
LESION = (
    "correlation of up to 128 whitened principal components of the segmented lesion, brought to one place and size, "
    "its colours standardised and the skin left out, best of eight turns and mirrorings"
)
WINDOW = (
    "correlation of up to 64 whitened principal components of 16-pixel thumbnails with standardised colours, of the "
    "image with 27 crops and the whole of each training image, best of eight turns and mirrorings"
)
LESION_COMPONENTS, WINDOW_COMPONENTS = 128, 64
SIDE = 24
"""Pixels a side of a lesion in its frame."""
SEGMENTED_SIDE = 128
"""Larger images are reduced to this before the lesion is looked for."""
KEPT_SIDES = (0.75, 0.85, 0.93)
"""Shares of the side of the crops of training images."""
PLACES = (0.0, 0.5, 1.0)
"""Where a crop begins along either axis, in parts of what is free."""
FLAT = np.array([4, 2, 2], dtype=np.float32) / np.float32(255)
"""What is added to the deviation of a colour, in parts of the range: what is flat is not stretched to the others'."""
COLOUR_WEIGHTS = np.array([1, 0.6, 0.6], dtype=np.float32)
"""Of brightness and two colour differences: JPEG files keep the colours less well."""
CHUNK = 1024


class LesionSearch:
    """Finds the training image whose lesion is most like that of an image, wherever it lies and on whatever skin.

    Args:
        train: [n, size, size, 3].
    """

    def __init__(self, train: Pixels) -> None:
        rows = _flat(np.concatenate([_lesions(batch) for batch in batches(train, CHUNK)]))
        self.whiten = Whitening(rows, LESION_COMPONENTS)
        self.references = self.whiten(rows)

    def __call__(self, images: Pixels) -> Neighbours:
        """Returns the nearest training image of each of the images [m, size, size, 3]."""
        found = [
            nearest_turned(lambda view: self.whiten(_flat(view)), self.references, _lesions(batch))
            for batch in batches(images, CHUNK)
        ]
        return _joined(found)


class WindowSearch:
    """Finds the training image of which an image is most like a crop.

    Args:
        train: [n, size, size, 3].
    """

    def __init__(self, train: Pixels) -> None:
        self.n_train = len(train)
        whole = _flat_colours(thumbnails(train))
        self.whiten = Whitening(whole, WINDOW_COMPONENTS)
        crops = [self._described(train, box) for box in _boxes(train.shape[1])]
        self.references = np.concatenate([self.whiten(whole), *crops])

    def __call__(self, images: Pixels) -> Neighbours:
        """Returns the nearest training image of each of the images [m, size, size, 3]."""
        found = nearest_turned(self._described, self.references, images)
        return Neighbours(found.rows % self.n_train, found.similarity)

    def _described(self, images: Pixels, box: tuple[float, float, float, float] | None = None) -> Floats:
        return self.whiten(_flat_colours(thumbnails(images, box)))


def _joined(found: list[Neighbours]) -> Neighbours:
    rows, similarity = ([getattr(each, name) for each in found] for name in ("rows", "similarity"))
    return Neighbours(np.concatenate(rows), np.concatenate(similarity))


def _flat(patches: Floats) -> Floats:
    return patches.reshape(len(patches), -1)


def _flat_colours(rows: Floats) -> Floats:
    """Standardises thumbnails that are rows of pixels in three colours."""
    pixels = rows.reshape(len(rows), -1, 3)
    return _flat(_standardised(pixels, np.ones(pixels.shape[:2], dtype=np.float32)))


def _boxes(size: int) -> list[tuple[float, float, float, float]]:
    """Returns the crops of an image of this side as (left, top, right, bottom)."""
    boxes = []
    for side in KEPT_SIDES:
        for down in PLACES:
            for across in PLACES:
                left, top = across * (1 - side) * size, down * (1 - side) * size
                boxes.append((left, top, left + side * size, top + side * size))
    return boxes


def _lesions(images: Pixels) -> Floats:
    """Returns the lesions in their frames, [n, 24, 24, 3], nought where there is skin."""
    patches, weights = zip(*map(_lesion, each(images)), strict=True)
    shape = (len(images), SIDE * SIDE)
    standard = _standardised(np.stack(patches).reshape(*shape, 3), np.stack(weights).reshape(shape))
    return standard.reshape(len(images), SIDE, SIDE, 3)


def _lesion(image: Pixels) -> tuple[Floats, Floats]:
    """Returns the square around the lesion's centre with twice its mean radius, and how much each pixel is lesion.

    Where no lesion is found the whole image takes its place.
    """
    small = Image.fromarray(image)
    if len(image) > SEGMENTED_SIDE:
        small = small.resize((SEGMENTED_SIDE, SEGMENTED_SIDE), Image.Resampling.BOX)
    mask = segment(small).lesion
    if not mask.any():
        mask = np.ones_like(mask)
    radius = float(np.sqrt(mask.sum() / np.pi))
    offsets = radius * ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1)
    centre = [place.mean() for place in np.nonzero(mask)]
    places = np.stack(np.meshgrid(*(middle + offsets for middle in centre), indexing="ij"))
    blur = max(0.0, (2 * radius / SIDE - 1) / 2)  # what is sampled more coarsely is smoothed before
    smooth = ndimage.gaussian_filter(np.asarray(small, dtype=np.float32) / 255, (blur, blur, 0))
    planes = [ndimage.map_coordinates(smooth[..., k], places, order=1, mode="nearest") for k in range(3)]
    return np.stack(planes, axis=-1), ndimage.map_coordinates(mask.astype(np.float32), places, order=1)


def _standardised(pixels: Floats, weights: Floats) -> Floats:
    """Brings brightness and two colour differences of pixels [n, p, 3] to mean 0 and deviation 1 under the weights."""
    bright = pixels.mean(axis=2, keepdims=True)
    planes = np.concatenate([bright, pixels[..., :1] - bright, pixels[..., 2:] - bright], axis=2)
    shares = (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-6))[..., None]
    centred = planes - (planes * shares).sum(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2 * shares).sum(axis=1, keepdims=True))
    return np.asarray(centred * weights[..., None] / (deviation + FLAT) * COLOUR_WEIGHTS, dtype=np.float32)
