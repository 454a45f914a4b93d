"""What an evaluation found, as blocks of the card: each number with its interval, what is missing as unknown."""

from collections.abc import Iterable

from lesiongen.records.card import CardRecord
from lesiongen.records.concept_fidelity import ConceptEffect, ConceptFidelity, GradedScores, Shown, YesNoScores
from lesiongen.records.image_measures import Bounded
from lesiongen.records.memorisation import CopySearch, CopyShare
from lesiongen.records.scores import Comparison, Condition
from lesiongen.records.text import number
from lesiongen.reporting import Block, Callout, Table, Text

__all__ = ["concept_blocks", "copy_blocks", "group_blocks", "result_blocks"]

TRAINED_ON: dict[Condition, str] = {
    "real": "real images",
    "synthetic": "synthetic images alone",
    "both": "real and synthetic images",
    "reconstruction": "reconstructions of the real images",
}
ANY = "any"
SHOWN: tuple[Shown, ...] = ("synthetic", "real")


def result_blocks(card: CardRecord) -> list[Block]:
    """Returns how classifiers do on real test images, by what they were trained on."""
    if not card.scores:
        return [Callout("warning", "Results are unknown: the evaluation holds no scores.")]
    confidence = "unknown confidence" if card.confidence is None else f"{card.confidence:.0%} confidence"
    tested = (
        f"Tested on {_count(card.test_images)} real images of {_count(card.test_lesions)} lesions; "
        f"{_count(card.synthetic_images)} synthetic images. Intervals of {confidence} in parentheses."
    )
    scores = [
        (TRAINED_ON[score.condition], _interval(score.balanced_accuracy), score.n_seeds or "unknown")
        for score in card.scores
    ]
    compared = [_comparison(entry) for entry in card.comparisons]
    blocks: list[Block] = [Text(tested), Table(("trained on", "balanced accuracy", "classifiers"), scores)]
    heads = ("comparison", "metric", "difference", "p (Holm)", "significant")
    return [*blocks, Table(heads, compared) if compared else Text("No conditions were compared.")]


def group_blocks(card: CardRecord) -> list[Block]:
    """Returns the recall in each group of patients, the lowest first."""
    named: list[Block] = [Text(card.worst_group or "How the worst group was named is unknown.")]
    if not card.groups:
        return [*named, Callout("warning", "Groups of patients are unknown: the evaluation holds none.")]
    rows = [
        (
            f"{group.column.replace('_', ' ')}: {group.group}",
            _interval(group.both),
            _interval(group.real),
            _count(group.n),
            _count(group.lesions),
            "too few images" if group.too_small else "the worst group, as named" if group.named else "",
        )
        for group in card.groups
    ]
    heads = ("group", "recall, real and synthetic", "recall, real", "test images", "lesions", "remark")
    return [*named, Table(heads, rows)]


def copy_blocks(found: CopySearch) -> list[Block]:
    """Returns how many synthetic images are near copies, and which planted copies the search finds."""
    if found.synthetic.share is None:
        blocks: list[Block] = [Callout("warning", "How many synthetic images are near copies is unknown.")]
    else:
        above = Bounded(value=found.above_chance, low=found.above_chance_low, high=found.above_chance_high)
        shares = [
            ("synthetic images", _share(found.synthetic), _count(found.synthetic.n)),
            ("held-out real images (chance)", _share(found.held_out), _count(found.held_out.n)),
            ("difference", _interval(above, "+.1%"), ""),
        ]
        blocks = [Table(("near copies of a training image", "share", "images"), shares)]
    planted = [
        (kind, _share(by_descriptor.get(ANY, CopyShare())), _count(by_descriptor.get(ANY, CopyShare()).n))
        for kind, by_descriptor in found.planted.items()
    ]
    if not planted:
        return [*blocks, Text("Which planted copies the search finds (its recall) is unknown.")]
    return [*blocks, Table(("planted copies", "found", "planted"), planted, "Recall of the search, by kind of copy.")]


def concept_blocks(found: ConceptFidelity | None) -> list[Block]:
    """Returns how far images show what their captions ask for."""
    if found is None:
        return [Callout("warning", "Concept fidelity is unknown: it was not measured.")]
    told = _interval(found.fidelity, ".2f")
    reason = f" {found.not_computed}" if found.not_computed else ""
    text = (
        f"Concept fidelity is {told}: how far what is measured on synthetic images follows their captions, as a share "
        f"of what real images of these captions reach.{reason} {_count(found.n_examined)} of "
        f"{_count(found.n_synthetic)} synthetic images of {_count(found.n_captions)} captions were measured."
    )
    rows = [*_graded(found), *_yes_no(found)]
    heads = ("concept", "measure, within diagnoses", "synthetic images", "real images")
    return [Text(text), Table(heads, rows) if rows else Text("No single concept was measured.")]


def _graded(found: ConceptFidelity) -> Iterable[tuple[str, str, str, str]]:
    for each in found.graded:
        synthetic, real = (_effect(each.scores.get(shown)) for shown in SHOWN)
        yield each.concept, "rank correlation", synthetic, real


def _yes_no(found: ConceptFidelity) -> Iterable[tuple[str, str, str, str]]:
    for each in found.yes_no:
        synthetic, real = (_effect(each.scores.get(shown)) for shown in SHOWN)
        yield each.concept, "difference of shares", synthetic, real


def _comparison(entry: Comparison) -> tuple[str, str, str, str, str]:
    bounds = Bounded(value=entry.difference, low=entry.low, high=entry.high)
    difference = _interval(bounds, "+.3f")
    if entry.not_computed:
        difference = f"unknown: {entry.not_computed}"
    significant = "yes" if entry.significant else "no" if entry.p_holm is not None else "unknown"
    return (entry.name, entry.metric.replace("_", " "), difference, number(entry.p_holm, ".3g"), significant)


def _effect(scores: GradedScores | YesNoScores | None) -> str:
    return "unknown" if scores is None else _interval(scores.within_diagnoses, "+.2f")


def _share(share: CopyShare) -> str:
    return _interval(Bounded(value=share.share, low=share.low, high=share.high), ".1%")


def _interval(bounds: Bounded | ConceptEffect, form: str = ".3f") -> str:
    """Returns a number with its interval, or that one of them is unknown."""
    if bounds.value is None:
        return "unknown"
    if bounds.low is None or bounds.high is None:
        return f"{bounds.value:{form}} (interval unknown)"
    return f"{bounds.value:{form}} ({bounds.low:{form}} to {bounds.high:{form}})"


def _count(n: int | None) -> str:
    return number(n, ",d")
