"""Concept fidelity: are the concepts that captions ask for in the images that were drawn?"""

from collections.abc import Mapping

from PIL import Image

from lesiongen.evaluation.concepts.effects import Drawn, concept_effects
from lesiongen.evaluation.concepts.examined import examine, requests
from lesiongen.evaluation.concepts.scored import scored_concepts
from lesiongen.evaluation.concepts.sources import ConceptSources
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.report.concepts_figure import concepts_figure
from lesiongen.records.concept_fidelity import ConceptEffect, ConceptFidelity, ScoredCounts, Shown
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.text import number
from lesiongen.reporting import Block, Callout, Facts, Figure, Section, Table, Text
from lesiongen.seeds import derive_seed

__all__ = ["ConceptsShown", "concept_fidelity"]

FIGURE = "concepts"
NOT_COUNTED = ScoredCounts()
"""In files of earlier releases."""
SIDES: tuple[Shown, ...] = ("synthetic", "real", "reconstruction")
EXPLANATION = (
    "Each concept is measured on the drawn image by the code that measured the real ones, and compared with what the "
    "image's caption asks for. Within diagnoses: an image that is merely of the right diagnosis does not count. Real "
    "images of the same captions, at the size of the drawn ones, are the ceiling: their captions come from the same "
    "measurement at full size. Intervals are over resamples of the captions."
)


class ConceptsShown(Measure):
    """What captions ask for against what is measured, on synthetic images and on real ones of the same captions."""

    place = 35

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``concept_fidelity``; None where the datasets are not at hand."""
        sources = evidence.concept_sources
        return {"concept_fidelity": None if sources is None else concept_fidelity(sources, evidence.config)}

    def figures(self, evidence: Evidence, evaluation: EvaluationRecord) -> Mapping[str, Image.Image]:
        """Draws what is measured against what was asked for; no image is shown."""
        found = evaluation.concept_fidelity
        computed = [] if found is None else [each for each in found.graded if each.scores]
        return {FIGURE: concepts_figure(computed)} if computed else {}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section on concepts, where captions ask for any."""
        found = evaluation.concept_fidelity
        if found is None:
            return []
        blocks: list[Block] = [Callout("info", found.not_computed)] if found.not_computed else []
        if found.averaged:
            blocks += [Facts(_facts(found)), Text(f"{EXPLANATION} {_counted(found)}")]
        if FIGURE in figures:
            blocks.append(
                Figure(figures[FIGURE], "What is measured against what captions ask for", "Median, quartiles.")
            )
        return [Section("Concepts that captions ask for", [*blocks, *_tables(found)])]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns concept fidelity, the mean correlations, and the share of images without a lesion."""
        found = evaluation.concept_fidelity
        if found is None:
            return {}
        metrics = {"concept_fidelity": found.fidelity.value}
        metrics |= {f"concept_correlation_{shown}": effect.value for shown, effect in found.correlation.items()}
        return metrics | {f"no_lesion_share_{shown}": each.share_without for shown, each in found.lesions.items()}


def concept_fidelity(sources: ConceptSources, config: EvaluateConfig) -> ConceptFidelity:
    """Measures whether synthetic images show what their captions ask for.

    Args:
        sources: The images, and a scorer if there is one.
        config: How many images, how many resamples, and the seed.

    Raises:
        DataError: An image cannot be decoded.
    """
    datasets = sources.datasets
    asked = requests(datasets["real"], datasets["synthetic"], most=config.max_concept_images, seed=config.seed)
    n_synthetic = len(datasets["synthetic"])
    if not any(each.words for each in asked):
        reason = "The captions of the synthetic images ask for no concept: they name the diagnosis alone, or are blank."
        return ConceptFidelity(n_synthetic=n_synthetic, not_computed=reason)
    seed = derive_seed(config.seed, "concept-captions")
    drawn = Drawn.of(examine(asked, datasets), config.n_bootstrap, config.confidence, seed)
    found = concept_effects(drawn).changed(n_synthetic=n_synthetic)
    if sources.scorer is None:
        return found
    source = sources.scorer.source
    scored = scored_concepts(drawn, datasets, sources.scorer)
    return found.changed(scorer=source.source, scorer_source=source, scored=scored)


def _facts(found: ConceptFidelity) -> dict[str, str | float | None]:
    facts: dict[str, str | float | None] = {"concept fidelity": _written(found.fidelity)}
    facts |= {f"correlation, {shown}": _written(effect) for shown, effect in found.correlation.items()}
    return facts | {
        f"no lesion found, {shown}": number(each.share_without, ".1%") for shown, each in found.lesions.items()
    }


def _written(effect: ConceptEffect) -> str:
    return f"{number(effect.value)} ({number(effect.low)} to {number(effect.high)})"


def _counted(found: ConceptFidelity) -> str:
    return (
        f"Measured were {found.n_examined} of {found.n_synthetic} synthetic images, of {found.n_captions} captions, "
        f"and {found.n_real} real images, which have the captions of {found.n_matched} of them, at {found.image_size} "
        f"pixels. The mean correlation is over {', '.join(found.averaged)}; concept fidelity is that of the synthetic "
        "images over that of the real ones, both of the captions for which there is a real image."
    )


def _tables(found: ConceptFidelity) -> list[Block]:
    """Returns the tables of graded, of yes/no and of scored concepts; what captions do not ask for is left out."""
    graded = [
        (each.concept, shown, scores.n, _written(scores.within_diagnoses), _written(scores.correlation))
        for each in found.graded
        for shown, scores in each.scores.items()
    ]
    yes_no = [
        (
            each.concept,
            shown,
            _share(scores.present, scores.n_present),
            _share(scores.absent, scores.n_absent),
            _written(scores.within_diagnoses),
            _written(scores.difference),
        )
        for each in found.yes_no
        for shown, scores in each.scores.items()
    ]
    scored = [
        (each.concept, shown, counts.n_present, counts.n_absent, _written(area))
        for each in found.scored
        for shown, area in each.auroc.items()
        for counts in [each.n.get(shown, NOT_COUNTED)]
    ]
    tables = (
        Table(
            ("concept", "images", "n", "correlation within diagnoses", "overall"), graded, "More or less of it asked"
        ),
        Table(
            ("concept", "images", "measured where asked", "where its absence is asked", "difference within diagnoses")
            + ("overall",),
            yes_no,
            "Asked, or its absence asked: share of the images in which it is measured",
        ),
        Table(("concept", "images", "asked", "others", "AUROC"), scored, f"Scores of {found.scorer}"),
    )
    few = [each.concept for each in found.graded if each.not_computed]
    few += [each.concept for each in found.yes_no if each.not_computed]
    left_out: list[Block] = [Text(f"Too few images, or none asked, for: {', '.join(few)}.")] if few else []
    return [*(table for table in tables if table.rows), *left_out]


def _share(share: float | None, n: int | None) -> str:
    return f"{number(share, '.0%')} of {n}"
