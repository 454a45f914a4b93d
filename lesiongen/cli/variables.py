"""Commands that say which variable of the environment a wrong value comes from."""

import os
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from lesiongen.cli.renamed import refuse_old_flags

__all__ = ["Command", "Group"]


class _NamesVariable:
    """Parses arguments; an error about a value from a variable names the variable and the value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments; an error names the variable that a value came from."""
        for option in self.params:  # type: ignore[attr-defined]
            if option.envvar is None and (flag := _flag(option)) not in (None, option.name.upper()):
                option.envvar = f"{ctx.auto_envvar_prefix}_{flag}"  # or it would be that of the parameter's name
        try:
            parsed: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except typer.BadParameter as error:
            if variable := _variable(ctx, error.param):
                error.message = f"{variable} = {os.environ[variable]!r}: {error.message}"
            raise
        return parsed


class Command(_NamesVariable, TyperCommand):
    """A command that names the variable, and the new name of a flag that was renamed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses arguments, none of which has the name of an earlier release."""
        refuse_old_flags(ctx, args)
        return super().parse_args(ctx, args)


class Group(_NamesVariable, TyperGroup):
    """A group of commands that names the variable."""


def _flag(option: Any) -> str | None:
    """Returns the flag of an option as a variable spells it; None for an argument, which has the name of its own."""
    flags = [flag.removeprefix("--") for flag in option.opts if flag.startswith("--")]
    return flags[0].replace("-", "_").upper() if flags else None


def _variable(context: Any, option: Any) -> str | None:
    source = option and context.get_parameter_source(option.name)
    if source is None or source.name != "ENVIRONMENT":
        return None
    names = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    names.append(f"{context.auto_envvar_prefix}_{option.name.upper()}")
    return next((name for name in names if os.environ.get(name)), None)
