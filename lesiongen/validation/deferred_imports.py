"""Libraries that a large import asks for and that are rarely used: imported when something of them is."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

__all__ = ["deferred_imports"]


class _Deferred(ModuleType):
    """Stands for a module until one of its attributes is asked for."""

    def __getattr__(self, attribute: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)


@contextmanager
def deferred_imports(*names: str) -> Iterator[None]:
    """Modules that the block imports by these names are imported only when something of them is used.

    Modules that were imported before stay as they are, and whoever imports them after the block gets them at once. Not
    `importlib.util.LazyLoader`: Python 3.11 looks at the module as it imports it, which loads it.
    """
    deferred = [_Deferred(name) for name in names if name not in sys.modules]
    sys.modules.update({module.__name__: module for module in deferred})
    try:
        yield
    finally:
        for module in deferred:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]
