"""Modules in the working folder: a `random.py` or `datasets/` of the user must not replace a library's.

``python -m`` and ``python -c`` look for modules in the working folder first, and every process that this package starts
begins with one of them.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["SAFE_PATH", "leave_out_working_folder", "safe_path"]

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Variables under which a Python process does not look for modules in its working folder."""


def leave_out_working_folder() -> None:
    """Has neither this process nor those that it starts look for modules in the working folder.

    A checkout that is not installed stays on the path: this package itself is found there.
    """
    os.environ.update(SAFE_PATH)
    package = str(Path(__file__).resolve().parent.parent)
    if not sys.flags.safe_path and sys.path[:1] != [package]:
        del sys.path[0]


@contextmanager
def safe_path() -> Iterator[None]:
    """Has processes that are started in the block not look for modules in the working folder."""
    added = [name for name in SAFE_PATH if name not in os.environ]
    os.environ.update({name: SAFE_PATH[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
