"""Near copies of training images among the synthetic ones, by a threshold that real images have set."""

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.evaluation.copies.search import ANY, summarised
from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.neighbours import METHOD, Neighbours
from lesiongen.evaluation.report.figures import nearest_pairs_figure, similarity_figure
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import Memorisation, NearestPair
from lesiongen.records.memorisation import CopySearch, CopyShare
from lesiongen.records.text import number
from lesiongen.reporting import Block, Callout, Figure, Section, Table, Text
from lesiongen.sample_sizes import MIN_HELD_OUT_IMAGES

__all__ = ["NEAREST", "NearCopies", "find_copies", "nearest_pairs"]

NEAREST = "nearest.json"
"""The file that names the nearest training image of every synthetic image."""
SHOWN = 12


class NearCopies(Measure):
    """The share of synthetic images nearer to a training image than held-out real images are."""

    place = 30

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``memorisation``, and writes `NEAREST`."""
        synthetic, held_out = evidence.neighbours
        material = evidence.material
        ids = (material.synthetic.table["image_id"].tolist(), material.train.table["image_id"].tolist())
        found, pairs = find_copies(synthetic, held_out, ids, evidence.config.copy_percentile)
        listed = json.dumps([pair.model_dump() for pair in pairs], indent=1, ensure_ascii=False, allow_nan=False)
        (evidence.folder / NEAREST).write_text(listed + "\n", encoding="utf-8")
        search = summarised(evidence.copies, evidence.config.copy_percentile, evidence.config.confidence)
        return {"memorisation": found.changed(search=search)}

    def figures(self, evidence: Evidence, evaluation: EvaluationRecord) -> Mapping[str, Image.Image]:
        """Draws the nearest pairs and the similarities."""
        synthetic, held_out = evidence.neighbours
        material, threshold = evidence.material, evaluation.memorisation.threshold
        return {
            "nearest_pairs": nearest_pairs_figure(
                material.synthetic, material.train, synthetic, shown=SHOWN, real=evidence.config.allow_real_images
            ),
            "similarity": similarity_figure(synthetic, held_out, threshold),
        }

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section on near copies."""
        found = evaluation.memorisation
        rows = [(pair.synthetic, pair.train, pair.similarity, pair.above) for pair in found.nearest_pairs]
        text = (
            f"Similarity is {found.method}. The threshold {number(found.threshold)} is the "
            f"{number(found.percentile, 'g')}th percentile of the similarities of {found.n_held_out} held-out real "
            f"images to their nearest training image, so that {number(found.expected_share, '.0%')} above it are "
            f"expected without any copying; {found.n_above} of {found.n_synthetic} synthetic images are."
        )
        blocks: list[Block] = [Text(text)]
        if not found.calibrated:
            blocks.append(
                Callout("warning", f"Too few held-out images for a firm threshold: fewer than {MIN_HELD_OUT_IMAGES}.")
            )
        blocks += [
            Figure(
                figures["nearest_pairs"], "Synthetic images and their nearest training images", "The nearest first."
            ),
            Figure(figures["similarity"], "Similarities to the nearest training image"),
            Table(
                ("synthetic image", "training image", "similarity", "above threshold"),
                rows,
                "The nearest pairs; nearest.json of the evaluation names that of every synthetic image",
            ),
        ]
        return [Section("Near copies of training images", [*blocks, *_search_blocks(found.search)])]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns the share of near copies, and by how much those of all descriptors exceed chance."""
        found = evaluation.memorisation
        return {"memorisation_share_above": found.share_above, "memorisation_above_chance": found.search.above_chance}


def _search_blocks(found: CopySearch) -> list[Block]:
    """Says what further descriptors find, and which copies each of them sees; nothing of earlier evaluations."""
    if found.above_chance is None:
        return []
    methods = "; ".join(f"{name}: {each.method}" for name, each in found.descriptors.items())
    text = (
        f"Further descriptors look for crops of training images and for their lesions on other skin ({methods}). "
        "Together, an image counts where one of them is above its joint threshold, chosen so that as few held-out "
        "images are as above one threshold alone. Copies were made of training images: the share that is found says "
        "what the search can see. What it misses here, it misses among the synthetic images."
    )
    counted = {name: each.synthetic for name, each in found.descriptors.items()} | {ANY: found.synthetic}
    rows = [(name, each.n_above, each.n, each.share, _interval(each)) for name, each in counted.items()]
    rows.append(
        (
            "held-out real, any",
            found.held_out.n_above,
            found.held_out.n,
            found.held_out.share,
            _interval(found.held_out),
        )
    )
    difference = (
        f"The share of all descriptors exceeds chance by {number(found.above_chance, '+.1%')} "
        f"({number(found.above_chance_low, '+.1%')} to {number(found.above_chance_high, '+.1%')})."
    )
    planted = [
        (kind, each[ANY].n, *(each[name].share for name in counted), _interval(each[ANY]))
        for kind, each in found.planted.items()
    ]
    return [
        Text(text),
        Table(("descriptor", "near copies", "images", "share", "interval"), rows, "Near copies among the images"),
        Text(difference),
        Table(("copy", "copies", *counted, f"interval of {ANY}"), planted, "Share of planted copies that is found"),
    ]


def _interval(found: CopyShare) -> str:
    return f"{number(found.low)} to {number(found.high)}"


def find_copies(
    synthetic: Neighbours,
    held_out: Neighbours,
    ids: tuple[list[str], list[str]],
    percentile: float,
) -> tuple[Memorisation, list[NearestPair]]:
    """Marks the synthetic images that are nearer to a training image than held-out real images are.

    Held-out images share no lesion with the training images (the split sees to it), so their similarities show what
    is met by chance.

    Args:
        synthetic: Neighbours of the synthetic images.
        held_out: Neighbours of the held-out real images.
        ids: Image ids of the synthetic and of the training images.
        percentile: The threshold is this percentile of the held-out similarities.

    Returns:
        What was found, and the nearest training image of every synthetic image, in their order.
    """
    threshold = float(np.percentile(held_out.similarity, percentile))
    above = synthetic.similarity > threshold
    pairs = nearest_pairs(synthetic, ids, threshold)
    order = np.argsort(-synthetic.similarity, kind="stable")[:SHOWN]
    found = Memorisation(
        method=METHOD,
        threshold=threshold,
        percentile=percentile,
        expected_share=1 - percentile / 100,
        share_above=float(above.mean()),
        n_above=int(above.sum()),
        n_synthetic=len(above),
        n_held_out=len(held_out.similarity),
        calibrated=len(held_out.similarity) >= MIN_HELD_OUT_IMAGES,
        synthetic_quantiles=_quantiles(synthetic.similarity),
        held_out_quantiles=_quantiles(held_out.similarity),
        nearest_pairs=tuple(pairs[k] for k in order.tolist()),
    )
    return found, pairs


def nearest_pairs(synthetic: Neighbours, ids: tuple[list[str], list[str]], threshold: float) -> list[NearestPair]:
    """Names the nearest training image of every synthetic image, and whether it is nearer than the threshold.

    Args:
        synthetic: Neighbours of the synthetic images.
        ids: Image ids of the synthetic and of the training images.
        threshold: Similarity above which a synthetic image counts as a near copy.

    Returns:
        One pair for each synthetic image, in their order.
    """
    found = zip(ids[0], synthetic.rows.tolist(), synthetic.similarity.tolist(), strict=True)
    return [
        NearestPair(synthetic=name, train=ids[1][row], similarity=similarity, above=similarity > threshold)
        for name, row, similarity in found
    ]


def _quantiles(values: NDArray[np.float32]) -> dict[str, float | None]:
    return {f"p{q}": float(np.percentile(values, q)) for q in (5, 50, 95, 99)}
