"""The generator: fine-tuning a text-to-image model on a captioned dataset, and sampling from it."""

from importlib import import_module
from typing import TYPE_CHECKING

from lesiongen.diffusion.config import TINY_BASE, FinetuneConfig
from lesiongen.diffusion.pretraining.config import PretrainConfig
from lesiongen.diffusion.reconstruction.config import ReconstructConfig
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.diffusion.tiny.config import TinyBaseConfig

if TYPE_CHECKING:
    from lesiongen.diffusion.finetuning import FinetuneResult, finetune
    from lesiongen.diffusion.model.folder import open_model
    from lesiongen.diffusion.pretraining.build import pretrain
    from lesiongen.diffusion.reconstruction.stage import ReconstructResult, reconstruct
    from lesiongen.diffusion.sampling.stage import SampleResult, join_samples, sample

__all__ = [
    "TINY_BASE",
    "FinetuneConfig",
    "FinetuneResult",
    "PretrainConfig",
    "ReconstructConfig",
    "ReconstructResult",
    "SampleConfig",
    "SampleResult",
    "TinyBaseConfig",
    "finetune",
    "join_samples",
    "open_model",
    "pretrain",
    "reconstruct",
    "sample",
]

# Imported when first used: a configuration can be made without the seconds that torch takes to load.
_LATER = {
    "FinetuneResult": "finetuning",
    "ReconstructResult": "reconstruction.stage",
    "SampleResult": "sampling.stage",
    "finetune": "finetuning",
    "join_samples": "sampling.stage",
    "open_model": "model.folder",
    "pretrain": "pretraining.build",
    "reconstruct": "reconstruction.stage",
    "sample": "sampling.stage",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
