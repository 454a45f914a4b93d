"""What all records share: they are frozen, a writer's mistake is refused, and a document is read for what it holds."""

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

__all__ = ["LENIENT", "READING", "Count", "Number", "Record", "added"]

READING = {"reading": True}
"""The context of validation in which a document is read: fields that a later release has added are passed over."""
LENIENT = READING | {"lenient": True}
"""In which also what is not usable is missing."""


def _is(info: ValidationInfo, what: str) -> bool:
    return isinstance(info.context, Mapping) and what in info.context


def _finite(value: object, info: ValidationInfo) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real | None):
        if _is(info, "lenient"):
            return None
        raise ValueError("must be a number")
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def _whole(value: object, info: ValidationInfo) -> int | None:
    number = _finite(value, info)
    if number is None or (number.is_integer() and number >= 0):
        return None if number is None else int(number)
    if _is(info, "lenient"):
        return None
    raise ValueError("must be a whole number, 0 or more")


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A finite number; NaN and infinity are None."""
Count = Annotated[int | None, BeforeValidator(_whole)]
"""A whole number, 0 or more; NaN is None."""


class Record(BaseModel):
    """A part of a document that one stage writes and another reads.

    Who makes a record gives each field a usable value. Who reads a document (`read`) finds the default in place of what
    it does not hold or what is not usable: one of an earlier release, or one that was changed by hand.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _later_fields_are_passed_over(cls, content: Any, info: ValidationInfo) -> Any:
        if _is(info, "reading") and isinstance(content, Mapping) and cls.model_config.get("extra") == "forbid":
            return {name: value for name, value in content.items() if name in cls.model_fields}
        return content

    @field_validator("*", mode="wrap")
    @classmethod
    def _unusable_is_missing(cls, value: Any, validate: Callable[[Any], Any], info: ValidationInfo) -> Any:
        try:
            return validate(value)
        except ValidationError:
            field = cls.model_fields[str(info.field_name)]
            if not _is(info, "lenient") or field.is_required():
                raise
            return field.get_default(call_default_factory=True)

    def changed(self, **values: Any) -> Self:
        """Returns the record with other values in some fields, validated.

        Raises:
            ValidationError: A field is unknown, or a value is not usable.
        """
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **values})

    @classmethod
    def read(cls, content: object) -> Self:
        """Reads a document that was parsed from JSON, of a record whose fields all have defaults."""
        return cls.model_validate(content if isinstance(content, dict) else {}, context=LENIENT)


def added(default: Any) -> Any:
    """Returns a field that earlier releases did not have: its default is not written, so theirs stay as they were."""
    return Field(default, exclude_if=lambda value: bool(value == default))
