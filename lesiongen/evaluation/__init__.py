"""Evaluation: what synthetic images are worth, how near they are to real ones, whether they copy any, and drift."""

from importlib import import_module
from typing import TYPE_CHECKING

from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.drift_config import DriftConfig
from lesiongen.evaluation.selection.config import SelectConfig
from lesiongen.evaluation.sweeping.config import SweepConfig

if TYPE_CHECKING:
    from lesiongen.evaluation.classifier.small import LesionClassifier, load_classifier
    from lesiongen.evaluation.drift_stage import DriftResult, drift
    from lesiongen.evaluation.selection.stage import SelectResult, select
    from lesiongen.evaluation.stage import EvaluationResult, evaluate
    from lesiongen.evaluation.sweeping.stage import SweepResult, sweep

__all__ = [
    "DriftConfig",
    "DriftResult",
    "EvaluateConfig",
    "EvaluationResult",
    "LesionClassifier",
    "SelectConfig",
    "SelectResult",
    "SweepConfig",
    "SweepResult",
    "drift",
    "evaluate",
    "load_classifier",
    "select",
    "sweep",
]

# Imported when first used: a configuration can be made without the seconds that torch takes to load.
_LATER = {
    "DriftResult": "drift_stage",
    "EvaluationResult": "stage",
    "LesionClassifier": "classifier.small",
    "SelectResult": "selection.stage",
    "SweepResult": "sweeping.stage",
    "drift": "drift_stage",
    "evaluate": "stage",
    "load_classifier": "classifier.small",
    "select": "selection.stage",
    "sweep": "sweeping.stage",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
