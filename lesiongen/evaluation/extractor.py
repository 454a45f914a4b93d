"""Features of images by a network of the user's choice, such as DINOv2 or the vision part of CLIP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lesiongen.damage import first_line, told_as_damage
from lesiongen.dataset import Dataset, Sample
from lesiongen.declared_weights import check_all_loaded, check_declared_size
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation.classifier.kinds.pretrained import LOCAL, files_of, licence_of, source_of
from lesiongen.evaluation.material import Material
from lesiongen.imaging import decode
from lesiongen.progress import progress
from lesiongen.records.extractor import ExtractorSource

__all__ = ["Extracted", "FeatureExtractor", "extracted_features", "opened_extractor"]

BATCH = 32
FIRST_STATE = "last_hidden_state[:, 0]"
POOLED = "pooler_output"
HINT = "It must be an image model of the transformers library, with safetensors weights and preprocessor_config.json."


@dataclass(frozen=True)
class Extracted:
    """Features [n, width] of the parts of an evaluation, each in the order of its images.

    Attributes:
        source: The network.
        train: Of the real training images.
        synthetic: Of the synthetic images.
        held_out: Of the validation images, then the test images.
    """

    source: ExtractorSource
    train: NDArray[np.float32]
    synthetic: NDArray[np.float32]
    held_out: NDArray[np.float32]


@contextmanager
def opened_extractor(address: str) -> Iterator["FeatureExtractor"]:
    """Gives the network at an address, once it has been tried on an image.

    Args:
        address: A folder, an ``s3://`` prefix, or ``hub:OWNER/NAME``, as for classifiers.

    Raises:
        UsageError: It cannot be loaded as an image model.
        DataError: Its files are damaged.
        StorageError: It cannot be fetched.
    """
    with files_of(address) as folder:
        yield FeatureExtractor(folder, address)


class FeatureExtractor:
    """An image model of the transformers library, with its own image processor.

    A feature is the model's pooled output. Where its files hold no weights for the pooling, as in classifiers of the
    ViT family, it is the first token, which stands for the image; of a CLIP model the vision part alone is asked.

    Args:
        folder: Its files.
        address: What the user called it.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._processor, self._model, pooled = _load(folder)
        except (OSError, ImportError) as error:
            raise UsageError(f"extractor {address!r} cannot be loaded: {first_line(error)}", hint=HINT) from error
        self._model.eval().to(self._device)
        self._features = POOLED if pooled else FIRST_STATE
        try:
            width = self([Image.new("RGB", (64, 48))]).shape[1]
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise UsageError(
                f"extractor {address!r} gives no feature of an image: {first_line(error)}", hint=HINT
            ) from error
        self.source = ExtractorSource(
            model=self._model.config.model_type,
            licence=licence_of(folder),
            features=self._features,
            width=width,
            **source_of(address, folder),
            **_resizing(self._processor),
        )

    @torch.no_grad()
    def __call__(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Returns the features [n, width] of images of any size."""
        shown = [self._processor(images=[image], return_tensors="pt")["pixel_values"] for image in images]
        alike = len({tensor.shape for tensor in shown}) == 1
        parts = [torch.cat(shown)] if alike else shown
        return np.concatenate([self._of(part.to(self._device)).float().cpu().numpy() for part in parts])

    def _of(self, pixels: Tensor) -> Tensor:
        """Returns the features [n, width] of images that are preprocessed."""
        found = self._model(pixel_values=pixels)
        features: Tensor = found.last_hidden_state[:, 0] if self._features == FIRST_STATE else found.pooler_output
        return features.flatten(1)


def _load(folder: Path) -> tuple[Any, Any, bool]:
    """Returns the image processor, the model without any other part, and whether its files hold its pooling."""
    from transformers import AutoConfig, AutoImageProcessor, AutoModel

    with told_as_damage(folder):
        processor = AutoImageProcessor.from_pretrained(folder, **LOCAL)
        check_declared_size(folder, lambda: AutoModel.from_config(AutoConfig.from_pretrained(folder, **LOCAL)))
        whole, info = AutoModel.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **LOCAL
        )
    missing = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    pooling = {key for key in missing if "pooler" in key.split(".")}
    check_all_loaded(folder, {"missing_keys": missing - pooling})
    model = getattr(whole, "vision_model", whole)
    return processor, model, not pooling


def _resizing(processor: Any) -> dict[str, object]:
    cropped = getattr(processor, "do_center_crop", False) and getattr(processor, "crop_size", None)
    resized = getattr(processor, "do_resize", False)
    return {
        "resample": Image.Resampling(int(processor.resample)).name.lower() if resized else None,
        "size": _side(processor.size) if resized else {},
        "crop_size": _side(cropped) if cropped else {},
    }


def _side(size: Any) -> dict[str, int]:
    return {name: int(value) for name, value in dict(size).items() if value is not None}


def extracted_features(extractor: FeatureExtractor, material: Material, real: Dataset, synthetic: Dataset) -> Extracted:
    """Returns the features of the images of an evaluation, read again as they are stored: no square is cut of them.

    Args:
        extractor: The network.
        material: Which images.
        real: Where the real images are.
        synthetic: Where the synthetic images are.

    Raises:
        DataError: An image cannot be decoded.
    """
    held_out = [*material.validation.table["image_id"], *material.test.table["image_id"]]
    return Extracted(
        extractor.source,
        train=_features(extractor, real, material.train.table["image_id"].tolist()),
        synthetic=_features(extractor, synthetic, material.synthetic.table["image_id"].tolist()),
        held_out=_features(extractor, real, held_out),
    )


def _features(extractor: FeatureExtractor, dataset: Dataset, image_ids: Sequence[str]) -> NDArray[np.float32]:
    """Returns the features of some images of a dataset, in the order of their ids."""
    place_of = {image_id: place for place, image_id in enumerate(image_ids)}
    found = np.zeros((len(image_ids), int(extractor.source.width or 0)), dtype=np.float32)
    with progress("Extracting features", total=len(image_ids), unit="images") as bar:
        stream = dataset.select(place_of)
        while samples := list(islice(stream, BATCH)):
            images = [_decoded(sample, dataset.uri) for sample in samples]
            found[[place_of[sample.image_id] for sample in samples]] = extractor(images)
            bar.advance(len(samples))
    return found


def _decoded(sample: Sample, uri: str) -> Image.Image:
    try:
        return decode(sample.image)
    except DataError as error:
        hint = "Run lesiongen validate on the dataset; it lists the images that are damaged."
        raise DataError(f"{uri}: image {sample.image_id}: {error}", hint=hint) from error
