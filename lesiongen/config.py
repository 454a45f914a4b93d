"""Typed configuration of the stages."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from lesiongen import limits
from lesiongen.errors import UsageError

__all__ = ["StageConfig", "must_be", "parse_config", "parse_yaml"]


class StageConfig(BaseModel):
    """Base of every stage's configuration: frozen; a wrong, infinite or unknown field fails on construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


ConfigT = TypeVar("ConfigT", bound=BaseModel)
_LONGEST_SHOWN = 200
_UNKNOWN, _MISSING, _OUR_WORDS = "extra_forbidden", "missing", "value_error"


def must_be(what: str) -> WrapValidator:
    """Marks a field so that whatever is wrong with its value is reported in one sentence: what it must be.

    pydantic's own words are about types, and of a field of several types it tells what is wrong with each.
    """

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            raise ValueError(f"must be {what}") from error

    return WrapValidator(check)


def parse_config(kind: type[ConfigT], values: Mapping[str, Any], name: str | None = None) -> ConfigT:
    """Builds a configuration from plain values.

    Args:
        kind: The configuration.
        values: Its fields.
        name: What the message begins with, where the values stand; by default what kind they are of.

    Raises:
        UsageError: A field is unknown or its value is refused; the message names the field and the value. Of an unknown
            field it says which there are.
    """
    _require_unicode(kind, values)
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        items = error.errors(include_url=False)
        problems = "; ".join(_problem(item) for item in items)
        unknown = next((item["loc"] for item in items if item["type"] == _UNKNOWN), None)
        hint = _known_fields(kind, unknown) if unknown else None
        raise UsageError(f"{name or kind.__name__}: {problems}", hint=hint) from error


def parse_yaml(text: str, name: str) -> Any:
    """Reads YAML that nobody vouches for.

    Args:
        text: The YAML.
        name: What the message begins with, where it stands.

    Raises:
        UsageError: It is not YAML, or holds more values than allowed, its aliases followed.

    >>> parse_yaml("steps: 100", "The policy")
    {'steps': 100}
    """
    import yaml

    try:
        values = yaml.safe_load(text)
    # ValueError: a date or a number that is none; RecursionError: brackets within brackets.
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error)
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise UsageError(f"{name} is not YAML: {problem[:300]}{where}", hint="Put a text in quotes.") from error
    left = [values]
    for _ in range(limits.MAX_YAML_VALUES):
        if not left:
            return values
        value = left.pop()
        left += [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    raise UsageError(f"{name} holds more than {limits.MAX_YAML_VALUES:,} values (MAX_YAML_VALUES)")


def _require_unicode(kind: type[BaseModel], values: Mapping[str, Any]) -> None:
    """Refuses a text of the command line that is not in the encoding of the locale: no file could hold it."""
    for field, value in values.items():
        if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise UsageError(f"{kind.__name__}: {field} = {ascii(value)} is not UTF-8", hint="Write it in UTF-8.")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _problem(item: Any) -> str:
    if not item["loc"]:  # fields that do not fit together: the message names them
        return str(item["ctx"]["error"] if item["type"] == _OUR_WORDS else item["msg"])
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == _UNKNOWN:
        return f"unknown field {field}"
    if item["type"] == _MISSING:
        return f"{field} is missing"
    if item["type"] == _OUR_WORDS:
        return f"{field} = {_shown(item['input'])}: {item['ctx']['error']}"
    return f"{field} = {_shown(item['input'])}: {item['msg']}"


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
