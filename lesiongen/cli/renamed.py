"""Flags of earlier releases: each is refused, and the flag that took its place is named."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from lesiongen.errors import UsageError

__all__ = ["new_flag", "refuse_old_flags"]

_RENAMED: Mapping[str, Mapping[str, str]] = {
    "caption": {"--shard": "--part"},
    "evaluate": {"--seeds": "--n-seeds"},
    "finetune": {"--steps": "--max-train-steps"},
    "promote": {"--policy": "--gates"},
    "sample": {"--shard": "--part", "--guidance": "--guidance-scale", "--steps": "--num-inference-steps"},
    "validate": {"--policy": "--checks", "--print-policy": "--print-checks"},
}
"""By command: the old flag and the new one."""


def new_flag(command: str, flag: str) -> str | None:
    """Returns what a flag of an earlier release is called now, None where it is not one."""
    return _RENAMED.get(command, {}).get(flag)


def refuse_old_flags(context: Any, arguments: Sequence[str]) -> None:
    """Refuses the old name of a flag, on the command line and as a variable of the environment.

    Args:
        context: The command's.
        arguments: Those that it was given.

    Raises:
        UsageError: An old name is used; the message names the new one.
    """
    for old, new in _RENAMED.get(str(context.info_name), {}).items():
        if any(argument.partition("=")[0] == old for argument in arguments):
            raise UsageError(f"unknown flag {old}; it is now called {new}")
        variable, now = (f"{context.auto_envvar_prefix}_{_variable(flag)}" for flag in (old, new))
        if os.environ.get(variable):
            raise UsageError(f"unknown variable {variable}; it is now called {now}")


def _variable(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_").upper()
