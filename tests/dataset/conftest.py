import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lesiongen.dataset import Dataset, DatasetWriter, Sample


def photograph(seed: int) -> Image.Image:
    """A blotchy picture; no two seeds resemble each other."""
    noise = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def collection(tmp_path: Path) -> Callable[..., Dataset]:
    """Publishes a dataset of photographs; rows have ``seed`` (and ``copy``, what is made of it) or ``image``."""

    def publish(name: str, rows: list[dict], *, licence: str | None = "CC0-1.0", attribution: str = "") -> Dataset:
        output = str(tmp_path / name)
        with DatasetWriter(output, name=name, licence=licence, attribution=attribution or name) as writer:
            for number, row in enumerate(rows):
                values = {"image_id": f"{number}", "diagnosis": "nv", "split": "train", "source": name} | row
                if "image" not in values:
                    values["image"] = values.pop("copy", encoded)(photograph(values.pop("seed")))
                writer.add(Sample(**values))
        return Dataset.open(output)

    return publish
