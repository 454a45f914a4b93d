"""Which stored images have the very same pixels, with hardly any of them decoded for it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset.reader import Dataset
from lesiongen.imaging import decode
from lesiongen.imaging.encoding import pixel_hash
from lesiongen.progress import progress

__all__ = ["pixel_hashes"]

_LOOK = ["look", "width", "height"]


def pixel_hashes(seen: pd.DataFrame, datasets: Sequence[Dataset]) -> NDArray[np.object_]:
    """Returns a hash for each image, which is equal for images with the same pixels, within one run.

    Equal files hold equal pixels. Of different files only those of one size that look alike are read again and decoded.

    Args:
        seen: A row for each image: ``dataset``, its number in ``datasets``; ``image_id``; ``file_hash``, ``width`` and
            ``height``, see `lesiongen.imaging.examination.Examinations`; and ``look``, the number of its group of
            near-duplicates, missing where it has none.
        datasets: Where they are.

    Returns:
        A hash for each row, None for a row without ``file_hash``.
    """
    seen = seen.reset_index(drop=True)
    hashes: NDArray[np.object_] = seen["file_hash"].to_numpy(dtype=object, copy=True)
    shown = seen[seen[_LOOK].notna().all(axis=1)]
    files = shown.groupby(_LOOK)["file_hash"].transform("nunique")
    doubtful = shown[files > 1]
    if doubtful.empty:
        return hashes
    with progress("Comparing what looks alike", total=len(doubtful), unit="images") as bar:
        for number, rows in doubtful.groupby("dataset"):
            place_of = dict(zip(rows["image_id"], rows.index, strict=True))
            for sample in datasets[number].select(place_of):
                hashes[place_of[sample.image_id]] = pixel_hash(decode(sample.image))
                bar.advance()
    return hashes
