"""Help that shows the defaults which a configuration gives to options left out."""

import json
from copy import copy
from importlib import import_module
from typing import Any

from lesiongen.cli.variables import Command

__all__ = ["with_defaults_of"]


def with_defaults_of(place: str, **fields: str) -> type[Command]:
    """Returns the kind of a command whose options, left out, get the defaults of a configuration.

    Its help shows these defaults, and those of the fields that ``--set`` alone changes. The configuration is imported
    for the help only: the command line stays light.

    Args:
        place: The configuration, as ``module:class``; one in parts as ``module:function``, which makes it.
        fields: By the name of an option, the field that it sets, where the two are named otherwise.
    """

    class StageCommand(Command):
        def format_options(self, ctx: Any, formatter: Any) -> None:
            """Writes the options with the defaults of the stage's configuration."""
            defaults = _defaults(place)
            of_preset = f", those of the preset {defaults['preset']}" if "preset" in defaults else ""
            # Copies: an option itself must have no default, or what was left out would win over --set.
            shown = copy(self)
            shown.params = [
                _with_default(option, defaults.pop(fields.get(str(option.name), str(option.name)), None))
                for option in self.params
            ]
            Command.format_options(shown, ctx, formatter)
            if rest := [f"{name}={json.dumps(value)}" for name, value in defaults.items()]:
                with formatter.section(f"Fields for --set and their defaults{of_preset}"):
                    formatter.write_text(" ".join(rest))

    return StageCommand


def _defaults(place: str) -> dict[str, Any]:
    """Returns the defaults of a configuration, as plain values; fields without one are left out."""
    from pydantic_core import to_jsonable_python

    module, _, name = place.partition(":")
    found: Any = getattr(import_module(module), name)
    if not hasattr(found, "model_fields"):
        from lesiongen.diffusion.config_parts import without_parts

        return without_parts(found())
    fields: dict[str, Any] = found.model_fields
    return {
        name: to_jsonable_python(field.get_default(call_default_factory=True))
        for name, field in fields.items()
        if not field.is_required()
    }


def _with_default(option: Any, default: Any) -> Any:
    if default is None or default in ([], {}):
        return option
    shown = copy(option)
    shown.default, shown.show_default = default, True
    return shown
