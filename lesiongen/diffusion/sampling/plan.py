"""Which images to draw: the diagnosis, the caption and the settings of each."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

import numpy as np
import pandas as pd

from lesiongen.concepts.text import reference_prompts
from lesiongen.dataset import Dataset, resolve_diagnosis
from lesiongen.dataset.subgroups import SUBGROUP_COLUMNS, group_named, subgroups_of
from lesiongen.dataset.taxonomy import DIAGNOSES, REFERENCE_DIAGNOSES
from lesiongen.diffusion.sampling.config import BALANCE, PlanEntry, SampleConfig
from lesiongen.diffusion.sampling.shared_facts import SHARED_COLUMNS, SharedFacts
from lesiongen.errors import DataError, UsageError
from lesiongen.seeds import derive_seed

__all__ = ["Request", "batches", "requests"]

logger = logging.getLogger(__name__)
_Choice = TypeVar("_Choice", int, float)


@dataclass(frozen=True)
class Request:
    """One image to draw.

    Attributes:
        index: Its place in the plan; with the run's seed it settles caption, settings and noise.
        diagnosis: The class that the image will be counted as.
        prompt: What the generator is asked for.
        guidance_scale: How strongly the prompt is followed.
        steps: Denoising steps.
        caption_of: image_id of the training image from whose caption the prompt is; None for a reference prompt. It
            leaves the machine with no image.
    """

    index: int
    diagnosis: str
    prompt: str
    guidance_scale: float
    steps: int
    caption_of: str | None = None


def requests(config: SampleConfig, dataset: Dataset | None) -> list[Request]:
    """Lists the images of a sampling run, ordered by diagnosis.

    A prompt states of the patient what several patients share (`SharedFacts`), and what the plan asks for by name.
    Captions come from the ``train`` split alone: a caption written from a test image would carry what is known of
    that image into the training of the classifier that is tested on it.

    Args:
        config: The plan, where captions come from, and the seed.
        dataset: The captioned dataset; needed unless captions are the reference prompts and the plan is explicit.

    Raises:
        UsageError: The configuration needs a dataset, wants subgroups but not the dataset's captions, the plan names
            an unknown diagnosis, or ``only`` an image that the plan does not have.
        DataError: A diagnosis or subgroup of the plan has no captioned training image.
    """
    _check_subgroups(config)
    table = _training_images(dataset) if dataset is not None else None
    if table is None and (config.captions == "dataset" or config.plan == BALANCE):
        wanted = "plan = balance" if config.plan == BALANCE else "captions = dataset"
        raise UsageError(
            f"{wanted} needs a dataset",
            hint="Give the captioned dataset that the model was trained on, or captions = reference.",
        )
    if dataset is not None and table is not None and config.plan is None:
        _warn_of_undrawn(dataset, table)
    found: list[Request] = []
    from_captions = table is not None and config.captions == "dataset"
    shared = SharedFacts(table, config.min_patients_per_prompt) if from_captions else None
    for entry in _entries(config, table):
        sources = _captioned(table, entry) if from_captions else None
        for _ in range(entry.count):
            found.append(_request(config, entry, len(found), sources, shared))
    if unknown := [index for index in config.only if not 0 <= index < len(found)]:
        raise UsageError(f"only = {unknown[0]}: the plan has the images 0 to {len(found) - 1}")
    return found


def _training_images(dataset: Dataset) -> pd.DataFrame:
    columns = dict.fromkeys(("image_id", "caption", *SHARED_COLUMNS, *SUBGROUP_COLUMNS))
    return dataset.metadata(columns=list(columns), split="train")


def batches(wanted: Sequence[Request], size: int) -> list[list[Request]]:
    """Groups requests that are drawn at once: they share guidance and steps, which a pipeline takes once a call.

    >>> wanted = [Request(number, "nv", "a nevus", 2.0, steps, None) for number, steps in enumerate((20, 50, 20))]
    >>> [[request.index for request in batch] for batch in batches(wanted, size=8)]
    [[0, 2], [1]]
    """
    groups: dict[tuple[float, int], list[Request]] = {}
    for request in wanted:
        groups.setdefault((request.guidance_scale, request.steps), []).append(request)
    return [group[start : start + size] for _, group in sorted(groups.items()) for start in range(0, len(group), size)]


def _entries(config: SampleConfig, table: pd.DataFrame | None) -> list[PlanEntry]:
    plan = config.plan
    if isinstance(plan, Mapping):
        plan = tuple(PlanEntry(diagnosis=name, count=count) for name, count in plan.items())
    if isinstance(plan, tuple):
        found = [_known(entry, table) for entry in plan]
        return sorted((entry for entry in found if entry.count), key=lambda entry: entry.diagnosis)
    if table is None:
        return [PlanEntry(diagnosis=name, count=config.per_class) for name in sorted(REFERENCE_DIAGNOSES)]
    if plan == BALANCE:
        return _lacking(config, table)
    present = sorted(table["diagnosis"].unique())
    return [PlanEntry(diagnosis=str(name), count=config.per_class) for name in present]


def _warn_of_undrawn(dataset: Dataset, table: pd.DataFrame) -> None:
    undrawn = set(dataset.metadata(columns=["diagnosis"])["diagnosis"]) - set(table["diagnosis"])
    if undrawn:
        logger.warning("No training image shows %s: none is drawn", ", ".join(sorted(undrawn)))


def _lacking(config: SampleConfig, table: pd.DataFrame) -> list[PlanEntry]:
    """Returns what every diagnosis, in every subgroup that occurs with it, lacks to be as large as the largest."""
    keys = ["diagnosis", *config.balance_by]
    groups = subgroups_of(table).assign(diagnosis=table["diagnosis"])
    counts = groups.dropna(subset=keys).groupby(keys).size()
    entries = []
    for values, count in counts.items():
        diagnosis, *subgroup = values if isinstance(values, tuple) else (values,)
        where = dict(zip(config.balance_by, subgroup, strict=True))
        entries.append(PlanEntry(diagnosis=diagnosis, where=where, count=int(counts.max() - count)))
    missing = [entry for entry in entries if entry.count]
    if not missing:
        raise UsageError(f"plan = balance: every {' and '.join(keys)} of the training set has as many images as others")
    return missing


def _check_subgroups(config: SampleConfig) -> None:
    """A reference prompt names a tone of its own: only a subgroup's captions ask for the subgroup."""
    entries = config.plan if isinstance(config.plan, tuple) else ()
    if config.captions == "reference" and (config.balance_by or any(entry.where for entry in entries)):
        raise UsageError(
            f"captions = reference: {'balance_by' if config.balance_by else 'where'} would be without effect",
            hint="Leave the subgroups out, or take the dataset's captions (captions = dataset).",
        )


