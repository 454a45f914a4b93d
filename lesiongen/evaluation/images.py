"""The images of a dataset as small arrays, with their labels and their metadata."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xxhash
from numpy.typing import NDArray
from PIL import Image

from lesiongen.dataset import Dataset, Sample, groups
from lesiongen.dataset.subgroups import SUBGROUP_COLUMNS, subgroups_of
from lesiongen.errors import DataError
from lesiongen.evaluation.pixel_files import HELD, each, release, room, selected
from lesiongen.imaging import decode, square
from lesiongen.progress import progress

__all__ = ["LabelledImages", "class_names", "load_images", "pil_images", "small_image"]

COLUMNS = ("image_id", "diagnosis", "lesion_id", "patient_id", "case_id", *SUBGROUP_COLUMNS)


@dataclass(frozen=True)
class LabelledImages:
    """Square images with their class numbers and metadata.

    Attributes:
        images: [n, size, size, 3], bytes.
        labels: [n], the positions of the diagnoses in the list of classes.
        table: One row for each image: its ids, its diagnosis and its subgroups.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.images.shape[1])

    @cached_property
    def members(self) -> list[NDArray[np.int64]]:
        """The rows of each class that is present."""
        return [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]

    @cached_property
    def lesions(self) -> NDArray[np.int64]:
        """The number [n] of the lesion that each image shows; an image without a lesion_id is a lesion of its own."""
        return np.asarray(groups(self.table, ("lesion_id",)), dtype=np.int64)

    @cached_property
    def keys(self) -> list[bytes]:
        """A digest of the pixels of each image, 16 bytes: equal for equal images."""
        return [xxhash.xxh3_128_digest(np.ascontiguousarray(image).data) for image in each(self.images)]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "LabelledImages":
        """Returns some of the images, chosen by a mask or by row numbers."""
        return LabelledImages(
            selected(self.images, rows), self.labels[rows], self.table.loc[rows].reset_index(drop=True)
        )

    def count(self, classes: Sequence[str]) -> dict[str, int]:
        """Number of images of each class."""
        counted = np.bincount(self.labels, minlength=len(classes))
        return {name: int(number) for name, number in zip(classes, counted, strict=True)}


def class_names(datasets: Iterable[Dataset], known: Sequence[str]) -> tuple[str, ...]:
    """Returns the diagnoses of all datasets: those of `known` in that order, then others by name."""
    found = {name for dataset in datasets for name in dataset.manifest.classes}
    return tuple([name for name in known if name in found] + sorted(found - set(known)))


def load_images(
    dataset: Dataset,
    split: str | None,
    classes: Sequence[str],
    size: int,
    *,
    kind: str = "synthetic",
    file: Path | None = None,
    image_ids: Sequence[str] | None = None,
) -> LabelledImages:
    """Loads a split as squares of `size` pixels; only the small squares are held, size x size x 3 bytes an image.

    Args:
        dataset: Where the images are.
        split: Which split; None: all of the dataset.
        classes: The diagnoses, in the order of their numbers.
        size: Side in pixels.
        kind: What the progress calls images of all splits.
        file: Where the squares are kept, for sizes that would not fit into memory; None: in memory.
        image_ids: Which images, in the order in which they are returned; all have to be there. None: all, in their own
            order.

    Raises:
        DataError: An image of the dataset cannot be decoded.
    """
    total = dataset.manifest.splits.get(split, 0) if split else len(dataset)
    place_of = None if image_ids is None else {image_id: place for place, image_id in enumerate(image_ids)}
    count = total if place_of is None else len(place_of)
    images = room((count, size, size, 3), file)
    rows: dict[int, dict[str, object]] = {}
    with progress(f"Loading {split or kind} images", total=total, unit="images") as bar:
        for number, sample in enumerate(dataset.samples(split)):
            place = number if place_of is None else place_of.get(sample.image_id)
            if place is not None:
                images[place] = small_image(sample, dataset.uri, size)
                rows[place] = {name: getattr(sample, name) for name in COLUMNS}
            if number % HELD == HELD - 1:
                release(images)
            bar.advance()
    table = pd.DataFrame([rows[place] for place in range(count)], columns=list(COLUMNS))
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in table["diagnosis"]], dtype=np.int64)
    return LabelledImages(images, labels, table.assign(**subgroups_of(table)))


def small_image(sample: Sample, uri: str, size: int) -> NDArray[np.uint8]:
    """Returns the image of a sample as a square [size, size, 3].

    Raises:
        DataError: It cannot be decoded; the message names the dataset and the image.
    """
    try:
        return np.asarray(square(decode(sample.image), size), dtype=np.uint8)
    except DataError as error:
        hint = "Run lesiongen validate on the dataset; it lists the images that are damaged."
        raise DataError(f"{uri}: image {sample.image_id}: {error}", hint=hint) from error


def pil_images(images: NDArray[np.uint8]) -> list[Image.Image]:
    """Returns arrays [n, h, w, 3] as PIL images."""
    return [Image.fromarray(image) for image in images]
