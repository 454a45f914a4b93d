"""The ``provenance`` column of a dataset: where an image comes from."""

import json
from typing import Any, Literal

from lesiongen.records.base import Record

__all__ = ["IngestedProvenance", "SyntheticProvenance", "is_synthetic"]


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


def is_synthetic(provenance: object) -> bool:
    """Tells whether a provenance says that no patient is in the image.

    Args:
        provenance: A value of the ``provenance`` column: JSON text, or a missing value (None or NaN).

    >>> is_synthetic('{"image_manipulation": "synthetic"}'), is_synthetic(None)
    (True, False)
    """
    if not isinstance(provenance, str):
        return False
    try:
        content = json.loads(provenance)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("image_manipulation") == "synthetic"
