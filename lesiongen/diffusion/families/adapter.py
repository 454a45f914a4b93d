"""LoRA adapters in diffusers' own format."""

import json
from pathlib import Path
from typing import Any

import torch

__all__ = ["load_adapter", "save_adapter"]

_WEIGHTS = "pytorch_lora_weights.safetensors"


def save_adapter(pipeline_type: Any, part: str, denoiser: torch.nn.Module, output: Path) -> None:
    """Writes a denoiser's adapter as ``pytorch_lora_weights.safetensors``, which ``pipeline.load_lora_weights`` reads.

    Args:
        pipeline_type: diffusers' pipeline.
        part: Name of the denoiser in it, which begins the names of the weights.
        denoiser: The denoiser with its adapter.
        output: A folder.
    """
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    described = denoiser.peft_config["default"].to_dict()  # type: ignore[index, union-attr]
    described["target_modules"] = sorted(described["target_modules"])  # a set: its order changes
    weights = convert_state_dict_to_diffusers(get_peft_model_state_dict(denoiser))
    pipeline_type.save_lora_weights(
        output, safe_serialization=True, **{f"{part}_lora_layers": weights, f"{part}_lora_adapter_metadata": described}
    )
    _sort_metadata(output / _WEIGHTS)


def load_adapter(part: str, denoiser: Any, folder: Path, scale: float) -> None:
    """Merges an adapter, times a scale, into the denoiser's weights.

    The pipeline's own method would warn of every text encoder that has no adapter.
    """
    denoiser.load_lora_adapter(folder, prefix=part, weight_name=_WEIGHTS, use_safetensors=True, local_files_only=True)
    denoiser.fuse_lora(lora_scale=scale)


def _sort_metadata(weights: Path) -> None:
    """Sorts a safetensors file's metadata in place: written in an order of chance, they would change its digest."""
    with weights.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        head = json.loads(stream.read(length))
        head["__metadata__"] = dict(sorted(head["__metadata__"].items()))
        content = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
        stream.seek(8)
        stream.write(content.ljust(length))  # the weights lie behind it
