"""What a base model was trained on, shipped with it: ``seen.json``, and the fingerprints beside it."""

import re
from typing import Literal

from lesiongen.errors import DataError
from lesiongen.records.base import READING, Record

__all__ = ["FINGERPRINTS_NAME", "SEEN_NAME", "SeenImage", "SeenImages", "is_archive_id", "read_seen"]

SEEN_NAME = "seen.json"
FINGERPRINTS_NAME = "seen.safetensors"
"""A tensor ``fingerprints``, uint8 [images, 4384] (`lesiongen.imaging.Fingerprint`), in the order of ``seen.json``."""
_ARCHIVE_ID = re.compile(r"(ISIC|HAM|IL|IP)_\d+")


class SeenImage(Record):
    """One image that a model was trained on."""

    image_id: str = ""
    lesion_id: str | None = None
    patient_id: str | None = None
    source: str | None = None
    licence: str | None = None
    attribution: str | None = None
    pixels_sha256: str = ""
    """SHA-256 of the decoded image, see `lesiongen.imaging.content_digest`."""

    @property
    def archive_ids(self) -> frozenset[str]:
        """The ids of the image, its lesion and its patient that mean the same in every collection."""
        ids = (self.image_id, self.lesion_id, self.patient_id)
        return frozenset(each for each in ids if each is not None and is_archive_id(each))


class SeenImages(Record):
    """Content of ``seen.json``."""

    schema_version: Literal[1] = 1
    kind: Literal["seen"] = "seen"
    images: tuple[SeenImage, ...] = ()


def is_archive_id(value: object) -> bool:
    """Tells whether an id was given by the ISIC archive or by HAM10000, and so means the same in every collection.

    Ids of other collections are unique in theirs alone: an equal one elsewhere is chance.

    >>> is_archive_id("ISIC_0024306"), is_archive_id("HAM_0000118"), is_archive_id("patient 7"), is_archive_id(None)
    (True, True, False, False)
    """
    return isinstance(value, str) and _ARCHIVE_ID.fullmatch(value) is not None


def read_seen(content: bytes, name: str) -> SeenImages:
    """Reads ``seen.json``.

    Args:
        content: Its content.
        name: Its address, for errors.

    Raises:
        DataError: It is not a list of seen images.
    """
    try:
        return SeenImages.model_validate_json(content, context=READING)
    except ValueError as error:
        raise DataError(f"{name} is not a list of the images that a model has seen") from error
