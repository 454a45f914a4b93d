"""What the networks of an evaluation share: probabilities and penultimate features of images, batch by batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lesiongen.evaluation.pixel_files import batches

__all__ = ["NetworkClassifier", "to_tensor"]


class NetworkClassifier(nn.Module, ABC):
    """A network that classifies square images of bytes; its `forward` takes values in [0, 1] and gives logits.

    Args:
        classes: The diagnoses, in the order of the outputs.
        image_size: Side in pixels of the square images it is trained on.
        width: Number of its penultimate features.
    """

    prediction_batch: ClassVar[int] = 256

    def __init__(self, classes: Sequence[str], image_size: int, width: int) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.image_size = image_size
        self.width = width

    @abstractmethod
    def penultimate(self, images: Tensor) -> Tensor:
        """Features [n, width] that the last layer sees, of images [n, 3, size, size] in [0, 1]."""

    @abstractmethod
    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes the weights as safetensors and, beside them, what is needed to rebuild the network."""

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities [n, classes] of images [n, size, size, 3]."""
        return self._of_batches(images, lambda batch: torch.softmax(self(batch), dim=1), len(self.classes))

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Penultimate features [n, width] of images [n, size, size, 3]."""
        return self._of_batches(images, self.penultimate, self.width)

    @torch.no_grad()
    def _of_batches(
        self, images: NDArray[np.uint8], function: Callable[[Tensor], Tensor], width: int
    ) -> NDArray[np.float32]:
        """Returns what a function gives for images [n, side, side, 3], computed batch by batch: [n, width]."""
        self.eval()
        values = np.empty((len(images), width), np.float32)
        for number, batch in enumerate(self._batches(images)):
            start = number * self.prediction_batch
            values[start : start + len(batch)] = function(batch).cpu().numpy()
        return values

    def _batches(self, images: NDArray[np.uint8]) -> Iterator[Tensor]:
        """Yields one batch at a time as floats: only bytes are held of all images."""
        device = next(self.parameters()).device
        for batch in batches(images, self.prediction_batch):
            yield to_tensor(batch).to(device)


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Turns images [n, h, w, 3] of bytes into a tensor [n, 3, h, w] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0
