"""What a dataset must satisfy, and how severe it is when it does not."""

from typing import Any, Literal

from pydantic import Field, field_validator

from lesiongen.config import StageConfig

__all__ = ["Severity", "ValidateConfig"]

Severity = Literal["error", "warning", "info", "off"]


class ValidateConfig(StageConfig):
    """Configuration of `lesiongen.validation.validate`, and the content of a policy file.

    Attributes:
        min_train_per_class: Training images below which a class is said to be too small to learn from.
        min_test_per_class: Test lesions below which a class is said to be too small to be judged.
        min_side: Shortest side, in pixels, below which an image is said to be small.
        min_contrast: Standard deviation of the grey values (0 to 255) below which an image counts as blank.
        severities: Another severity for a check, by its name; ``off`` leaves it out.
        allow_real_images: Whether the report may show images of real patients.
    """

    min_train_per_class: int = Field(default=20, ge=0)
    min_test_per_class: int = Field(default=10, ge=0)
    min_side: int = Field(default=32, ge=1)
    min_contrast: float = Field(default=2.0, ge=0)
    severities: dict[str, Severity] = Field(default_factory=dict)
    allow_real_images: bool = True

    @field_validator("severities", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        """YAML reads a bare ``off`` as false."""
        if not isinstance(value, dict):
            return value
        return {name: "off" if severity is False else severity for name, severity in value.items()}

    @field_validator("severities")
    @classmethod
    def _names_are_checks(cls, value: dict[str, Severity]) -> dict[str, Severity]:
        from lesiongen.validation.checks import CHECK_NAMES

        if unknown := sorted(set(value) - set(CHECK_NAMES)):
            raise ValueError(f"{unknown[0]!r} is no check; checks are {', '.join(CHECK_NAMES)}")
        return value
