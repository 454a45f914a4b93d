"""Modules in the working folder: a `random.py` or `datasets/` of the user must not replace a library's.

``python -m`` and ``python -c`` look for modules in the working folder first, and every process that this package starts
begins with one of them.
"""

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from lesiongen.environment import variables_set

__all__ = ["SAFE_PATH", "leave_out_working_folder", "safe_path", "safe_variables"]

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Variables under which a Python process does not look for modules in its working folder."""
_PACKAGES = Path(__file__).resolve().parent.parent
_INSTALLED = {"site-packages", "dist-packages"}


def safe_variables() -> dict[str, str]:
    """Returns `SAFE_PATH`, and for a checkout that is not installed the path on which this package is found."""
    if _PACKAGES.name in _INSTALLED:
        return dict(SAFE_PATH)
    before = list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    path = before if str(_PACKAGES) in before else [str(_PACKAGES), *before]
    return {**SAFE_PATH, "PYTHONPATH": os.pathsep.join(path)}


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
