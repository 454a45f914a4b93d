"""Coloured discs in three folds, and the evaluation of each."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from lesiongen.crossfit import CrossfitConfig, take_fold
from lesiongen.evaluation import EvaluateConfig, evaluate
from tests.evaluation.conftest import SIZE, real_samples, synthetic_samples, write

CONFIG = CrossfitConfig(name="discs", folds=3)
EVALUATE = EvaluateConfig(
    n_seeds=2, steps=24, batch_size=16, checks=2, image_size=SIZE, n_bootstrap=200, n_permutations=500, min_group=10
)


@pytest.fixture(scope="session")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str] | str]:
    """The dataset, its folds and the evaluation of each."""
    folder: Path = tmp_path_factory.mktemp("folds")
    dataset = write(folder / "discs", real_samples())
    synthetic = write(folder / "synthetic", synthetic_samples())
    taken = [take_fold(CONFIG, dataset, str(folder / f"fold{k}"), fold=k).uri for k in (1, 2, 3)]
    evaluations = [str(folder / f"evaluation{k}") for k in (1, 2, 3)]
    for real, output in zip(taken, evaluations, strict=True):
        evaluate(EVALUATE, real, synthetic, output)
    return {"dataset": dataset, "synthetic": synthetic, "folds": taken, "evaluations": evaluations}
