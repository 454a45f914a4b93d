"""The random draws of training: each image of each step has a stream of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from lesiongen.seeds import derive_seed

__all__ = ["DataOrder", "Draws", "draw"]


@dataclass(frozen=True)
class Draws:
    """Random draws for n images of a step."""

    noise: torch.Tensor
    """Noise to add, [n, c, h, w]."""
    posterior: torch.Tensor
    """Noise that samples the latent from the posterior, [n, c, h, w]."""
    uniform: torch.Tensor
    """[n], in [0, 1): the noise process makes the timesteps of them."""
    orientations: NDArray[np.int64]
    """[n], in [0, number of orientations)."""
    dropped: NDArray[np.bool_]
    """[n], true where the caption is left out."""


def draw(
    seed: int,
    step: int,
    positions: Sequence[int],
    shape: tuple[int, int, int],
    *,
    orientations: int,
    caption_dropout: float,
) -> Draws:
    """Draws for the images at ``positions`` of a step's global batch.

    The draws depend on (seed, step, position) alone: not on the batch size, the number of processes, the
    device, or on what was drawn before. A resumed run therefore draws what an uninterrupted one would have.

    Args:
        seed: The run's seed.
        step: Index of the optimizer step.
        positions: Places in the step's global batch.
        shape: Shape (c, h, w) of a latent.
        orientations: Number of orientations of an image.
        caption_dropout: Probability of leaving the caption out.
    """
    count = len(positions)
    normal = torch.empty((count, 2, *shape))
    uniform = np.empty((count, 3))
    generator = torch.Generator()
    for row, position in enumerate(positions):
        generator.manual_seed(derive_seed(seed, "draw", step, position))
        uniform[row] = torch.rand(3, generator=generator, dtype=torch.float64).numpy()
        normal[row].normal_(generator=generator)
    return Draws(
        noise=normal[:, 0],
        posterior=normal[:, 1],
        uniform=torch.from_numpy(uniform[:, 0]),
        orientations=(uniform[:, 1] * orientations).astype(np.int64),
        dropped=uniform[:, 2] < caption_dropout,
    )


class DataOrder:
    """Which image is at which position of the endless sequence of training images.

    Every epoch is a permutation of its own. With weights, an image comes ``n * weight`` times an epoch,
    rounded down or up at random (systematic resampling), so that rare classes can be seen more often.

    Args:
        seed: The run's seed.
        weights: One positive number per image; only their ratios count.
    """

    def __init__(self, seed: int, weights: NDArray[np.float64]) -> None:
        self.seed, self.share = seed, weights / weights.sum()
        self._epoch = lru_cache(maxsize=2)(self._build)

    def indices(self, start: int, count: int) -> NDArray[np.int64]:
        """Returns the images at places ``start`` to ``start + count`` of the sequence."""
        size = len(self.share)
        return np.array([self._epoch(place // size)[place % size] for place in range(start, start + count)])

    def _build(self, epoch: int) -> NDArray[np.int64]:
        """Returns the rows [images] of an epoch, each as often as its share says, in random order."""
        random = np.random.default_rng(derive_seed(self.seed, "order", epoch))
        size = len(self.share)
        order = random.permutation(size)
        ends = np.cumsum(self.share[order])
        marks = (np.arange(size) + random.random()) / size
        chosen = order[np.minimum(np.searchsorted(ends, marks, side="right"), size - 1)]
        return random.permutation(chosen)
