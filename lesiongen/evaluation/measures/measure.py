"""A measure: one entry of evaluation.json, and its part of the report."""

import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from PIL import Image

from lesiongen.evaluation import measures as package
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.reporting import Section

if TYPE_CHECKING:  # of the classifiers: `lesiongen drift` would wait for torch
    from lesiongen.evaluation.evidence import Evidence

__all__ = ["Measure", "Figures", "all_measures"]

Figures = Mapping[str, Image.Image]


class Measure(ABC):
    """What is measured of the synthetic images or of the classifiers.

    A class derived from it in a file of this folder is part of every evaluation; nothing else names it.
    """

    place: ClassVar[int]
    """Position of its sections in the report: the smallest number first."""

    @abstractmethod
    def measure(self, evidence: "Evidence") -> Mapping[str, object]:
        """Measures, and returns entries of evaluation.json by name.

        A name that `EvaluationRecord` does not have is kept in its ``further``: the value is then plain JSON.
        """

    def figures(self, evidence: "Evidence", evaluation: EvaluationRecord) -> Mapping[str, Image.Image]:
        """Draws figures of what was measured, by name."""
        return {}

    @abstractmethod
    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns its sections of the report."""

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns the numbers that are logged as metrics of the run, by name; None where one is not known."""
        return {}


def all_measures() -> list[Measure]:
    """Returns one of each measure in this folder, in the order of their sections."""
    found: list[Measure] = []
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for kind in vars(import_module(module.name)).values():
            own = inspect.isclass(kind) and kind.__module__ == module.name
            if own and issubclass(kind, Measure) and not inspect.isabstract(kind):
                found.append(kind())
    return sorted(found, key=lambda measure: measure.place)
