"""Small datasets of coloured discs, which a small network learns in a few steps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesiongen.dataset import DatasetWriter, Sample
from lesiongen.evaluation import EvaluateConfig
from lesiongen.imaging import encode_png

COLOURS = {"bcc": (190, 90, 100), "mel": (50, 35, 30), "nv": (140, 90, 60)}
SIZE = 32


def disc(diagnosis: str, seed: int) -> np.ndarray:
    """A disc of the diagnosis' colour on skin, with a place, a size and a texture of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    centre, radius = rng.uniform(11, 20, 2), rng.uniform(5, 11)
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    image = np.where(inside[..., None], COLOURS[diagnosis], rng.uniform(185, 235, 3))
    image = image + rng.normal(0, 14, image.shape) + rng.normal(0, 12, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


def sample(diagnosis: str, seed: int, split: str, image_id: str, **columns: object) -> Sample:
    image = encode_png(Image.fromarray(disc(diagnosis, seed)))
    return Sample(image=image, image_id=image_id, diagnosis=diagnosis, split=split, **columns)


def write(path: Path, samples: list[Sample]) -> str:
    with DatasetWriter(str(path), name="discs") as writer:
        for each in samples:
            writer.add(each)
    return str(path)


def real_samples() -> list[Sample]:
    """90 training, 24 validation and 60 test images; every lesion is photographed twice."""
    samples, seed = [], 0
    for split, count in (("train", 90), ("validation", 24), ("test", 60)):
        for number in range(count):
            diagnosis = list(COLOURS)[number // 2 % 3]
            columns = {
                "lesion_id": f"{split}{number // 2}",
                "sex": ("male", "female", None)[number // 2 % 5 % 3],
                "age": 20.0 + number // 2 * 2 % 70,
                "measured_tone": "light" if number % 9 else "tan",
            }
            samples.append(sample(diagnosis, seed, split, f"real{seed}", **columns))
            seed += 1
    return samples


def synthetic_samples(classes: tuple[str, ...] = tuple(COLOURS)) -> list[Sample]:
    columns = {"source": "lesiongen", "measured_tone": "light"}
    return [sample(name, 1000 + k, "train", f"made{k}", **columns) for k, name in enumerate(classes * 20)]


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("real"), real_samples())


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("synthetic"), synthetic_samples())


@pytest.fixture
def publish(tmp_path: Path) -> Callable[[list[Sample]], str]:
    """Publishes samples as a dataset and returns its address."""
    return lambda samples: write(tmp_path / f"dataset{len(list(tmp_path.iterdir()))}", samples)


@pytest.fixture(scope="session")
def small_config() -> EvaluateConfig:
    return EvaluateConfig(
        n_seeds=2,
        steps=24,
        batch_size=16,
        checks=2,
        image_size=SIZE,
        n_bootstrap=200,
        n_permutations=500,
        min_group=10,
        min_worst_group=20,
        planted_copies=5,
    )
