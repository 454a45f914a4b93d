"""Modules of the user: a `random.py` or `datasets/` in the working folder must not replace a library's.

``python -m`` and ``python -c`` look for modules in the working folder first, and every process that this package starts
begins with one of them. The packages ``components`` and ``pipelines`` have names that users of Kubeflow give to theirs:
a command and its processes take those beside this package, whatever else the path of modules holds.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from lesiongen.environment import variables_set

__all__ = ["SAFE_PATH", "find_own_packages", "leave_out_working_folder", "safe_path", "safe_variables"]

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Variables under which a Python process does not look for modules in its working folder."""
_PACKAGES = Path(__file__).resolve().parent.parent
_INSTALLED = {"site-packages", "dist-packages"}
_BESIDE = {"components", "pipelines"}


class _OwnPackages:
    """Finds the packages beside this one before the path of modules is searched."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Returns where a package beside this one is, None for any other module."""
        return PathFinder.find_spec(name, [str(_PACKAGES)]) if name in _BESIDE else None


def find_own_packages() -> None:
    """Has this process import ``components`` and ``pipelines`` from beside this package, and no user's of that name.

    For the process of a command: a program that imports this package as a library keeps its own.
    """
    sys.meta_path.insert(0, _OwnPackages)


def safe_variables() -> dict[str, str]:
    """Returns `SAFE_PATH`, and the path on which this package is found.

    It comes before what ``PYTHONPATH`` holds, whose packages may have the names of ours. Where the package is installed
    and ``PYTHONPATH`` holds nothing, no path is needed.
    """
    own = str(_PACKAGES)
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", own)]
    if _PACKAGES.name in _INSTALLED and not others:
        return dict(SAFE_PATH)
    return {**SAFE_PATH, "PYTHONPATH": os.pathsep.join([own, *others])}


def leave_out_working_folder() -> None:
    """Has neither this process nor those that it starts look for modules in the working folder.

    A checkout that is not installed stays on the path: this package itself is found there.
    """
    os.environ.update(safe_variables())
    if not sys.flags.safe_path and sys.path[:1] != [str(_PACKAGES)]:
        del sys.path[0]


def safe_path() -> AbstractContextManager[None]:
    """Has processes that are started in the block not look for modules in the working folder."""
    return variables_set(safe_variables())
