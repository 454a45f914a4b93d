"""Everything that is looked up in an image file, at one decoding."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesiongen.imaging.decoding import ImageError, decode_file
from lesiongen.imaging.encoding import pixel_hash
from lesiongen.imaging.fingerprints import Fingerprint, fingerprint, luminance, pack
from lesiongen.imaging.preprocessing import reduced
from lesiongen.imaging.private_metadata import private_metadata
from lesiongen.imaging.quality import SHARPNESS_SIDE, contrast, sharpness, vignette_share

__all__ = ["EXAMINED", "Examinations", "examine_all"]

_WORDS = ("decode_problem", "file_format", "mode", "orientation_pending", "private_metadata", "digest")
_NUMBERS = ("width", "height", "sharpness")
_OF_LIGHT = ("contrast", "vignette_share")
EXAMINED = (*_WORDS, *_NUMBERS, *_OF_LIGHT)
"""Names of what is looked up."""


@dataclass(frozen=True, slots=True)
class Examinations:
    """What image files are and what their pictures look like, in columns.

    Attributes:
        columns: An array [files] for each name of `EXAMINED`, with None or NaN for what an unusable file has not:

            - ``decode_problem``: why it cannot be decoded.
            - ``file_format``: ``JPEG``, ``PNG``, ...
            - ``mode``: colour mode as stored, ``RGB`` in a dataset.
            - ``orientation_pending``: the EXIF orientation that readers without EXIF would not apply (2 to 8).
            - ``private_metadata``: what it carries that could identify a person.
            - ``digest``: hash of size and pixels; equal for equal pictures.
            - ``width``, ``height``: pixels, upright.
            - ``sharpness``: see `lesiongen.imaging.quality.sharpness`.
            - ``contrast``: standard deviation of the grey values (0 to 255) of the fingerprint.
            - ``vignette_share``: share of the picture that is dark and joined to a corner.
        fingerprints: Of the files that decode, packed, uint8 [decoded, 1312]; by them near-duplicates are found.
    """

    columns: dict[str, NDArray[Any]]
    fingerprints: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.columns["digest"])


class _Seen(NamedTuple):
    """What is looked up in one file by itself."""

    decode_problem: str | None = None
    file_format: str | None = None
    mode: str | None = None
    orientation_pending: str | None = None
    private_metadata: str | None = None
    digest: str | None = None
    width: float = np.nan
    height: float = np.nan
    sharpness: float = np.nan
    fingerprint: Fingerprint | None = None


def examine_all(files: Iterable[bytes]) -> Examinations:
    """Decodes image files fully and examines them; a file that cannot be used is a result, not an exception."""
    seen = [_examine(data) for data in files]
    packed = pack([one.fingerprint for one in seen if one.fingerprint])
    columns: dict[str, NDArray[Any]] = {
        name: np.array([getattr(one, name) for one in seen], dtype=object if name in _WORDS else np.float64)
        for name in (*_WORDS, *_NUMBERS)
    }
    decoded = np.array([one.fingerprint is not None for one in seen], dtype=np.bool_)
    light = luminance(packed)
    for name, measure in zip(_OF_LIGHT, (contrast, vignette_share), strict=True):
        columns[name] = np.full(len(seen), np.nan)
        columns[name][decoded] = measure(light)
    return Examinations(columns, packed)


def _examine(data: bytes) -> _Seen:
    try:
        decoded = decode_file(data)
    except ImageError as error:
        return _Seen(decode_problem=str(error))
    image = decoded.image
    # Sharpness and the fingerprint need no more than this.
    smaller = reduced(image, SHARPNESS_SIDE)
    return _Seen(
        file_format=decoded.file_format,
        mode=decoded.mode,
        orientation_pending=str(decoded.orientation) if decoded.orientation > 1 else None,
        private_metadata=", ".join(private_metadata(data)) or None,
        digest=pixel_hash(image),
        width=image.width,
        height=image.height,
        sharpness=sharpness(smaller),
        fingerprint=fingerprint(smaller),
    )
