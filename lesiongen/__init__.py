"""LesionGen: from a small, unbalanced collection of skin images to a released text-to-image model.

The names in ``__all__`` are public: each stage as a function, its configuration and its result. They are imported when
they are used first. Every other module is internal and may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lesiongen.captions import CaptionConfig, CaptionResult, caption
    from lesiongen.dataset import Dataset
    from lesiongen.diffusion import (
        FinetuneConfig,
        FinetuneResult,
        ReconstructConfig,
        ReconstructResult,
        SampleConfig,
        SampleResult,
        finetune,
        reconstruct,
        sample,
    )
    from lesiongen.diffusion.presets import preset
    from lesiongen.errors import LesionGenError
    from lesiongen.evaluation import (
        DriftConfig,
        DriftResult,
        EvaluateConfig,
        EvaluationResult,
        SelectConfig,
        SelectResult,
        SweepConfig,
        SweepResult,
        drift,
        evaluate,
        select,
        sweep,
    )
    from lesiongen.exporting import ExportConfig, ExportResult, export
    from lesiongen.ingestion import IngestConfig, IngestResult, ingest
    from lesiongen.merging import MergeConfig, MergeResult, merge
    from lesiongen.registry import Gates, PromotionResult, RegisteredVersion, promote, register
    from lesiongen.validation import ValidateConfig, ValidationResult, validate

__version__ = "0.1.0"

__all__ = [
    "CaptionConfig",
    "CaptionResult",
    "Dataset",
    "DriftConfig",
    "DriftResult",
    "EvaluateConfig",
    "EvaluationResult",
    "FinetuneConfig",
    "FinetuneResult",
    "ExportConfig",
    "ExportResult",
    "IngestConfig",
    "IngestResult",
    "LesionGenError",
    "MergeConfig",
    "MergeResult",
    "Gates",
    "PromotionResult",
    "ReconstructConfig",
    "ReconstructResult",
    "RegisteredVersion",
    "SampleConfig",
    "SampleResult",
    "SelectConfig",
    "SelectResult",
    "SweepConfig",
    "SweepResult",
    "ValidateConfig",
    "ValidationResult",
    "__version__",
    "caption",
    "drift",
    "evaluate",
    "export",
    "finetune",
    "ingest",
    "merge",
    "preset",
    "promote",
    "reconstruct",
    "register",
    "sample",
    "select",
    "sweep",
    "validate",
]

_MODULES = {
    "captions": ("CaptionConfig", "CaptionResult", "caption"),
    "dataset": ("Dataset",),
    "diffusion": (
        *("FinetuneConfig", "FinetuneResult", "finetune"),
        *("ReconstructConfig", "ReconstructResult", "reconstruct"),
        *("SampleConfig", "SampleResult", "sample"),
    ),
    "diffusion.presets": ("preset",),
    "errors": ("LesionGenError",),
    "evaluation": (
        *("DriftConfig", "DriftResult", "drift"),
        *("EvaluateConfig", "EvaluationResult", "evaluate"),
        *("SelectConfig", "SelectResult", "select"),
        *("SweepConfig", "SweepResult", "sweep"),
    ),
    "exporting": ("ExportConfig", "ExportResult", "export"),
    "ingestion": ("IngestConfig", "IngestResult", "ingest"),
    "merging": ("MergeConfig", "MergeResult", "merge"),
    "registry": ("Gates", "PromotionResult", "RegisteredVersion", "promote", "register"),
    "validation": ("ValidateConfig", "ValidationResult", "validate"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