def _known(entry: PlanEntry, table: pd.DataFrame | None) -> PlanEntry:
    """Returns the entry with the training set's name of its diagnosis, which may be spelt otherwise (``nevus``)."""
    known = set(DIAGNOSES) if table is None else set(table["diagnosis"])
    name = entry.diagnosis if entry.diagnosis in known else resolve_diagnosis(entry.diagnosis)
    if name in known:
        return entry.changed(diagnosis=name)
    near = "".join(f"Did you mean {match}? " for match in get_close_matches(entry.diagnosis, known, n=1))
    raise UsageError(
        f"plan: no training images of the diagnosis {entry.diagnosis!r}",
        hint=f"{near}Known: {', '.join(sorted(known))}.",
    )


def _beside(entry: PlanEntry, column: str) -> str:
    """Names what a plan has asked of the same images before a column."""
    before = []
    for name, value in entry.where.items():
        if name == column:
            break
        before.append(f"{name} = {value!r}")
    return f" beside {' and '.join(before)}" if before else ""


def _captioned(table: pd.DataFrame | None, entry: PlanEntry) -> list[tuple[str, str]]:
    assert table is not None  # noqa: S101 - requests() refuses this before
    chosen = table[table["diagnosis"] == entry.diagnosis]
    groups = subgroups_of(table)
    for column, value in entry.where.items():
        here = groups.loc[chosen.index, column]
        there = here.value_counts()
        chosen = chosen[here == group_named(groups[column], value)]
        if chosen.empty:
            known = ", ".join(f"{name} ({count})" for name, count in there.items())
            raise DataError(
                f"No training image of {entry.diagnosis!r} has {column} = {value!r}{_beside(entry, column)}",
                hint=f"There are: {known or 'none that say'}.",
            )
    sources = [
        (row.caption, row.image_id)
        for row in chosen.itertuples(index=False)
        if isinstance(row.caption, str) and row.caption
    ]
    if not sources:
        subgroup = "".join(f" with {column} = {value!r}" for column, value in entry.where.items())
        raise DataError(
            f"No training image of {entry.diagnosis!r}{subgroup} has a caption",
            hint="Caption the dataset first (lesiongen caption), or "
            + ("leave the subgroup out of the plan." if entry.where else "sample with captions = reference."),
        )
    return sources


def _request(
    config: SampleConfig,
    entry: PlanEntry,
    index: int,
    sources: list[tuple[str, str]] | None,
    shared: SharedFacts | None,
) -> Request:
    random = np.random.default_rng(derive_seed(config.seed, "caption", index))
    if sources is None or shared is None:
        prompts = reference_prompts(entry.diagnosis)
        prompt, image_id = prompts[int(random.integers(len(prompts)))], None
    else:
        caption, image_id = sources[int(random.integers(len(sources)))]
        # The subgroups of a balance are those that occur, however few patients they are of: nobody named them.
        asked = () if config.plan == BALANCE else entry.where
        prompt = shared.prompt(caption, image_id, entry.diagnosis, asked)
    guidance = _drawn(config.guidance_scale if entry.guidance_scale is None else entry.guidance_scale, random)
    steps = _drawn(
        config.num_inference_steps if entry.num_inference_steps is None else entry.num_inference_steps, random
    )
    return Request(index, entry.diagnosis, prompt, guidance, steps, image_id)


def _drawn(choices: _Choice | tuple[_Choice, ...], random: np.random.Generator) -> _Choice:
    return choices[int(random.integers(len(choices)))] if isinstance(choices, tuple) else choices
