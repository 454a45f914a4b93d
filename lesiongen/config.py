"""Typed configuration of the stages."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lesiongen.errors import UsageError

__all__ = ["StageConfig", "parse_config"]


class StageConfig(BaseModel):
    """Base of every stage's configuration: frozen, and a wrong or unknown field fails on construction."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def parse_config(kind: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Builds a configuration from plain values.

    Raises:
        UsageError: A field is unknown or its value is refused; the message names the field and the value.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors(include_url=False))
        known = ", ".join(sorted(kind.model_fields))
        raise UsageError(f"{kind.__name__}: {problems}", hint=f"Known fields: {known}.") from error


def _problem(item: Any) -> str:
    if not item["loc"]:  # fields that do not fit together: the message names them
        return str(item["msg"])
    field = ".".join(str(part) for part in item["loc"])
    return f"{field} = {item['input']!r}: {item['msg']}"
