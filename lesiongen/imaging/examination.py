"""Everything that is looked up in an image file, at one decoding."""

from collections.abc import Sequence
from dataclasses import dataclass

from lesiongen.imaging.decoding import ImageError, decode_file
from lesiongen.imaging.encoding import pixel_hash
from lesiongen.imaging.fingerprints import Fingerprint, fingerprint, luminance, pack
from lesiongen.imaging.preprocessing import reduced
from lesiongen.imaging.private_metadata import private_metadata
from lesiongen.imaging.quality import SHARPNESS_SIDE, contrast, sharpness, vignette_share

__all__ = ["Examination", "examine", "examine_all"]


@dataclass(frozen=True, slots=True)
class Examination:
    """What an image file is and what its picture looks like; None stands for what an unusable file has not.

    Attributes:
        decode_problem: Why it cannot be decoded.
        file_format: ``JPEG``, ``PNG``, ...
        mode: Colour mode as stored, ``RGB`` in a dataset.
        width: Pixels, upright.
        height: Pixels, upright.
        orientation_pending: The EXIF orientation that readers without EXIF would not apply (2 to 8).
        private_metadata: What it carries that could identify a person.
        contrast: Standard deviation of the grey values (0 to 255) of the fingerprint.
        sharpness: See `lesiongen.imaging.quality.sharpness`.
        vignette_share: Share of the picture that is dark and joined to a corner.
        digest: Hash of size and pixels; equal for equal pictures.
        fingerprint: By which near-duplicates are found.
    """

    decode_problem: str | None = None
    file_format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None
    orientation_pending: str | None = None
    private_metadata: str | None = None
    contrast: float | None = None
    sharpness: float | None = None
    vignette_share: float | None = None
    digest: str | None = None
    fingerprint: Fingerprint | None = None


def examine(data: bytes) -> Examination:
    """Decodes an image file fully and examines it; a file that cannot be used is a result, not an exception."""
    try:
        decoded = decode_file(data)
    except ImageError as error:
        return Examination(decode_problem=str(error))
    image = decoded.image
    # Sharpness and the fingerprint need no more than this.
    smaller = reduced(image, SHARPNESS_SIDE)
    found = fingerprint(smaller)
    light = luminance(pack([found]))[0]
    return Examination(
        file_format=decoded.file_format,
        mode=decoded.mode,
        width=image.width,
        height=image.height,
        orientation_pending=str(decoded.orientation) if decoded.orientation > 1 else None,
        private_metadata=", ".join(private_metadata(data)) or None,
        contrast=contrast(light),
        sharpness=sharpness(smaller),
        vignette_share=vignette_share(light),
        digest=pixel_hash(image),
        fingerprint=found,
    )


def examine_all(files: Sequence[bytes]) -> list[Examination]:
    """Examines several image files, in order; what processes are given to do."""
    return [examine(data) for data in files]
