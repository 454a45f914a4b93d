"""Bundles of stage configurations, by name."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from lesiongen.diffusion import presets as diffusion_presets
from lesiongen.errors import UsageError

__all__ = ["PRESETS", "Preset", "preset"]


@dataclass(frozen=True)
class Preset:
    """The configurations of all stages, as the plain values that a pipeline takes as arguments."""

    finetune: dict[str, Any]
    ingest: dict[str, Any] = field(default_factory=dict)
    validate: dict[str, Any] = field(default_factory=dict)
    caption: dict[str, Any] = field(default_factory=dict)
    sample: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, dict[str, Any]]:
        """Returns the pipeline's arguments that this bundle sets."""
        return {
            entry.name if entry.name == "policy" else f"{entry.name}_config": getattr(self, entry.name)
            for entry in fields(self)
        }


def _finetune(name: str) -> dict[str, Any]:
    # Name and seed are arguments of the pipeline, the same for all stages. Kubeflow Pipelines knows no null.
    config = diffusion_presets.preset(name)
    return config.model_dump(mode="json", exclude={"seed", "name"}, exclude_none=True)


def _tiny() -> Preset:
    return Preset(
        finetune=_finetune("tiny"),
        ingest={"on_error": "reject"},
        caption={"tokenizer": "tiny"},
        sample={"per_class": 100},
        evaluate={"seeds": 5, "steps": 400},
    )


def _demo() -> Preset:
    return Preset(
        finetune=_finetune("demo"),
        caption={"tokenizer": "tiny"},
        sample={"per_class": 40},
        evaluate={"seeds": 3, "steps": 200},
        policy={"min_seeds": 3, "min_test_lesions": 50},
    )


def _pretrained(name: str) -> Callable[[], Preset]:
    def bundle() -> Preset:
        finetune = _finetune(name)
        return Preset(
            finetune=finetune,
            ingest={"on_error": "reject"},
            caption={"tokenizer": finetune["base"]},
            sample={"per_class": 500, "steps": 50, "batch_size": 8},
            evaluate={"seeds": 5, "image_size": 224, "steps": 2_000},
        )

    return bundle


def _miniature() -> Preset:
    return Preset(
        finetune=_finetune("miniature"),
        validate={"min_test": 5},
        caption={"tokenizer": "tiny"},
        sample={"per_class": 2},
        evaluate={"seeds": 1, "steps": 4, "checks": 1, "bootstrap": 100, "permutations": 100, "min_test": 5},
    )


PRESETS: dict[str, Callable[[], Preset]] = {
    "tiny": _tiny,
    "demo": _demo,
    "miniature": _miniature,
    "improved_lora": _pretrained("improved_lora"),
    "reference_lora": _pretrained("reference_lora"),
    "reference_full": _pretrained("reference_full"),
}
"""``tiny``: real images on a laptop; ``demo``: generated lesions in minutes; ``miniature``: shows that all works;
``reference_…``: the reference method's training of Stable Diffusion 1.4, ``improved_lora``: ours of it, for a GPU."""


def preset(name: str) -> Preset:
    """Returns a bundle by its name.

    Raises:
        UsageError: There is no such preset.
    """
    if name not in PRESETS:
        raise UsageError(f"There is no preset {name!r}.", hint=f"Presets: {', '.join(PRESETS)}.")
    return PRESETS[name]()
