"""The small convolutional classifier whose accuracy says what a set of training images is worth."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lesiongen.errors import DataError
from lesiongen.evaluation.classifier.network import NetworkClassifier

__all__ = ["LesionClassifier", "load_classifier", "save_classifier"]

WIDTHS = (16, 32, 64, 128)
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


class LesionClassifier(NetworkClassifier):
    """A residual CNN of about 0.25 million parameters; its stem halves the image twice, so that a step is cheap.

    Args:
        classes: The diagnoses, in the order of the outputs.
        image_size: Side in pixels of the square images it is trained on.
    """

    def __init__(self, classes: Sequence[str], image_size: int) -> None:
        first, second, third, last = WIDTHS
        super().__init__(classes, image_size, last)
        self.features = nn.Sequential(
            _convolution(3, first, kernel=5, stride=2),
            _convolution(first, second, stride=2),
            _convolution(second, third, stride=2),
            _Residual(third),
            _convolution(third, last, stride=2),
            _Residual(last),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(last, len(self.classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, 3, size, size] in [0, 1]."""
        logits: Tensor = self.head(self.penultimate(images))
        return logits

    def penultimate(self, images: Tensor) -> Tensor:
        """Features [n, 128] of images [n, 3, size, size] in [0, 1]."""
        features: Tensor = self.features((images - 0.5) * 4.0)
        return features

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes what `load_classifier` reads."""
        save_classifier(self, folder, about)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = _convolution(width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = inputs + self.branch(inputs)
        return outputs


def _convolution(before: int, after: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def save_classifier(model: LesionClassifier, folder: Path, about: dict[str, Any]) -> None:
    """Writes the weights as safetensors and, beside them, what is needed to rebuild the network."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, str(folder / WEIGHTS_FILE))
    config = {"architecture": "LesionClassifier", "classes": list(model.classes), "image_size": model.image_size}
    (folder / CONFIG_FILE).write_text(json.dumps({**config, **about}, indent=2) + "\n", encoding="utf-8")


def load_classifier(folder: Path) -> LesionClassifier:
    """Reads back what `save_classifier` wrote, in evaluation mode.

    Raises:
        DataError: The folder holds no classifier of this architecture.
    """
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        model = LesionClassifier(config["classes"], config["image_size"])
        model.load_state_dict(load_file(str(folder / WEIGHTS_FILE)))
    except (OSError, KeyError, RuntimeError, SafetensorError, ValueError, TypeError) as error:
        raise DataError(f"{folder} contains no lesion classifier: {error}") from error
    return model.eval()
