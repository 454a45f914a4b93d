"""Evaluation: what synthetic images are worth, how near they are to real ones, and whether they copy any."""

from importlib import import_module
from typing import TYPE_CHECKING

from lesiongen.evaluation.config import EvaluateConfig

if TYPE_CHECKING:
    from lesiongen.evaluation.classifier.small import LesionClassifier, load_classifier
    from lesiongen.evaluation.stage import EvaluationResult, evaluate

__all__ = ["EvaluateConfig", "EvaluationResult", "LesionClassifier", "evaluate", "load_classifier"]

# Imported when first used: a configuration can be made without the seconds that torch takes to load.
_LATER = {
    "EvaluationResult": "stage",
    "LesionClassifier": "classifier.small",
    "evaluate": "stage",
    "load_classifier": "classifier.small",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
