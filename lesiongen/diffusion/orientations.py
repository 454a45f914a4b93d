"""The ways in which an image is shown in training: mirrored and turned by quarters."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

__all__ = ["Orientations", "orient"]


@dataclass(frozen=True)
class Orientations:
    """The ways in which an image may be shown: mirrored or not, turned by quarters or not."""

    flip: bool
    rotations: bool

    def __len__(self) -> int:
        return (2 if self.flip else 1) * (4 if self.rotations else 1)

    def turns(self) -> Iterator[tuple[int, bool]]:
        """Yields (quarter turns, mirrored) in the order in which they are numbered."""
        for turn in range(4 if self.rotations else 1):
            for mirrored in (False, True) if self.flip else (False,):
                yield turn, mirrored


def orient(pixels: torch.Tensor, turn: int, mirrored: bool) -> torch.Tensor:
    """Turns square images [n, 3, size, size] by quarters, then mirrors them left to right."""
    turned = torch.rot90(pixels, turn, (2, 3))
    return turned.flip(3) if mirrored else turned
