"""Coloured discs in three folds, and the evaluation of each."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import ImageFilter

from lesiongen.crossfit import CrossfitConfig, take_fold
from lesiongen.dataset import Dataset, DatasetWriter
from lesiongen.evaluation import EvaluateConfig, evaluate
from lesiongen.imaging import decode, encode_png
from lesiongen.records.origin import ReconstructOrigin
from lesiongen.records.provenance import ReconstructedProvenance
from tests.evaluation.conftest import SIZE, real_samples, synthetic_samples, write

CONFIG = CrossfitConfig(name="discs", folds=3)
EVALUATE = EvaluateConfig(
    classifiers=("small", "lite0") if find_spec("efficientnet_lite_pytorch") else ("small",),
    n_seeds=2,
    steps=24,
    batch_size=16,
    checks=2,
    image_size=SIZE,
    n_bootstrap=200,
    n_permutations=500,
    min_group=10,
)


def reconstructed_of(real: str, output: str) -> str:
    """The training images of a fold, blurred as an autoencoder blurs."""
    provenance = ReconstructedProvenance(model="m", model_version="1" * 64, image_size=SIZE).text()
    origin = ReconstructOrigin(stage="reconstruct", model="m", model_version="1" * 64)
    with DatasetWriter(output, name="discs-reconstructed", origin=origin) as writer:
        for sample in Dataset.open(real).samples("train"):
            image = decode(sample.image).filter(ImageFilter.GaussianBlur(2))
            writer.add(replace(sample, image=encode_png(image), provenance=provenance))
    return output


@pytest.fixture(scope="session")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str] | str]:
    """The dataset, its folds and the evaluation of each."""
    folder: Path = tmp_path_factory.mktemp("folds")
    dataset = write(folder / "discs", real_samples())
    synthetic = write(folder / "synthetic", synthetic_samples())
    taken = [take_fold(CONFIG, dataset, str(folder / f"fold{k}"), fold=k).uri for k in (1, 2, 3)]
    evaluations = [str(folder / f"evaluation{k}") for k in (1, 2, 3)]
    for real, output in zip(taken, evaluations, strict=True):
        evaluate(EVALUATE, real, synthetic, output, reconstructed_of(real, f"{output}-reconstructed"))
    return {"dataset": dataset, "synthetic": synthetic, "folds": taken, "evaluations": evaluations}
