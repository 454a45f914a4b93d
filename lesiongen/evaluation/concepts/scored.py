"""What a vision-language model sees of the words that captions ask for."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.concepts.vocabulary import VOCABULARIES
from lesiongen.dataset import Dataset
from lesiongen.evaluation.concepts.asked import YesNo
from lesiongen.evaluation.concepts.effects import Drawn, effect_of
from lesiongen.evaluation.concepts.examined import Datasets
from lesiongen.evaluation.concepts.scorer import ConceptScorer
from lesiongen.evaluation.images import small_image
from lesiongen.evaluation.measures.discrimination import weighted_auroc
from lesiongen.records.concept_fidelity import ConceptEffect, ScoredConcept, ScoredCounts, Shown
from lesiongen.sample_sizes import MIN_CONCEPT_IMAGES

__all__ = ["scored_concepts"]

NOUNS = {"colour": "{} colour", "shape": "{} shape", "shape_variability": "{} lesion"}
"""How a word is put into a prompt that needs a noun."""
ENTRIES = (*NOUNS, "border", "texture", "patterns", "elevation", "additional")
"""The entries whose words are scored: size and tone are in no caption of a lesion's concepts."""


def scored_concepts(drawn: Drawn, datasets: Datasets, scorer: ConceptScorer) -> tuple[ScoredConcept, ...]:
    """Tells, by the area under the ROC curve, images that are asked to show a word from those asked for others.

    Args:
        drawn: The examined images.
        datasets: As for `lesiongen.evaluation.concepts.examined.examine`.
        scorer: The model.
    """
    asked = {term: wanted for term, wanted in _asked(drawn) if _enough(wanted)}
    if not asked:
        return ()
    areas: dict[str, dict[Shown, ConceptEffect]] = {term: {} for term in asked}
    counts: dict[str, dict[Shown, ScoredCounts]] = {term: {} for term in asked}
    for shown in drawn.examined.found:
        scores = _scores(drawn, datasets[shown], shown, scorer, list(asked))
        for term, column in zip(asked, scores.T, strict=True):
            rows = np.isfinite(asked[term]) & np.isfinite(column)
            if _enough(wanted := asked[term][rows]):
                area = weighted_auroc(wanted == 1, column[rows], drawn.weights(rows))
                areas[term][shown], counts[term][shown] = (
                    effect_of(area, drawn.resamples),
                    ScoredCounts(**_sides(wanted)),
                )
    return tuple(
        ScoredConcept(concept=term, **_sides(wanted), auroc=areas[term], n=counts[term])
        for term, wanted in asked.items()
    )


def _asked(drawn: Drawn) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yields every term, and for each image whether it is asked for: 1, 0, or NaN where the caption does not say."""
    for entry, word in [(name, word) for name in ENTRIES for word in VOCABULARIES[name]]:
        concept = YesNo(word, entry, frozenset({word}))
        wanted = [concept.asked(each.words) for each in drawn.examined.requests]
        yield NOUNS.get(entry, "{}").format(word), np.array([np.nan if each is None else each for each in wanted])


def _sides(wanted: NDArray[np.float64]) -> dict[str, int]:
    """Counts the images that are asked to show a term, and those that are asked for others."""
    return {"n_present": int((wanted == 1).sum()), "n_absent": int((wanted == 0).sum())}


def _enough(wanted: NDArray[np.float64]) -> bool:
    return min(_sides(wanted).values()) >= MIN_CONCEPT_IMAGES


def _scores(
    drawn: Drawn, dataset: Dataset, shown: Shown, scorer: ConceptScorer, terms: list[str]
) -> NDArray[np.float64]:
    """Returns the scores [n, terms] of the image beside each request; NaN for a request without one."""
    examined = drawn.examined
    wanted = [each.image_id if shown == "synthetic" else each.real_id for each in examined.requests]
    seen: list[str] = []

    def images() -> Iterator[Image.Image]:
        for sample in dataset.select({image_id for image_id in wanted if image_id is not None}):
            seen.append(sample.image_id)
            yield Image.fromarray(small_image(sample, dataset.uri, examined.image_size))

    found = np.full((len(wanted), len(terms)), np.nan)
    if any(image_id is not None for image_id in wanted):
        scores = scorer.scores(images(), terms)
        places = {image_id: place for place, image_id in enumerate(seen)}
        for row, image_id in enumerate(wanted):
            if image_id in places:
                found[row] = scores[places[image_id]]
    return found
