"""Whether what is measured follows what was asked for: every concept, with intervals over resampled captions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.concepts.asked import GRADED, YES_NO, Graded, YesNo
from lesiongen.evaluation.concepts.examined import Examined
from lesiongen.evaluation.concepts.statistics import difference, difference_within, spearman, spearman_within
from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.records.concept_fidelity import (
    ConceptEffect,
    ConceptFidelity,
    ConceptLevel,
    GradedConcept,
    GradedScores,
    LesionsFound,
    Shown,
    YesNoConcept,
    YesNoScores,
)
from lesiongen.sample_sizes import MIN_CAPTIONS, MIN_CONCEPT_IMAGES

__all__ = ["Drawn", "concept_effects", "effect_of"]

Floats = NDArray[np.float64]
Known = dict[Shown, dict[str, Floats]]
"""By kind of image and by concept, a number and its resamples."""
NO_REAL = "The real images have no captions, or too few that state what the synthetic images' captions state."


@dataclass(frozen=True)
class Drawn:
    """The examined images, and resamples of their captions: images of one caption are drawn, or left out, together."""

    examined: Examined
    resamples: Resamples

    @classmethod
    def of(cls, examined: Examined, n_bootstrap: int, confidence: float, seed: int) -> "Drawn":
        """Draws the resamples."""
        return cls(examined, Resamples(examined.captions, n_bootstrap, confidence, seed))

    @cached_property
    def diagnoses(self) -> NDArray[np.int64]:
        """The number [n] of each image's diagnosis."""
        return self.examined.diagnoses

    def weights(self, rows: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Returns how many times each of some images is drawn: once, then as in each resample."""
        drawn = self.resamples.weights[:, self.resamples.lesions[rows]]
        return np.concatenate([np.ones((1, drawn.shape[1]), np.float32), drawn])


def concept_effects(drawn: Drawn) -> ConceptFidelity:
    """Compares what was asked for with what is measured, on synthetic images and on real ones of the same captions.

    Args:
        drawn: The examined images.
    """
    examined = drawn.examined
    real = {each.real_id for each in examined.requests} - {None}
    counted = ConceptFidelity(
        n_examined=len(examined.requests),
        n_captions=int(examined.captions.max()) + 1,
        n_matched=sum(each.real_id is not None for each in examined.requests),
        n_real=len(real),
        image_size=examined.image_size,
        graded=tuple(_graded(concept, drawn) for concept in GRADED),
        yes_no=tuple(_yes_no(concept, drawn) for concept in YES_NO),
        lesions={shown: _lesions(examined, shown) for shown in examined.found},
    )
    return counted.changed(**_means(drawn, counted))


def effect_of(values: Floats, resamples: Resamples) -> ConceptEffect:
    """Returns the first of some values, and the interval of the others, which are of resamples."""
    low, high = resamples.interval(values[1:])
    return ConceptEffect(value=float(values[0]), low=low, high=high)


def _means(drawn: Drawn, counted: ConceptFidelity) -> dict[str, object]:
    """Averages the concepts that are known on synthetic images and, where there are any, on real ones.

    A ratio is of the same requests: to all others, which have no real image beside them, the real correlation says
    nothing.
    """
    within = _within(drawn, _beside_real)
    averaged = [name for name in within["synthetic"] if name in within["real"]]
    if not averaged:
        within = {"synthetic": _within(drawn, _measured_rows)["synthetic"]}
        averaged = list(within["synthetic"])
    if not averaged:
        return {"not_computed": _why_not(counted)}
    means = {
        shown: np.mean([known[name] for name in averaged], axis=0)
        for shown, known in within.items()
        if all(name in known for name in averaged)
    }
    resamples = drawn.resamples
    found: dict[str, object] = {
        "averaged": tuple(averaged),
        "correlation": {shown: effect_of(values, resamples) for shown, values in means.items()},
    }
    if "real" not in means:
        return {**found, "not_computed": NO_REAL}
    ceiling = effect_of(means["real"], resamples)
    if ceiling.low is None or ceiling.low <= 0:  # a ratio to what may be nothing says nothing
        return {**found, "not_computed": "On real images the measurements do not surely follow the captions either."}
    ratio = np.divide(
        means["synthetic"], means["real"], out=np.full_like(means["real"], np.nan), where=means["real"] > 0
    )
    return {**found, "fidelity": effect_of(ratio, resamples)}


def _why_not(counted: ConceptFidelity) -> str:
    if counted.n_captions is not None and counted.n_captions < MIN_CAPTIONS:
        return f"The synthetic images have {counted.n_captions} different captions; {MIN_CAPTIONS} are needed."
    if not any(each.n_asked for each in counted.graded):
        return "No caption of the synthetic images asks for a concept that is measured."
    return f"No concept is measured on {MIN_CONCEPT_IMAGES} synthetic images of each of two grades."


def _graded(concept: Graded, drawn: Drawn) -> GradedConcept:
    examined = drawn.examined
    scores: dict[Shown, GradedScores] = {}
    for shown in examined.found:
        rows, asked, values = _pairs(concept, examined, shown)
        if _enough(asked[rows], _image_ids(examined, shown)[rows], examined):
            weights, own = drawn.weights(rows), _correlation(rows, asked, values, drawn)
            scores[shown] = GradedScores(
                n=int(rows.sum()),
                correlation=effect_of(spearman(asked[rows], values[rows], weights), drawn.resamples),
                within_diagnoses=effect_of(own, drawn.resamples),
                levels=_levels(concept, asked[rows], values[rows]),
            )
    n_asked = sum(concept.asked(each.words) is not None for each in examined.requests)
    record = GradedConcept(concept=concept.name, measured=concept.measured, n_asked=n_asked, scores=scores)
    return record if "synthetic" in scores else record.changed(not_computed=_too_few(n_asked, "two grades"))


def _correlation(rows: NDArray[np.bool_], asked: Floats, values: Floats, drawn: Drawn) -> Floats:
    """Returns the correlation within diagnoses over some requests: plain, then in each resample."""
    return spearman_within(asked[rows], values[rows], drawn.diagnoses[rows], drawn.weights(rows))


def _within(drawn: Drawn, compared: Callable[[Graded, Examined, Shown], NDArray[np.bool_]]) -> Known:
    """Returns the correlation within diagnoses of each concept that has one, over the requests that are compared."""
    examined = drawn.examined
    within: Known = {shown: {} for shown in examined.found}
    for concept in GRADED:
        for shown in examined.found:
            rows = compared(concept, examined, shown)
            _, asked, values = _pairs(concept, examined, shown)
            if _enough(asked[rows], _image_ids(examined, shown)[rows], examined):
                own = _correlation(rows, asked, values, drawn)
                if np.isfinite(own[0]):
                    within[shown][concept.name] = own
    return within


def _measured_rows(concept: Graded, examined: Examined, shown: Shown) -> NDArray[np.bool_]:
    """Tells which requests [n] ask for a grade that could be measured."""
    return _pairs(concept, examined, shown)[0]


def _beside_real(concept: Graded, examined: Examined, shown: Shown) -> NDArray[np.bool_]:
    """Tells of which requests [n] the grade could be measured on the synthetic image, on the real one and on this."""
    sides: set[Shown] = {"synthetic", "real", shown}
    return np.asarray(np.all([_measured_rows(concept, examined, side) for side in sides], axis=0))


def _pairs(concept: Graded, examined: Examined, shown: Shown) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Returns which images [n] are asked for a grade and measured, the grades [n], and the numbers [n]; else NaN."""
    asked = [concept.asked(each.words) for each in examined.requests]
    values = [None if each is None else each.values.get(concept.name) for each in examined.found[shown]]
    table = np.array([[np.nan if cell is None else cell for cell in row] for row in zip(asked, values, strict=True)])
    return np.isfinite(table).all(axis=1), table[:, 0], table[:, 1]


def _image_ids(examined: Examined, shown: Shown) -> NDArray[np.str_]:
    """Returns the image [n] of each request; one real image may stand beside several."""
    return np.array([each.image_id if shown == "synthetic" else str(each.real_id) for each in examined.requests])


def _enough(asked: Floats, image_ids: NDArray[np.str_], examined: Examined) -> bool:
    """Tells whether two grades have enough images, each counted once, of enough captions."""
    counts = np.sort([len(np.unique(image_ids[asked == grade])) for grade in np.unique(asked)])
    enough = len(counts) > 1 and counts[-2] >= MIN_CONCEPT_IMAGES
    return bool(enough and examined.captions.max() + 1 >= MIN_CAPTIONS)


def _too_few(n_asked: int, sides: str) -> str:
    if not n_asked:
        return "No caption asks for it."
    return f"Too few images: {MIN_CONCEPT_IMAGES} of each of {sides}, and {MIN_CAPTIONS} captions, are needed."


def _levels(concept: Graded, asked: Floats, values: Floats) -> tuple[ConceptLevel, ...]:
    levels = []
    for grade, word in enumerate(concept.grades):
        chosen = values[asked == grade]
        if len(chosen):
            low, middle, high = np.percentile(chosen, [25, 50, 75])
            levels.append(
                ConceptLevel(asked=word, n=len(chosen), first_quartile=low, median=middle, third_quartile=high)
            )
    return tuple(levels)


def _yes_no(concept: YesNo, drawn: Drawn) -> YesNoConcept:
    asked = [concept.asked(each.words) for each in drawn.examined.requests]
    scores = {shown: _shares(concept, asked, drawn, shown) for shown in drawn.examined.found}
    record = YesNoConcept(
        concept=concept.name,
        n_present=asked.count(True),
        n_absent=asked.count(False),
        scores={shown: each for shown, each in scores.items() if each is not None},
    )
    if "synthetic" in record.scores:
        return record
    n_asked = asked.count(True) + asked.count(False)
    return record.changed(not_computed=_too_few(n_asked, "both sides"))


def _shares(concept: YesNo, asked: Sequence[bool | None], drawn: Drawn, shown: Shown) -> YesNoScores | None:
    """Returns the shares of one kind of images; None where there are too few."""
    found = [None if each is None else concept.shown(each.words) for each in drawn.examined.found[shown]]
    rows = np.array([one is not None and other is not None for one, other in zip(asked, found, strict=True)])
    wanted, there = (np.array(each, dtype=object)[rows].astype(bool) for each in (asked, found))
    n_present, n_absent = int(wanted.sum()), int((~wanted).sum())
    image_ids = _image_ids(drawn.examined, shown)[
        rows
    ]  # each image counts once, however many requests it stands beside
    fewest = min(len(np.unique(image_ids[side])) for side in (wanted, ~wanted))
    if fewest < MIN_CONCEPT_IMAGES or drawn.examined.captions.max() + 1 < MIN_CAPTIONS:
        return None
    weights = drawn.weights(rows)
    own = difference_within(wanted, there, drawn.diagnoses[rows], weights)
    return YesNoScores(
        n_present=n_present,
        n_absent=n_absent,
        present=float(there[wanted].mean()),
        absent=float(there[~wanted].mean()),
        difference=effect_of(difference(wanted, there, weights), drawn.resamples),
        within_diagnoses=effect_of(own, drawn.resamples),
    )


def _lesions(examined: Examined, shown: Shown) -> LesionsFound:
    """Counts each image once, however many requests it stands beside."""
    ids = _image_ids(examined, shown).tolist()
    lesions = {name: each.lesion for name, each in zip(ids, examined.found[shown], strict=True) if each is not None}
    without = sum(not lesion for lesion in lesions.values())
    return LesionsFound(n=len(lesions), n_without=without, share_without=without / len(lesions) if lesions else None)
