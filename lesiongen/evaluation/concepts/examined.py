"""Which images are measured, which real ones are put beside them, and what is found on them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lesiongen.concepts import measure
from lesiongen.concepts.stated import stated_words
from lesiongen.dataset import Dataset, Sample
from lesiongen.evaluation.concepts.asked import Measured, Words, measured
from lesiongen.evaluation.images import small_image
from lesiongen.imaging import decode
from lesiongen.parallel import in_processes
from lesiongen.progress import progress
from lesiongen.records.concept_fidelity import Shown
from lesiongen.records.provenance import is_generated
from lesiongen.seeds import derive_seed

__all__ = ["Datasets", "Examined", "Request", "examine", "requests"]

PIECE = 16
FEWEST_PIECES = 8
"""Pieces below which starting processes takes longer than the work itself."""
Fact = tuple[str, tuple[str, ...]]
Datasets = Mapping[Shown, Dataset]
"""The datasets of an evaluation, by what their images are."""


@dataclass(frozen=True)
class Request:
    """What the caption of one synthetic image asks for.

    Attributes:
        image_id: The synthetic image.
        diagnosis: Its diagnosis.
        caption: Its caption, which is the prompt that it was drawn with.
        words: What the caption states.
        real_id: A real training image of the same diagnosis whose caption states all of this; None if no image does.
    """

    image_id: str
    diagnosis: str
    caption: str
    words: Words
    real_id: str | None


@dataclass(frozen=True)
class Examined:
    """What was measured, in the order of the requests.

    Attributes:
        requests: What was asked for.
        found: What each kind of image shows; None for a request without an image of that kind.
        image_size: Side in pixels at which all of them were measured.
    """

    requests: Sequence[Request]
    found: Mapping[Shown, Sequence[Measured | None]]
    image_size: int

    @property
    def diagnoses(self) -> NDArray[np.int64]:
        """The number [n] of each request's diagnosis."""
        return np.asarray(pd.factorize(np.array([each.diagnosis for each in self.requests]))[0], dtype=np.int64)

    @property
    def captions(self) -> NDArray[np.int64]:
        """The number [n] of each request's caption."""
        return np.asarray(pd.factorize(np.array([each.caption for each in self.requests]))[0], dtype=np.int64)


def requests(real: Dataset, synthetic: Dataset, *, most: int, seed: int) -> list[Request]:
    """Returns what the synthetic images were asked for, with a real image of the same caption for each.

    A synthetic dataset does not name the image whose caption a prompt is from, and a prompt may say less of the patient
    than that caption. So a training image counts as of the same caption where it has the same diagnosis and its caption
    states everything of lesion and tone that the prompt states; of several, one is drawn.

    Args:
        real: The real images; of these, the training split alone, without those that a model made.
        synthetic: The synthetic images.
        most: Of more images than this, so many are drawn.
        seed: Seed of the draws.
    """
    rng = np.random.default_rng(derive_seed(seed, "concepts"))
    drawn = synthetic.metadata(["image_id", "diagnosis", "caption"]).dropna(subset=["caption"])
    if len(drawn) > most:
        drawn = drawn.iloc[np.sort(rng.choice(len(drawn), most, replace=False))]
    table = real.metadata(["image_id", "diagnosis", "caption", "provenance"], "train").dropna(subset=["caption"])
    index = _RealCaptions(table[~table["provenance"].map(is_generated).astype(bool)])
    found = []
    for image_id, diagnosis, caption in drawn.itertuples(index=False):
        words = stated_words(caption)
        real_id = index.pick(diagnosis, words, rng) if words else None
        found.append(Request(image_id, diagnosis, caption, words, real_id))
    return found


class _RealCaptions:
    """Real images by what their captions state.

    Args:
        table: Their ``image_id``, ``diagnosis`` and ``caption``.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._ids = table["image_id"].tolist()
        self._stating: dict[tuple[str, Fact], set[int]] = {}
        for row, (diagnosis, caption) in enumerate(zip(table["diagnosis"], table["caption"], strict=True)):
            for fact in _facts(stated_words(caption)):
                self._stating.setdefault((diagnosis, fact), set()).add(row)

    def pick(self, diagnosis: str, words: Words, rng: np.random.Generator) -> str | None:
        """Returns one of the images of a diagnosis whose captions state all of these words."""
        stating = [self._stating.get((diagnosis, fact), set()) for fact in _facts(words)]
        rows = sorted(set.intersection(*sorted(stating, key=len)))
        return self._ids[rows[int(rng.integers(len(rows)))]] if rows else None


def _facts(words: Words) -> Iterator[Fact]:
    for name, stated in words.items():
        yield name, tuple(sorted(stated))


def examine(asked: Sequence[Request], datasets: Datasets) -> Examined:
    """Measures the images of requests at the size of the synthetic ones, by the code that measures real images.

    Args:
        asked: What was asked for; at least one.
        datasets: ``synthetic`` and ``real``, and ``reconstruction`` where there are reconstructions of the real images.

    Raises:
        DataError: An image cannot be decoded, or a dataset is damaged.
    """
    synthetic = datasets["synthetic"]
    side = min(decode(next(synthetic.select([asked[0].image_id])).image).size)
    drawn = [each.image_id for each in asked]
    originals = [each.real_id for each in asked]
    found: dict[Shown, Sequence[Measured | None]] = {}
    for shown, dataset in datasets.items():
        wanted = drawn if shown == "synthetic" else originals
        by_id = _measured_images(dataset, {image_id for image_id in wanted if image_id is not None}, side, shown)
        found[shown] = [None if image_id is None else by_id.get(image_id) for image_id in wanted]
    return Examined(asked, found, side)


def _measured_images(dataset: Dataset, image_ids: set[str], side: int, shown: Shown) -> dict[str, Measured]:
    processes = 1 if len(image_ids) < FEWEST_PIECES * PIECE else None
    work = partial(_measure, dataset.uri, side)
    found: dict[str, Measured] = {}
    with (
        progress(f"Measuring concepts, {shown}", total=len(image_ids), unit="images") as bar,
        closing(in_processes(work, _pieces(dataset.select(image_ids)), processes=processes)) as results,
    ):
        for piece in results:
            found.update(piece)
            bar.advance(len(piece))
    return found


def _pieces(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    while piece := list(islice(samples, PIECE)):
        yield piece


def _measure(uri: str, side: int, samples: Sequence[Sample]) -> dict[str, Measured]:
    images = {sample.image_id: Image.fromarray(small_image(sample, uri, side)) for sample in samples}
    return {image_id: measured(measure(image)) for image_id, image in images.items()}
