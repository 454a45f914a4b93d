"""Typed configuration of the stages."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from lesiongen import limits
from lesiongen.errors import UsageError

__all__ = ["StageConfig", "models_of", "must_be", "parse_config", "parse_yaml", "unknown_field"]


class StageConfig(BaseModel):
    """Base of every stage's configuration: frozen; a wrong, infinite or unknown field fails on construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    renamed: ClassVar[Mapping[str, str]] = {}
    """Names of earlier releases, and what each is called now."""
    replaced_by: ClassVar[Mapping[str, str]] = {}
    """By field, the field that takes its place: a change of the second drops the first's value."""

    def changed(self, **values: Any) -> Self:
        """Returns the configuration with other values in some fields.

        Raises:
            UsageError: A field is unknown or its value is refused.
        """
        kept = {name: value for name, value in self if self.replaced_by.get(name) not in values}
        return parse_config(type(self), {**kept, **values})


ConfigT = TypeVar("ConfigT", bound=BaseModel)
_LONGEST_SHOWN = 200
_UNKNOWN, _MISSING, _OUR_WORDS = "extra_forbidden", "missing", "value_error"
_WHICH = {"union_tag_not_found": "is missing", "union_tag_invalid": "= {tag!r}: must be one of {expected_tags}"}
_QUOTES = "'"


def must_be(what: str) -> WrapValidator:
    """Marks a field so that whatever is wrong with its value is reported in one sentence: what it must be.

    pydantic's own words are about types, and for a field of several types they list what is wrong with each.
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
        name: What the message begins with, which says where the values are; by default what kind they are of.

    Raises:
        UsageError: A field is unknown or its value is refused; the message names the field and the value. Of an unknown
            field it says which there are.
    """
    _require_unicode(name or kind.__name__, values)
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        items = error.errors(include_url=False)
        problems = "; ".join(_problem(kind, item) for item in items)
        unknown = next((item["loc"] for item in items if item["type"] == _UNKNOWN), None)
        hint = _unknown(kind, unknown)[1] if unknown else None
        raise UsageError(f"{name or kind.__name__}: {problems}", hint=hint) from error


def parse_yaml(text: str, name: str) -> Any:
    """Reads YAML that nobody vouches for.

    Args:
        text: The YAML.
        name: What the message begins with, which says where it is.

    Raises:
        UsageError: It is not YAML, or holds more values than allowed, its aliases followed.

    >>> parse_yaml("max_train_steps: 100", "The file")
    {'max_train_steps': 100}
    """
    import yaml

    try:
        values = yaml.safe_load(text)
    # ValueError: an invalid date or number; RecursionError: brackets within brackets.
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


def _require_unicode(name: str, values: Mapping[str, Any]) -> None:
    """Refuses a text of the command line that is not in the encoding of the locale: no file could hold it."""
    for place, text in _texts(values):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            field = f"{place} = " if place else "field "
            raise UsageError(f"{name}: {field}{ascii(text)} is not UTF-8", hint="Write it in UTF-8.")


def _texts(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Yields the texts within plain values, names of fields included, each with its dotted place."""
    if isinstance(value, str):
        yield place, value
        return
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(value, Mapping):
        for name in value:
            yield from _texts(name, place)
        inner = value.items()
    elif isinstance(value, Sequence):
        inner = enumerate(value)
    for name, each in inner:
        yield from _texts(each, f"{place}.{name}" if place else str(name))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def unknown_field(path: Sequence[str], known: Iterable[str], renamed: Mapping[str, str]) -> tuple[str, str | None]:
    """Returns what is said of an unknown field: the problem, and the known fields where it has no new name.

    Args:
        path: The field, behind the names of those that it is within.
        known: The fields that there are.
        renamed: Names of earlier releases, and what each is called now.
    """
    name, shown = path[-1], ".".join(path)
    if name in renamed:
        return f"unknown field {shown}; it is now called {renamed[name]}", None
    near = get_close_matches(name, known := sorted(known), n=1)
    first = f"Did you mean {near[0]}? " if near else ""
    return f"unknown field {shown}", f"{first}Known fields: {', '.join(known)}."


def _problem(kind: type[BaseModel], item: Any) -> str:
    location, inner = _walk(kind, item["loc"])
    field, error = ".".join(location), item.get("ctx", {})
    if item["type"] == _UNKNOWN:
        return _unknown(kind, item["loc"])[0]
    if item["type"] == _MISSING:
        return f"{field} is missing"
    if item["type"] in _WHICH:
        return f"{field}.{error['discriminator'].strip(_QUOTES)} {_WHICH[item['type']].format(**error)}"
    if item["type"] != _OUR_WORDS:
        return f"{field} = {_shown(item['input'])}: {item['msg']}" if field else str(item["msg"])
    # Of fields that do not fit together the message names them.
    return str(error["error"]) if inner is not None else f"{field} = {_shown(item['input'])}: {error['error']}"


def _unknown(kind: type[BaseModel], location: Sequence[int | str]) -> tuple[str, str | None]:
    """Returns what is said of an unknown field, and the fields that there are beside it, the one most like it first."""
    path, holder = _walk(kind, location[:-1])
    name, holder = str(location[-1]), holder or kind
    # What is a part today was not one in earlier releases: their names are those of the whole.
    renamed = getattr(holder, "renamed", {}) or (getattr(kind, "renamed", {}) if len(path) == 1 else {})
    problem, hint = unknown_field((*path, name), holder.model_fields, renamed)
    if (new := renamed.get(name, name)) not in holder.model_fields:
        for place, model in (((), kind), (path, holder)):
            for part, field in model.model_fields.items():
                if any(new in each.model_fields for each in models_of(field.annotation)):
                    hint = f"Write it within {'.'.join((*place, part))}."
    return problem, hint


def _walk(kind: type[BaseModel], location: Sequence[int | str]) -> tuple[list[str], type[BaseModel] | None]:
    """Returns the names of a place within a configuration, and the model there; None where there is something else.

    For a field of several models, pydantic's location also names the model; that part is skipped.
    """
    path: list[str] = []
    models: list[type[BaseModel]] = [kind]
    is_key = False
    for part in location:
        if is_key or isinstance(part, int):  # the key of a mapping, the number of an item
            path.append(str(part))
            is_key = False
            continue
        tagged = [model for model in models if part in (field.default for field in model.model_fields.values())]
        if len(models) > 1 and tagged:
            models = tagged
            continue
        path.append(part)
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        models = models_of(fields[0].annotation) if fields else []
        is_key = bool(fields) and _is_mapping(fields[0].annotation)
    return path, models[0] if models else None


def _is_mapping(annotation: Any) -> bool:
    origins = (get_origin(each) for each in (annotation, *get_args(annotation)))
    return any(isinstance(origin, type) and issubclass(origin, Mapping) for origin in origins)


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """Returns the models that a field may hold, alone or beside None."""
    found = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
    return [each for each in found if issubclass(each, BaseModel)]
