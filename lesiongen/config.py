"""Typed configuration of the stages."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from lesiongen.errors import UsageError

__all__ = ["StageConfig", "parse_config"]


class StageConfig(BaseModel):
    """Base of every stage's configuration: frozen, and a wrong or unknown field fails on construction."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ConfigT = TypeVar("ConfigT", bound=BaseModel)
_UNKNOWN = "extra_forbidden"


def parse_config(kind: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Builds a configuration from plain values.

    Raises:
        UsageError: A field is unknown or its value is refused; the message names the field and the value. Of an unknown
            field it says which there are.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        items = error.errors(include_url=False)
        problems = "; ".join(_problem(item) for item in items)
        unknown = next((item["loc"] for item in items if item["type"] == _UNKNOWN), None)
        hint = _known_fields(kind, unknown) if unknown else None
        raise UsageError(f"{kind.__name__}: {problems}", hint=hint) from error


def _problem(item: Any) -> str:
    if not item["loc"]:  # fields that do not fit together: the message names them
        return str(item["msg"])
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == _UNKNOWN:
        return f"{field} is no field"
    return f"{field} = {item['input']!r}: {item['msg']}"


def _known_fields(kind: type[BaseModel], unknown: Sequence[int | str]) -> str:
    """Returns the fields that there are beside an unknown one, the one most like it first."""
    *outer, name = map(str, unknown)
    for part in outer:
        kind = _model_of(kind, part)
    near = get_close_matches(name, kind.model_fields, n=1)
    return (
        "".join(f"Did you mean {field}? " for field in near) + f"Known fields: {', '.join(sorted(kind.model_fields))}."
    )


def _model_of(kind: type[BaseModel], field: str) -> type[BaseModel]:
    """Returns the model that a field holds, alone or beside None; a field of something else leaves ``kind``."""
    annotation = kind.model_fields[field].annotation if field in kind.model_fields else None
    models = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
    return next((each for each in models if issubclass(each, BaseModel)), kind)
