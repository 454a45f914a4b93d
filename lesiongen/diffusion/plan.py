"""Which images to draw: the diagnosis and the caption of each."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesiongen.concepts.text import reference_prompts
from lesiongen.dataset import Dataset
from lesiongen.dataset.taxonomy import DIAGNOSES, REFERENCE_DIAGNOSES
from lesiongen.diffusion.sample_config import BALANCE, SampleConfig
from lesiongen.errors import DataError, UsageError
from lesiongen.seeds import derive_seed

__all__ = ["Request", "requests"]


@dataclass(frozen=True)
class Request:
    """One image to draw.

    Attributes:
        index: Its place in the plan; with the run's seed it settles caption and noise.
        diagnosis: The class that the image will be counted as.
        prompt: What the generator is asked for.
        caption_of: image_id of the training image whose caption the prompt is; None for a reference prompt.
    """

    index: int
    diagnosis: str
    prompt: str
    caption_of: str | None = None


def requests(config: SampleConfig, dataset: Dataset | None) -> list[Request]:
    """Lists the images of a sampling run, ordered by diagnosis.

    Captions come from the ``train`` split alone: a caption written from a test image would carry what is known of
    that image into the training of the classifier that is tested on it.

    Args:
        config: The plan, where captions come from, and the seed.
        dataset: The captioned dataset; needed unless captions are the reference prompts and the plan is explicit.

    Raises:
        UsageError: The configuration needs a dataset, or the plan names an unknown diagnosis.
        DataError: A diagnosis of the plan has no captioned training image.
    """
    table = _training_captions(dataset)
    if table is None and (config.captions == "dataset" or config.plan == BALANCE):
        wanted = "plan = balance" if config.plan == BALANCE else "captions = dataset"
        raise UsageError(
            f"{wanted} needs a dataset",
            hint="Give the captioned dataset that the model was trained on, or captions = reference.",
        )
    found: list[Request] = []
    for diagnosis, count in _counts(config, table).items():
        sources = _captioned(table, diagnosis) if config.captions == "dataset" else None
        for _ in range(count):
            found.append(_request(config, len(found), diagnosis, sources))
    return found


def _training_captions(dataset: Dataset | None) -> pd.DataFrame | None:
    if dataset is None:
        return None
    return dataset.metadata(columns=["image_id", "diagnosis", "caption"], split="train")


def _counts(config: SampleConfig, table: pd.DataFrame | None) -> dict[str, int]:
    if isinstance(config.plan, Mapping):
        _check_plan(config.plan, table)
        return {name: count for name, count in sorted(config.plan.items()) if count}
    if table is None:
        return dict.fromkeys(sorted(REFERENCE_DIAGNOSES), config.per_class)
    present = table["diagnosis"].value_counts().sort_index()
    if config.plan == BALANCE:
        lacking = {str(name): int(present.max() - count) for name, count in present.items()}
        if not any(lacking.values()):
            raise UsageError("plan = balance: every diagnosis of the training set has as many images as the others")
        return {name: count for name, count in lacking.items() if count}
    return dict.fromkeys(map(str, present.index), config.per_class)


def _check_plan(plan: Mapping[str, int], table: pd.DataFrame | None) -> None:
    known = set(DIAGNOSES) if table is None else set(table["diagnosis"])
    if unknown := sorted(set(plan) - known):
        raise UsageError(f"plan: {unknown[0]!r} is no diagnosis", hint=f"Known: {', '.join(sorted(known))}.")


def _captioned(table: pd.DataFrame | None, diagnosis: str) -> list[tuple[str, str]]:
    rows = [] if table is None else table[table["diagnosis"] == diagnosis].itertuples(index=False)
    sources = [(row.caption, row.image_id) for row in rows if isinstance(row.caption, str) and row.caption]
    if not sources:
        raise DataError(
            f"No training image of {diagnosis!r} has a caption",
            hint="Caption the dataset first (lesiongen caption), or sample with captions = reference.",
        )
    return sources


def _request(config: SampleConfig, index: int, diagnosis: str, sources: list[tuple[str, str]] | None) -> Request:
    random = np.random.default_rng(derive_seed(config.seed, "caption", index))
    if sources is None:
        prompts = reference_prompts(diagnosis)
        return Request(index, diagnosis, prompts[int(random.integers(len(prompts)))])
    prompt, image_id = sources[int(random.integers(len(sources)))]
    return Request(index, diagnosis, prompt, image_id)
