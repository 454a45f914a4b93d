"""What a dataset must satisfy, and how severe it is when it does not."""

from difflib import get_close_matches
from typing import Any

from pydantic import Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from lesiongen.validation.named_checks import ALL_CHECKS, CHECK_NAMES
from lesiongen.validation.thresholds import Severity, Thresholds

__all__ = ["ValidateConfig", "default_checks"]


class ValidateConfig(Thresholds):
    """Configuration of `lesiongen.validate`, and the content of a checks file."""

    allow_real_images: bool = Field(True, description="Whether the report may show images of real patients.")

    @model_validator(mode="before")
    @classmethod
    def _fields_are_known(cls, values: Any) -> Any:
        unknown = [name for name in values if name not in cls.model_fields] if isinstance(values, dict) else []
        if unknown:
            raise ValueError(
                f"unknown field {unknown[0]} of a checks file{nearest(str(unknown[0]), list(cls.model_fields))}"
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
        for name in value:
            if name not in CHECK_NAMES:
                hint = nearest(name, CHECK_NAMES) or f"; checks are {', '.join(CHECK_NAMES)}"
                raise ValueError(f"unknown check {name!r}{hint}")
        return value


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Returns ``; did you mean …?`` with the nearest known spelling, or an empty text."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def default_checks() -> str:
    """Returns the defaults as a commented YAML file, to be changed and given back as ``--checks``."""
    lines = [
        "# The defaults. What a file leaves out keeps its default: it need only hold what it changes.",
        "",
    ]
    for name, field in ValidateConfig.model_fields.items():
        if name != "severities":
            lines += [f"# {field.description}", f"{name}: {_yaml(field)}"]
    lines += ["", "# error stops the pipeline; warning and info are reported; off leaves the check out.", "severities:"]
    for check in ALL_CHECKS:
        lines += [f"  # {check.finds}", f"  {check.name}: {check.severity}"]
    return "\n".join(lines) + "\n"


def _yaml(field: FieldInfo) -> str:
    return str(field.default).lower()
