"""Bundles of stage configurations, by name."""

from collections.abc import Callable, Mapping
from typing import Any

from lesiongen.diffusion import presets as diffusion_presets
from lesiongen.errors import UsageError
from lesiongen.sample_sizes import MIN_GROUP_IMAGES
from pipelines.stages import CONFIGURED

__all__ = ["PRESETS", "Preset", "preset"]


Preset = Mapping[str, dict[str, Any]]
"""The configurations of stages as plain values, by the name that a stage's configuration has in the table of steps."""


def _finetune(name: str) -> dict[str, Any]:
    # Name and seed are arguments of the pipeline, the same for all stages. Kubeflow Pipelines knows no null.
    config = diffusion_presets.preset(name)
    return config.model_dump(mode="json", exclude={"seed", "name"}, exclude_none=True)


def _tiny() -> Preset:
    return {
        "finetune": _finetune("tiny"),
        "ingest": {"on_error": "reject"},
        "caption": {"tokenizer": "tiny"},
        "sample": {"per_class": 100},
        "evaluate": {"n_seeds": 5, "steps": 400},
    }


def _demo() -> Preset:
    return {
        "finetune": _finetune("demo"),
        "caption": {"tokenizer": "tiny"},
        "sample": {"per_class": 40},
        # Its test split of about 120 images has no group of 100.
        "evaluate": {
            "n_seeds": 3,
            "steps": 200,
            "batch_size": 32,
            "planted_copies": 40,
            "min_worst_group": MIN_GROUP_IMAGES,
        },
        "gates": {"min_seeds": 3, "min_test_lesions": 50, "min_held_out": 50},
    }


def _pretrained(name: str) -> Callable[[], Preset]:
    def bundle() -> Preset:
        finetune = _finetune(name)
        return {
            "finetune": finetune,
            "ingest": {"on_error": "reject"},
            "caption": {"tokenizer": finetune["base_model"]["base"]},
            "sample": {"per_class": 500, "num_inference_steps": 50, "batch_size": 8},
            "evaluate": {"n_seeds": 5, "image_size": 224, "steps": 2_000},
        }

    return bundle


def _miniature() -> Preset:
    return {
        "finetune": _finetune("miniature"),
        "validate": {"min_test": 5},
        "caption": {"tokenizer": "tiny"},
        "sample": {"per_class": 2},
        "drift": {"min_images": 20, "n_permutations": 100},
        "evaluate": {
            "n_seeds": 1,
            "steps": 4,
            "checks": 1,
            "n_bootstrap": 100,
            "n_permutations": 100,
            "min_test": 5,
            "planted_copies": 2,
        },
    }


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
    """Returns a bundle by its name: values for every stage that has a configuration, none where its defaults stay.

    Raises:
        UsageError: The preset is unknown.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", hint=f"Presets: {', '.join(PRESETS)}.")
    return {**{spec.section: {} for spec in CONFIGURED}, **PRESETS[name]()}
