"""Configuration of the drift of a dataset."""

from typing import Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from lesiongen.config import StageConfig
from lesiongen.names import Name

__all__ = ["DriftConfig", "Property"]

Property = Literal[
    "diagnosis",
    "sex",
    "age_band",
    "site",
    "skin_tone",
    "measured_tone",
    "image_type",
    "device",
    "brightness",
    "contrast",
    "redness",
    "sharpness",
]
"""What is compared: the recorded columns and the subgroups, and what is measured from the pixels."""


class DriftConfig(StageConfig):
    """What is compared between a reference and a dataset, and from which distance on that is a drift.

    Attributes:
        name: Name shown on the report.
        properties: What is compared. What one of the two datasets does not record, or for fewer than ``min_images``, is
            named and not compared.
        threshold: Distance from which on a property counts as drifted: standard deviations of the reference (numbers)
            or a Jensen-Shannon distance (categories); 0.1 is evidently's own for both.
        chance_percentile: A property counts only if its distance is also above this percentile of the distances
            between random parts of both datasets: of few images, 0.1 is chance.
        n_permutations: Random parts that are compared.
        max_drifted_share: The dataset fails when a larger share of the properties has drifted.
        max_distances: Distances above which a single property fails the dataset, whatever the others are. One that
            cannot be compared fails it too.
        image_size: Side in pixels at which images are measured.
        min_images: Fewer real images than this, in either dataset, are not compared; nor is a property that is known
            of fewer. Of few values chance alone makes distances far above the threshold: the property could hardly
            drift, and would lower the share of those that have.
        seed: Seed of the random parts.
    """

    name: Name = "drift"
    properties: tuple[Property, ...] = Field(get_args(Property), min_length=1)
    threshold: float = Field(0.1, gt=0)
    chance_percentile: float = Field(99.0, gt=50, lt=100)
    n_permutations: int = Field(200, ge=100)
    max_drifted_share: float = Field(0.25, ge=0, lt=1)
    max_distances: dict[Property, float] = {}
    image_size: int = Field(64, ge=32, le=512)
    min_images: int = Field(50, ge=2)
    seed: int = Field(0, ge=0)

    @field_validator("max_distances")
    @classmethod
    def _compared_and_positive(cls, limits: dict[Property, float], info: ValidationInfo) -> dict[Property, float]:
        for name, limit in limits.items():
            if limit <= 0:
                raise ValueError(f"the distance of {name} must be greater than 0")
            if name not in info.data.get("properties", limits):
                raise ValueError(f"{name} has a limit and is missing in properties")
        return limits
