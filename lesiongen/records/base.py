"""What all records share: they are frozen, have defaults, and are read leniently where a number is not usable."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, field_validator

__all__ = ["Count", "Number", "Record"]

_LENIENT = {"lenient": True}


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    number = _finite(value)
    return int(number) if number is not None and number.is_integer() else None


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A finite number; what is not one (NaN, infinity, a text) is None."""
Count = Annotated[int | None, BeforeValidator(_whole)]
"""A whole number; what is not one is None."""


class Record(BaseModel):
    """A part of a document that one stage writes and another reads.

    Every field has a default, which stands for what a document does not hold: a document of an earlier release, or one
    that was changed by hand. Who reads it decides what that means; a release is held. Fields that a later release has
    added are passed over.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    @field_validator("*", mode="wrap")
    @classmethod
    def _unusable_is_missing(cls, value: Any, validate: Callable[[Any], Any], info: ValidationInfo) -> Any:
        """Takes the default in place of a value of another shape where a document is read; a writer's is refused."""
        try:
            return validate(value)
        except ValidationError:
            if info.context != _LENIENT or info.field_name is None:
                raise
            return cls.model_fields[info.field_name].get_default(call_default_factory=True)

    def changed(self, **values: Any) -> Self:
        """Returns the record with other values in some fields, validated."""
        return type(self)(**{**dict(self), **values})

    @classmethod
    def read(cls, content: object) -> Self:
        """Reads a document that was parsed from JSON; what is not usable is missing from the record."""
        return cls.model_validate(content if isinstance(content, dict) else {}, context=_LENIENT)
