"""Everything that is looked up in an image file, at one decoding."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from lesiongen.imaging.decoding import Decoded, ImageError, decode_small
from lesiongen.imaging.fingerprints import Fingerprint, FingerprintFile, fingerprint, luminance, pack
from lesiongen.imaging.private_metadata import private_metadata
from lesiongen.imaging.quality import contrast, sharpness, vignette_share

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXAMINED", "MEASURES", "NUMBERS", "WORDS", "Examinations", "ExaminationLog", "examine_all"]

MEASURES = 1
"""Version of what is looked up and of how it is measured: where it changes, what was kept is looked up again."""
WORDS = ("decode_problem", "file_format", "mode", "orientation_pending", "private_metadata", "file_hash")
_OF_IMAGE = ("width", "height", "sharpness")
_OF_LIGHT = ("contrast", "vignette_share")
NUMBERS = (*_OF_IMAGE, *_OF_LIGHT)
EXAMINED = (*WORDS, *NUMBERS)
"""Names of what is looked up."""
_NOTHING = {name: None for name in WORDS[1:]} | {"width": np.nan, "height": np.nan}
"""What is known of a file that cannot be decoded, beside why."""


@dataclass(frozen=True, slots=True)
class Examinations:
    """What image files are and what their images look like, in columns.

    Attributes:
        columns: An array [files] for each name of `EXAMINED`, with None or NaN for what an unusable file has not:

            - ``decode_problem``: why it cannot be decoded.
            - ``file_format``: ``JPEG``, ``PNG``, ...
            - ``mode``: colour mode as stored, ``RGB`` in a dataset.
            - ``orientation_pending``: the EXIF orientation that readers without EXIF would not apply (2 to 8).
            - ``private_metadata``: what it carries that could identify a person.
            - ``file_hash``: 128-bit XXH3 of the file; equal for equal files.
            - ``width``, ``height``: pixels, upright.
            - ``sharpness``: see `lesiongen.imaging.quality.sharpness`.
            - ``contrast``: standard deviation of the grey values (0 to 255) of the fingerprint.
            - ``vignette_share``: share of the image that is dark and joined to a corner.
        fingerprints: Of the files that decode, packed, uint8 [decoded, 4384]; by them near-duplicates are found.
    """

    columns: dict[str, NDArray[Any]]
    fingerprints: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.columns["file_hash"])

    def of_decoded(self) -> "Examinations":
        """Returns those of the files that decode."""
        decoded = _are_none(self.columns["decode_problem"])
        return Examinations({name: values[decoded] for name, values in self.columns.items()}, self.fingerprints)


class ExaminationLog:
    """What was looked up in the images of a collection, in their order; the fingerprints lie in a file.

    Attributes:
        prints: Fingerprints of the files that decode.
    """

    def __init__(self) -> None:
        self.prints = FingerprintFile()
        self._parts = [examine_all([]).columns]

    def extend(self, found: Examinations) -> None:
        """Adds what was looked up in further images."""
        self.prints.extend(found.fingerprints)
        self._parts.append(found.columns)

    def table(self) -> "pd.DataFrame":
        """Returns a row for each image, with the columns of `EXAMINED`."""
        import pandas as pd  # the processes that examine start faster without it

        return pd.DataFrame({name: np.concatenate([part[name] for part in self._parts]) for name in EXAMINED})


_Found = dict[str, list[Any]]
_PHASE = 16


def examine_all(files: Iterable[bytes], plain: Iterable[bool] = repeat(False)) -> Examinations:
    """Decodes image files fully and examines them; a file that cannot be used is a result, not an exception.

    Args:
        files: The files.
        plain: Which of them are known to hold image data alone (`stripped` leaves them as they are): what else they
            could carry is not looked for again.
    """
    found: _Found = {name: [] for name in (*WORDS, *_OF_IMAGE)}
    prints: list[Fingerprint] = []
    left = zip(files, plain, strict=False)
    while some := list(islice(left, _PHASE)):
        prints += _examine(some, found)
    packed = pack(prints)
    columns: dict[str, NDArray[Any]] = {
        name: np.array(values, dtype=object if name in WORDS else np.float64) for name, values in found.items()
    }
    decoded = _are_none(columns["decode_problem"])
    light = luminance(packed)
    for name, measure in zip(_OF_LIGHT, (contrast, vignette_share), strict=True):
        columns[name] = np.full(len(decoded), np.nan)
        columns[name][decoded] = measure(light)
    return Examinations(columns, packed)


def _are_none(values: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.array([value is None for value in values], dtype=np.bool_)


def _examine(files: list[tuple[bytes, bool]], found: _Found) -> list[Fingerprint]:
    """Examines a few files, adds to each column what was found, and returns the fingerprints of those that decode.

    What is looked up is looked up in all of them before the next: a tenth faster than file by file, since the
    processor keeps its instructions.
    """
    images = [_decoded(data) for data, _ in files]
    for (data, is_plain), image in zip(files, images, strict=True):
        if isinstance(image, ImageError):
            row = {"decode_problem": str(image), **_NOTHING}
        else:
            row = {
                "decode_problem": None,
                "file_format": image.file_format,
                "mode": image.mode,
                "orientation_pending": str(image.orientation) if image.orientation > 1 else None,
                "private_metadata": None if is_plain else ", ".join(private_metadata(data)) or None,
                "file_hash": xxhash.xxh3_128_hexdigest(data),
                "width": image.width,
                "height": image.height,
            }
        for name, value in row.items():
            found[name].append(value)
    found["sharpness"] += [sharpness(one.image) if isinstance(one, Decoded) else np.nan for one in images]
    return [fingerprint(one.image) for one in images if isinstance(one, Decoded)]


def _decoded(data: bytes) -> Decoded | ImageError:
    try:
        return decode_small(data)
    except ImageError as error:
        return error
