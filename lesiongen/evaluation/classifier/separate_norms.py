"""Batch normalisation with statistics of their own for the images that are mixed in."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["SeparateNorms", "has_batch_norms"]


def has_batch_norms(model: nn.Module) -> bool:
    """Tells whether a network has batch normalisation, whose statistics can be kept apart."""
    return bool(_norms(model))


class SeparateNorms:
    """Gives the logits of a batch of two domains, each normalised by its own statistics.

    In training, batch normalisation uses the mean and the variance of the images that it is shown: those of each domain
    are shown apart. The running statistics that it predicts with are of the main domain alone; those of the other
    domain are kept here, and nothing predicts with them. All weights are shared, as in AdaBN (Li et al. 2016, arXiv
    1603.04779); AdvProp (Xie et al. 2020, arXiv 1911.09665), which trains so on images of two domains, gives each
    domain a scale and a shift of its own, too.

    Args:
        model: The network.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.statistics: dict[str, Tensor] = {
            f"{name}.{key}": value.clone() for name, norm in _norms(model) for key, value in norm.named_buffers()
        }

    def logits(self, images: Tensor, n_added: int) -> Tensor:
        """Returns logits [n, classes] of images [n, 3, size, size] whose last `n_added` are of the other domain."""
        main, added = images[: len(images) - n_added], images[len(images) - n_added :]
        found = [self.model(main)] if len(main) else []
        if n_added:
            found.append(functional_call(self.model, self.statistics, (added,)))
        return torch.cat(found)


def _norms(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)]
