"""What a dataset must satisfy, and how severe it is when it does not."""

from difflib import get_close_matches
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from lesiongen.config import StageConfig
from lesiongen.sample_sizes import MIN_GROUP_IMAGES, MIN_HELD_OUT_IMAGES, MIN_TEST_IMAGES

__all__ = ["Severity", "ValidateConfig"]

Severity = Literal["error", "warning", "info", "off"]


class ValidateConfig(StageConfig):
    """Configuration of `lesiongen.validate`, and the content of a policy file."""

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
    allow_real_images: bool = Field(True, description="Whether the report may show images of real patients.")

    @model_validator(mode="before")
    @classmethod
    def _fields_are_known(cls, values: Any) -> Any:
        unknown = [name for name in values if name not in cls.model_fields] if isinstance(values, dict) else []
        if unknown:
            raise ValueError(
                f"unknown field {unknown[0]!r} of a policy{nearest(str(unknown[0]), list(cls.model_fields))}"
            )
        return values

    @field_validator("severities", mode="before")
    @classmethod
    def _names_are_joined_and_off_is_a_word(cls, value: Any) -> Any:
        """``--set`` parts a name such as ``ham10000.age`` at its dot; YAML reads a bare ``off`` as false."""
        if not isinstance(value, dict):
            return value
        joined: dict[Any, Any] = {}
        for name, severity in value.items():
            parts = {f"{name}.{part}": own for part, own in severity.items()} if isinstance(severity, dict) else {}
            joined |= parts or {name: severity}
        return {name: "off" if severity is False else severity for name, severity in joined.items()}

    @field_validator("severities")
    @classmethod
    def _names_are_checks(cls, value: dict[str, Severity]) -> dict[str, Severity]:
        from lesiongen.validation.policy import CHECK_NAMES

        for name in value:
            if name not in CHECK_NAMES:
                hint = nearest(name, CHECK_NAMES) or f"; checks are {', '.join(CHECK_NAMES)}"
                raise ValueError(f"unknown check {name!r}{hint}")
        return value


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Returns ``; did you mean …?`` with the nearest known spelling, or an empty text."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
