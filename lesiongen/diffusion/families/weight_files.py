"""The names of weight files: in a pipeline folder, in half precision only, and of whole models in one file."""

import re
from pathlib import Path, PurePosixPath

from safetensors import SafetensorError, safe_open

from lesiongen.errors import DataError, UsageError

__all__ = ["plain_name", "refuse_single_file", "variant_of"]

_WEIGHTS = re.compile(r"(?:diffusion_pytorch_)?model(?:\.(?P<variant>\w+))?(?:-\d{5}-of-\d{5})?\.safetensors")
_VARIANTS = ("fp16", "bf16")
_PICKLED = {".bin", ".ckpt", ".pt", ".pth"}
# What a checkpoint of the original layout, as CompVis and Stability AI publish it, names its parts.
_ORIGINAL, _ADAPTER = ("model.diffusion_model.", "first_stage_model."), "lora"
_PIPELINES = {
    "conditioner.embedders.1.": "StableDiffusionXLPipeline",
    "model.diffusion_model.joint_blocks.": "StableDiffusion3Pipeline",
}


def variant_of(folder: Path) -> str | None:
    """Returns the precision that a part's weights are there in alone, ``fp16`` or ``bf16``; None for plain weights."""
    found = {match["variant"] for path in folder.glob("*.safetensors") if (match := _WEIGHTS.fullmatch(path.name))}
    return None if None in found else next((variant for variant in _VARIANTS if variant in found), None)


def plain_name(name: str, variant: str | None) -> str:
    """Returns what a file of a variant is called where its weights are the only ones; shards keep their names."""
    if variant is None:
        return name
    single = f".{variant}.safetensors"
    if name.endswith(single):
        return f"{name.removesuffix(single)}.safetensors"
    return name.replace(f".index.{variant}.json", ".index.json")


def refuse_single_file(name: str) -> None:
    """Refuses a whole model in one file, and says how it becomes a folder.

    Args:
        name: A path or an ``s3://`` address; anything that does not end as a file of weights passes.

    Raises:
        UsageError: It is a file of weights, or does not exist.
        DataError: It is damaged.
    """
    suffix = PurePosixPath(name).suffix
    if Path(name).is_dir() or suffix not in {".safetensors", *_PICKLED}:
        return
    if suffix in _PICKLED:
        hint = "Pickled weights can run code and are not loaded. Get the model as safetensors."
        raise UsageError(f"{name} is a file of pickled weights", hint=hint)
    if name.startswith("s3://"):
        raise UsageError(f"{name} is a single file, not a pipeline folder", hint=_conversion("StableDiffusionPipeline"))
    if not Path(name).is_file():
        raise UsageError(f"{name} does not exist", hint="Check the path.")
    tensors = _tensors(Path(name))
    if any(_ADAPTER in tensor for tensor in tensors):
        hint = "Give the whole model that it was trained from. Only adapters written by finetune are loaded."
        raise UsageError(f"{name} is an adapter (LoRA) in a single file, not a whole model", hint=hint)
    if any(tensor.startswith(_ORIGINAL) for tensor in tensors):
        raise UsageError(
            f"{name} is a checkpoint in a single file, not a pipeline folder", hint=_conversion(_pipeline_of(tensors))
        )
    raise UsageError(f"{name} holds a part of a model, or another kind of model", hint="Give the pipeline's folder.")


def _pipeline_of(tensors: list[str]) -> str:
    found = (name for part, name in _PIPELINES.items() if any(tensor.startswith(part) for tensor in tensors))
    return next(found, "StableDiffusionPipeline")


def _tensors(path: Path) -> list[str]:
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is damaged: {error}", hint="Copy or download the model again.") from error


def _conversion(pipeline: str) -> str:
    return (
        f'Convert it once: python -c "from diffusers import {pipeline} as P; '
        "P.from_single_file('FILE').save_pretrained('FOLDER')\", and give the folder. "
        "Without a network add config='FOLDER OF A MODEL OF THE SAME FAMILY' behind 'FILE'."
    )
