"""What an evaluation says of the concepts that captions ask for: are they in the images that were drawn?"""

from typing import Literal

from lesiongen.records.base import Count, Number, Record, added
from lesiongen.records.extractor import ModelSource

__all__ = [
    "ConceptEffect",
    "ConceptFidelity",
    "ConceptLevel",
    "GradedConcept",
    "LesionsFound",
    "ScoredCounts",
    "Shown",
    "YesNoConcept",
]

Shown = Literal["real", "reconstruction", "synthetic"]
"""Which images a number is of."""


class ConceptEffect(Record):
    """A number and its interval over resamples of the captions."""

    value: Number = None
    low: Number = None
    high: Number = None


class ConceptLevel(Record):
    """What is measured on the images whose captions ask for one and the same word: quartiles."""

    asked: str = ""
    n: Count = None
    first_quartile: Number = None
    median: Number = None
    third_quartile: Number = None


class GradedScores(Record):
    """How far a measurement follows what the captions ask for."""

    n: Count = None
    """Images whose caption asks for a grade and on which it can be measured, with or without a real image beside."""
    correlation: ConceptEffect = ConceptEffect()
    """Spearman's rank correlation."""
    within_diagnoses: ConceptEffect = ConceptEffect()
    """Mean of the diagnoses' own rank correlations, weighted by their images."""
    levels: tuple[ConceptLevel, ...] = ()


class GradedConcept(Record):
    """A concept of which captions ask for more or less, such as the size."""

    concept: str = ""
    measured: str = ""
    """What is measured, and its unit."""
    n_asked: Count = None
    """Synthetic images whose caption asks for a grade."""
    scores: dict[Shown, GradedScores] = {}
    not_computed: str = ""
    """Why there are no scores; blank where there are."""


class YesNoScores(Record):
    """How often a concept is measured as present: where captions ask for it, and where they ask for its absence."""

    n_present: Count = None
    n_absent: Count = None
    present: Number = None
    """Share of the images that are asked to show it, in which it is measured."""
    absent: Number = None
    """The same share of those that are asked not to show it."""
    difference: ConceptEffect = ConceptEffect()
    within_diagnoses: ConceptEffect = ConceptEffect()
    """Mantel-Haenszel mean of the diagnoses' own differences."""


class YesNoConcept(Record):
    """A concept that captions ask for, or ask against, such as an irregular border."""

    concept: str = ""
    n_present: Count = None
    n_absent: Count = None
    scores: dict[Shown, YesNoScores] = {}
    not_computed: str = ""


class ScoredCounts(Record):
    """How many images were scored: one real image may stand beside several requests, and counts for each."""

    n_present: Count = None
    n_absent: Count = None


class ScoredConcept(Record):
    """How well a vision-language model's score tells the images that are asked to show a concept from the others."""

    concept: str = ""
    n_present: Count = None
    """Synthetic images that are asked to show it."""
    n_absent: Count = None
    """Synthetic images that are asked for other words of the same entry."""
    auroc: dict[Shown, ConceptEffect] = {}
    n: dict[Shown, ScoredCounts] = added({})
    """How many images each area is of."""


class LesionsFound(Record):
    """Images in which no lesion is found."""

    n: Count = None
    n_without: Count = None
    share_without: Number = None


class ConceptFidelity(Record):
    """Whether the images show what their captions ask for, by the code that measures real images."""

    n_synthetic: Count = None
    n_examined: Count = None
    """Synthetic images that were measured: all, or as many as ``max_concept_images``, drawn with the seed."""
    n_captions: Count = None
    """Their distinct captions, which intervals resample."""
    n_matched: Count = None
    """Images among them for which there is a real image of the same caption."""
    n_real: Count = None
    """Distinct real images that were measured."""
    image_size: Count = None
    """Side in pixels at which all images are measured: that of the synthetic ones."""
    graded: tuple[GradedConcept, ...] = ()
    yes_no: tuple[YesNoConcept, ...] = ()
    averaged: tuple[str, ...] = ()
    """The graded concepts that ``correlation`` is the mean of."""
    correlation: dict[Shown, ConceptEffect] = {}
    """Mean over ``averaged`` of the correlation within diagnoses.

    Each concept's is of the requests whose synthetic and real image could both be measured; where there are too few
    real images, of all synthetic ones.
    """
    fidelity: ConceptEffect = ConceptEffect()
    """``correlation`` of the synthetic images over that of the real ones."""
    lesions: dict[Shown, LesionsFound] = {}
    scorer: str = ""
    """The ``concept_scorer``: a folder, an address or a hub id."""
    scorer_source: ModelSource | None = added(None)
    """Its revision, licence and files."""
    scored: tuple[ScoredConcept, ...] = ()
    not_computed: str = ""
    """Why ``fidelity`` is not known; blank where it is."""
