"""The loss of training."""

import torch

__all__ = ["loss_per_image"]


def loss_per_image(prediction: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each image, in fp32, [n]."""
    return (prediction.float() - wanted.float()).square().mean(dim=tuple(range(1, wanted.ndim)))
