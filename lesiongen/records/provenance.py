"""The ``provenance`` column of a dataset: where an image comes from."""

import json
from typing import Any, Final, Literal

from lesiongen.records.base import Record

__all__ = [
    "RECONSTRUCTION",
    "IngestedProvenance",
    "ReconstructedProvenance",
    "SyntheticProvenance",
    "is_generated",
    "is_synthetic",
    "reconstructed_side",
]

RECONSTRUCTION: Final = "reconstruction"


class IngestedProvenance(Record):
    """An image of a collection whose table says that it was altered, or shows nobody."""

    image_manipulation: str
    """The collection's own word; ``synthetic`` where no patient is in the image."""
    stage: Literal["ingest"] = "ingest"

    def text(self) -> str:
        """Returns the value of the column."""
        return json.dumps(self.model_dump(mode="json"))


class SyntheticProvenance(Record):
    """How an image was drawn."""

    image_manipulation: Literal["synthetic"] = "synthetic"  # the ISIC archive's marker
    model: str
    """Address of the generator."""
    model_version: str
    prompt: str
    negative_prompt: str
    seed: int
    index: int
    guidance_scale: float
    steps: int
    scheduler: str
    lora_scale: float
    precision: str

    def text(self) -> str:
        """Returns the value of the column."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def for_image(self) -> dict[str, Any]:
        """Returns what is written into the image itself, which may be handed on: all but an address of our own."""
        return self.model_dump(mode="json", exclude={"model"})


class ReconstructedProvenance(Record):
    """Which model's autoencoder an image has passed through. The patient of the original is still in it."""

    image_manipulation: Literal["reconstruction"] = RECONSTRUCTION
    model: str
    """Address of the generator that the autoencoder belongs to."""
    model_version: str
    image_size: int
    """Side in pixels at which it was encoded and decoded."""

    def text(self) -> str:
        """Returns the value of the column."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def for_image(self) -> dict[str, Any]:
        """Returns what is written into the image itself: all but an address of our own."""
        return self.model_dump(mode="json", exclude={"model"})


def is_synthetic(provenance: object) -> bool:
    """Tells whether a provenance says that no patient is in the image.

    Args:
        provenance: A value of the ``provenance`` column: JSON text, or a missing value (None or NaN).

    >>> is_synthetic('{"image_manipulation": "synthetic"}'), is_synthetic(None)
    (True, False)
    """
    return _manipulation(provenance) == "synthetic"


def is_generated(provenance: object) -> bool:
    """Tells whether a provenance says that a model has made the image: it is synthetic, or a reconstruction.

    Such an image cannot be tested on. A reconstruction shows a patient all the same: whether an image may be shown or
    handed on is for `is_synthetic` to say.

    Args:
        provenance: A value of the ``provenance`` column: JSON text, or a missing value (None or NaN).

    >>> provenance = '{"image_manipulation": "reconstruction"}'
    >>> is_generated(provenance), is_synthetic(provenance)
    (True, False)
    """
    return _manipulation(provenance) in ("synthetic", RECONSTRUCTION)


def reconstructed_side(provenance: object) -> int | None:
    """Returns the side in pixels at which an image passed through an autoencoder; None where none is stated.

    Args:
        provenance: A value of the ``provenance`` column: JSON text, or a missing value (None or NaN).

    >>> reconstructed_side('{"image_manipulation": "reconstruction", "image_size": 64}')
    64
    """
    content = _content(provenance)
    side = content.get("image_size")
    return side if content.get("image_manipulation") == RECONSTRUCTION and type(side) is int else None


def _manipulation(provenance: object) -> object:
    """Returns how a provenance says that the image was altered; None where it says nothing of it."""
    return _content(provenance).get("image_manipulation")


def _content(provenance: object) -> dict[str, Any]:
    """Returns what a provenance states; empty where it is not a JSON object."""
    if not isinstance(provenance, str):
        return {}
    try:
        content = json.loads(provenance)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
