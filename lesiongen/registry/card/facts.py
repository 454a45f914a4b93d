"""What is known of a generator, taken from its manifest, its evaluation and the datasets that both name."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lesiongen.dataset.manifest import DatasetManifest, read_manifest
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.packaged_models import packaged_model
from lesiongen.records.card import CardData, CardDecision, CardGroup, CardScore, CardTraining
from lesiongen.records.decision import Outcome
from lesiongen.records.evaluation import EvaluationRecord, Source
from lesiongen.records.history import FINISHED, HistoryEvent
from lesiongen.records.image_measures import Bounded
from lesiongen.records.model import BaseReference, ModelManifest
from lesiongen.records.origin import IngestOrigin, MergeOrigin
from lesiongen.records.scores import SubgroupScore
from lesiongen.storage import open_storage

__all__ = ["card_data", "card_groups", "card_scores", "card_training", "last_decision"]

logger = logging.getLogger(__name__)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
MOST_STEPS_BACK = 20
"""From a dataset to the one that it was made from."""


def card_training(model: ModelManifest, data: Iterable[CardData]) -> CardTraining:
    """Returns how a generator was trained.

    Args:
        model: Its manifest.
        data: The datasets of the card: the training dataset says how many images it holds.
    """
    training, config = model.training, model.training.config
    own = next((each for each in data if each.used_for != "evaluation"), None)
    return CardTraining(
        family=model.family,
        method=model.method,
        prediction=model.prediction,
        image_size=model.image_size,
        base=_name_of_base(model.base),
        base_revision=model.base.revision if model.base else None,
        base_version=model.base.version if model.base else None,
        base_trained_on_own_images=training.base_trained_on_own_images,
        images=training.images if own is None else own.images.get("train", training.images),
        steps=training.steps,
        skipped_steps=training.skipped_steps,
        batch_size=_whole(config, "optimisation", "batch_size"),
        gradient_accumulation_steps=_whole(config, "optimisation", "gradient_accumulation_steps"),
        processes=_whole(config, "runtime", "processes"),
        learning_rate=_number(config, "optimisation", "learning_rate"),
        rank=_whole(config, "adaptation", "rank"),
        seed=_whole(config, "seed"),
        held_out_loss=training.held_out_loss,
        preset=str(config["preset"]) if "preset" in config else None,
        libraries=model.libraries,
    )


def card_data(model: ModelManifest, evaluation: EvaluationRecord) -> tuple[CardData, ...]:
    """Returns the datasets that a generator was trained on and evaluated on; addresses are left out.

    One that is not there, or is no longer the version that was used, is described by its version alone.
    """
    trained, tested = model.training.dataset, evaluation.sources.get("real")
    if trained and tested and trained.version == tested.version:
        return (_described(trained, "training and evaluation"),)
    named = ((trained, "training"), (tested, "evaluation"))
    return tuple(_described(source, used_for) for source, used_for in named if source and source.version)


def card_scores(evaluation: EvaluationRecord) -> tuple[CardScore, ...]:
    """Returns the balanced accuracy of each condition that was evaluated."""
    return tuple(
        CardScore(
            condition=condition,
            balanced_accuracy=Bounded(
                value=scores.balanced_accuracy.mean,
                low=scores.balanced_accuracy.low,
                high=scores.balanced_accuracy.high,
            ),
            n_seeds=len(scores.balanced_accuracy.per_seed) or None,
        )
        for condition, scores in evaluation.utility.items()
    )


def card_groups(evaluation: EvaluationRecord) -> tuple[CardGroup, ...]:
    """Returns the groups of patients: the lowest recall first, those with too few images or no recall last."""
    real, both = (_by_group(evaluation.scores(condition).subgroups) for condition in ("real", "both"))
    named = evaluation.worst_group
    groups = [
        _group(key, real.get(key), both.get(key), named=bool(named.column) and key == (named.column, named.group))
        for key in dict.fromkeys([*real, *both])
    ]
    return tuple(sorted(groups, key=lambda each: (each.recall is None, each.too_small, each.recall or 0.0)))


def last_decision(events: Sequence[HistoryEvent], version: str) -> CardDecision | None:
    """Returns what the gates decided on a version last; None where they did not, or that was undone."""
    for event in reversed(events):
        if event.version == version and event.state == FINISHED and event.action.upper() in set(Outcome):
            return CardDecision(
                outcome=Outcome(event.action.upper()), who=event.who, when=event.when, reasons=event.reasons
            )
    return None


def _name_of_base(base: BaseReference | None) -> str | None:
    """Returns what anybody knows a base by; an address is one of our own."""
    if base is None or (packaged_model(base.uri) is None and not HUB_ID.fullmatch(base.uri)):
        return None
    return base.uri


def _described(source: Source, used_for: Any) -> CardData:
    known = CardData(used_for=used_for, version=source.version)
    try:
        manifest = _manifest(source)
    except (StorageError, UsageError, DataError) as error:
        logger.info("The card does not describe the dataset %s: %s", source.version[:12], error)
        return known
    line = [manifest, *_made_from(manifest)]
    first = line[-1].origin
    return known.changed(
        name=manifest.name,
        collection=_collection(first),
        licence=manifest.licence,
        attribution=manifest.attribution,
        images=manifest.splits,
        merged={each.name: each.licence for each in first.datasets} if isinstance(first, MergeOrigin) else {},
        notes=len(first.notes) if isinstance(first, IngestOrigin) else None,
    )


def _collection(origin: object) -> str | None:
    found = origin.config.get("format") if isinstance(origin, IngestOrigin) else None
    return None if found is None else str(found)


def _manifest(source: Source) -> DatasetManifest:
    manifest = read_manifest(open_storage(source.uri))
    if manifest.version != source.version:
        raise DataError(f"{source.uri} is no longer the version {source.version[:12]} that was used.")
    return manifest


def _made_from(manifest: DatasetManifest) -> Iterator[DatasetManifest]:
    """Yields the datasets that one was made from, as far as they are still there."""
    for _ in range(MOST_STEPS_BACK):
        uri, version = (str(getattr(manifest.origin, name, "")) for name in ("dataset", "dataset_version"))
        if not (uri and version):
            return
        try:
            manifest = _manifest(Source(uri=uri, version=version))
        except (StorageError, UsageError, DataError) as error:
            logger.info("The card does not describe what the dataset was made from: %s", error)
            return
        yield manifest


def _by_group(groups: Iterable[SubgroupScore]) -> dict[tuple[str, str], SubgroupScore]:
    return {(each.column, each.group): each for each in groups}


def _group(key: tuple[str, str], real: SubgroupScore | None, both: SubgroupScore | None, *, named: bool) -> CardGroup:
    known = real or both or SubgroupScore()
    return CardGroup(
        column=key[0],
        group=key[1],
        n=known.n,
        lesions=known.lesions,
        too_small=known.too_small,
        named=named,
        real=_recall(real),
        both=_recall(both),
    )


def _recall(score: SubgroupScore | None) -> Bounded:
    return Bounded() if score is None else Bounded(value=score.recall, low=score.low, high=score.high)


def _number(config: Mapping[str, Any], *path: str) -> float | None:
    value: Any = config
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(config: Mapping[str, Any], *path: str) -> int | None:
    value = _number(config, *path)
    return None if value is None else int(value)
