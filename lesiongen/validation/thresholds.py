"""Bounds and severities of the checks."""

from typing import Literal

from pydantic import Field

from lesiongen.config import StageConfig
from lesiongen.sample_sizes import MIN_GROUP_IMAGES, MIN_HELD_OUT_IMAGES, MIN_TEST_IMAGES

__all__ = ["Severity", "Thresholds"]

Severity = Literal["error", "warning", "info", "off"]


class Thresholds(StageConfig):
    """Bounds of the checks, and how severe it is when one is not kept."""

    min_train_per_class: int = Field(
        20, ge=0, description="Training images below which a class is too small for the generator to learn from."
    )
    min_test_per_class: int = Field(
        10, ge=0, description="Test lesions (not images) below which a class is too small to be judged."
    )
    min_train_per_group: int = Field(
        20, ge=0, description="Training images below which a subgroup of patients is too small to be learnt."
    )
    min_test_per_group: int = Field(
        MIN_GROUP_IMAGES,
        ge=0,
        description="Test images below which a subgroup is too small to be judged; as in the evaluation.",
    )
    min_test: int = Field(MIN_TEST_IMAGES, ge=0, description="Test images below which the evaluation refuses to begin.")
    min_held_out: int = Field(
        MIN_HELD_OUT_IMAGES,
        ge=0,
        description="Validation and test images below which the memorisation check is not calibrated.",
    )
    min_side: int = Field(32, ge=1, description="Shortest side, in pixels, below which an image is small.")
    min_contrast: float = Field(
        2.0, ge=0, description="Standard deviation of the grey values (0 to 255) below which an image is blank."
    )
    min_sharpness: float = Field(
        6.0, ge=0, description="Variance of the Laplacian at 128 pixels a side below which an image is blurred."
    )
    max_vignette_share: float = Field(
        0.2, ge=0, le=1, description="Share of the image, dark and joined to a corner, above which a vignette is named."
    )
    severities: dict[str, Severity] = Field(
        default_factory=dict, description="Another severity for a check, by its name; off leaves the check out."
    )
