"""The layout of weights in memory in which convolutions are fastest."""

from collections.abc import Sequence

import torch

__all__ = ["channels_last"]


def channels_last(
    model: torch.nn.Module, dtype: torch.dtype | None = None, *, unchanged: Sequence[str] = ()
) -> torch.nn.Module:
    """Lays the weights of convolutions out with their channels last, in place, and returns the model.

    Convolutions are a fifth faster in this layout on CPUs, and no slower on GPUs. Every other weight is copied too:
    weights come mapped from their file, all of which stays in memory for as long as a single one still refers to it.

    Args:
        model: Any model.
        dtype: What its weights become; None leaves them as they are.
        unchanged: Names of layers whose weights keep their type.
    """
    for name, weight in model.named_parameters():
        layout = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
        wanted = weight.dtype if dtype is None or not set(unchanged).isdisjoint(name.split(".")) else dtype
        weight.data = weight.data.to(wanted, memory_format=layout, copy=True)
    return model
