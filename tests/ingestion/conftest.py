import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .cases import CASES, Case

HAM_COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
DIAGNOSES = ("nv", "mel", "bkl")


def picture(seed: int, size: tuple[int, int] = (24, 18)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def ham_row(number: int, **changes: str) -> dict[str, str]:
    """Three photographs of a lesion, one diagnosis for each lesion."""
    lesion = number // 3
    row = {
        "lesion_id": f"HAM_{lesion}",
        "image_id": f"ISIC_{number}",
        "dx": DIAGNOSES[lesion % 3],
        "dx_type": "histo",
        "age": "45.0",
        "sex": "female",
        "localization": "back",
    }
    return row | changes


@pytest.fixture
def make_ham(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small HAM10000; rows can be changed by number, and images left out."""

    def make(count: int = 36, *, changes: dict[int, dict[str, str]] | None = None, without: Sequence[int] = ()) -> Path:
        folder = tmp_path / "ham"
        (folder / "HAM10000_images_part_1").mkdir(parents=True)
        with (folder / "HAM10000_metadata.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, HAM_COLUMNS)
            table.writeheader()
            for number in range(count):
                table.writerow(ham_row(number, **(changes or {}).get(number, {})))
                if number not in without:
                    picture(number).save(folder / "HAM10000_images_part_1" / f"ISIC_{number}.jpg")
        return folder

    return make


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes an image folder with the given table text and one PNG for each name."""

    def make(table: str | bytes, names: Sequence[str] = (), *, table_name: str = "metadata.csv") -> Path:
        folder = tmp_path / "folder"
        folder.mkdir(parents=True)
        (folder / table_name).write_bytes(table.encode() if isinstance(table, str) else table)
        for number, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            picture(number).save(folder / name)
        return folder

    return make


@pytest.fixture(params=CASES, ids=lambda case: case.format)
def case(request) -> Case:
    return request.param


@pytest.fixture
def source(case, tmp_path) -> Path:
    return case.build(tmp_path / "source")
