"""Configurations in parts whose fields are named alone on the command line: each name belongs to one part."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, model_validator

from lesiongen.config import StageConfig, models_of, unknown_field
from lesiongen.errors import UsageError

__all__ = ["ConfigPart", "in_parts", "with_changes", "without_parts"]


class ConfigPart(StageConfig):
    """A part of a configuration; a value that has no effect is refused."""

    decided_by: ClassVar[str] = ""
    """The field whose change puts the part's other fields back to their defaults; blank where there is none."""
    switched_by: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """By field, the fields of which one must be on (neither zero nor false) for it to have an effect."""

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        for name, switches in self.switched_by.items():
            value = getattr(self, name)
            if value != type(self).model_fields[name].default and not any(getattr(self, each) for each in switches):
                off = " and ".join(f"{each} = {getattr(self, each)}" for each in switches)
                raise ValueError(f"{name} = {value} has no effect with {off}: leave it out")
        return self


def in_parts(kind: type[StageConfig], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns flat values as nested ones: each field within the part that it belongs to.

    Args:
        kind: A configuration in parts.
        values: Its fields, named without their parts.

    Raises:
        UsageError: A field is unknown, or a part is named as if it were one.
    """
    parts = _parts(kind)
    places = {field: part for part, kinds in parts.items() for each in kinds for field in each.model_fields}
    known = places.keys() | (kind.model_fields.keys() - parts.keys())
    nested: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise _not_a_field(kind, name, known, parts)
        place = nested.setdefault(places[name], {}) if name in places else nested
        place[name] = value
    return nested


def without_parts(config: StageConfig) -> dict[str, Any]:
    """Returns the plain values of a configuration's fields, named without their parts."""
    parts, values = _parts(type(config)), config.model_dump(mode="json")
    flat = {name: value for name, value in values.items() if name not in parts}
    for part in parts:
        flat |= values[part]
    return flat


def _not_a_field(
    kind: type[StageConfig], name: str, known: Iterable[str], parts: Mapping[str, tuple[type[ConfigPart], ...]]
) -> UsageError:
    problem, hint = unknown_field((name,), known, kind.renamed)
    if name in parts and name not in kind.renamed:
        fields = dict.fromkeys(field for each in parts[name] for field in each.model_fields)
        problem, hint = f"{name} is a part, not a field", f"Name its fields alone: {', '.join(sorted(fields))}."
    return UsageError(f"{kind.__name__}: {problem}", hint=hint)


def with_changes(kind: type[BaseModel], values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested values with changes; what a change leaves without effect is back at its default.

    Args:
        kind: A configuration in parts.
        values: Its plain values.
        changes: Plain values that differ.
    """
    replaced = {name for name, other in getattr(kind, "replaced_by", {}).items() if other in changes}
    merged = {name: value for name, value in values.items() if name not in replaced} | dict(changes)
    for name, kinds in _parts(kind).items():
        before, change = values.get(name), changes.get(name)
        if isinstance(before, Mapping) and isinstance(change, Mapping):
            merged[name] = _part_with_changes(kinds, before, change)
    return merged


def _part_with_changes(
    kinds: tuple[type[ConfigPart], ...], before: Mapping[str, Any], change: Mapping[str, Any]
) -> dict[str, Any]:
    decides = kinds[0].decided_by
    if decides in change and change[decides] != before.get(decides):
        return dict(change)
    nested = {
        name: {**before[name], **value}
        for name, value in change.items()
        if isinstance(value, Mapping) and isinstance(before.get(name), Mapping)
    }
    merged = {**before, **change, **nested}
    switched = kinds[0].switched_by.items()
    off = {name for name, switches in switched if not any(merged.get(each, True) for each in switches)}
    return {name: value for name, value in merged.items() if name not in off or name in change}


def _parts(kind: type[BaseModel]) -> dict[str, tuple[type[ConfigPart], ...]]:
    """Returns the fields that are parts, and of which kinds each may be."""
    found = {}
    for name, field in kind.model_fields.items():
        if kinds := tuple(each for each in models_of(field.annotation) if issubclass(each, ConfigPart)):
            found[name] = kinds
    return found
