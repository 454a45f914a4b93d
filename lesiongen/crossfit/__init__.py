"""Cross-fitting: every image of a dataset is tested on once, by classifiers and generators that never saw it."""

from importlib import import_module
from typing import TYPE_CHECKING

from lesiongen.crossfit.config import CrossfitConfig

if TYPE_CHECKING:
    from lesiongen.crossfit.folds import take_fold
    from lesiongen.crossfit.pool import CrossfitResult, pool_folds
    from lesiongen.crossfit.run import StageConfigs, crossfit

__all__ = ["CrossfitConfig", "CrossfitResult", "StageConfigs", "crossfit", "pool_folds", "take_fold"]

# Imported when first used: a configuration can be made without the seconds that torch takes to load.
_LATER = {
    "CrossfitResult": "pool",
    "StageConfigs": "run",
    "crossfit": "run",
    "pool_folds": "pool",
    "take_fold": "folds",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
