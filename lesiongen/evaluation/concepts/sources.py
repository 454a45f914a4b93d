"""What concept fidelity is measured on, and with what."""

from dataclasses import dataclass

from lesiongen.evaluation.concepts.examined import Datasets
from lesiongen.evaluation.concepts.scorer import ConceptScorer

__all__ = ["ConceptSources"]


@dataclass(frozen=True)
class ConceptSources:
    """The datasets, whose images are read again at the size at which they were drawn, and a scorer if there is one."""

    datasets: Datasets
    scorer: ConceptScorer | None = None
