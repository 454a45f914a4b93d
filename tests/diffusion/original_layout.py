"""A pipeline as one file in the layout of the original releases: the names that diffusers' conversion starts from."""

from pathlib import Path

import torch
from safetensors.torch import save_file

LEVELS = 4
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_ATTENTION = {"group_norm.": "norm.", "to_q.": "q.", "to_k.": "k.", "to_v.": "v.", "to_out.0.": "proj_out."}


def _unet_places() -> dict[str, str]:
    places = {
        "time_embedding.linear_1.": "time_embed.0.",
        "time_embedding.linear_2.": "time_embed.2.",
        "conv_in.": "input_blocks.0.0.",
        "conv_norm_out.": "out.0.",
        "conv_out.": "out.2.",
        "mid_block.attentions.0.": "middle_block.1.",
        "mid_block.resnets.0.": "middle_block.0.",
        "mid_block.resnets.1.": "middle_block.2.",
    }
    for level in range(LEVELS):
        for layer in range(2):
            place = f"input_blocks.{3 * level + layer + 1}"
            places[f"down_blocks.{level}.resnets.{layer}."] = f"{place}.0."
            places[f"down_blocks.{level}.attentions.{layer}."] = f"{place}.1."
        for layer in range(3):
            place = f"output_blocks.{3 * level + layer}"
            places[f"up_blocks.{level}.resnets.{layer}."] = f"{place}.0."
            places[f"up_blocks.{level}.attentions.{layer}."] = f"{place}.1."
        places[f"down_blocks.{level}.downsamplers.0.conv."] = f"input_blocks.{3 * (level + 1)}.0.op."
        places[f"up_blocks.{level}.upsamplers.0."] = f"output_blocks.{3 * level + 2}.{1 if level == 0 else 2}."
    return places


def _vae_places() -> dict[str, str]:
    places = {
        "mid_block.attentions.0.": "mid.attn_1.",
        "mid_block.resnets.0.": "mid.block_1.",
        "mid_block.resnets.1.": "mid.block_2.",
        "conv_norm_out.": "norm_out.",
        "conv_shortcut.": "nin_shortcut.",
    }
    for level in range(LEVELS):
        for layer in range(3):
            places[f"down_blocks.{level}.resnets.{layer}."] = f"down.{level}.block.{layer}."
            places[f"up_blocks.{level}.resnets.{layer}."] = f"up.{LEVELS - 1 - level}.block.{layer}."
        places[f"down_blocks.{level}.downsamplers.0."] = f"down.{level}.downsample."
        places[f"up_blocks.{level}.upsamplers.0."] = f"up.{LEVELS - 1 - level}.upsample."
    return places


def _renamed(name: str, places: dict[str, str]) -> str:
    for new, original in places.items():
        name = name.replace(new, original)
    return name


def _unet_name(name: str) -> str:
    place = _renamed(name, _unet_places())
    of_resnet = {f".{new}.": f".{original}." for new, original in _RESNET.items()}
    return _renamed(place, of_resnet) if ".resnets." in name else place


def _vae_tensor(name: str, value: torch.Tensor) -> tuple[str, torch.Tensor]:
    place = _renamed(name, _vae_places())
    if "attn_1" in place:
        place = _renamed(place, _ATTENTION)
        if place.endswith("weight") and ".norm." not in place:
            value = value[..., None, None]  # there a convolution of one pixel
    return place, value


def write_single_file(pipeline, path: Path) -> None:
    """Writes a Stable Diffusion pipeline of four levels, two layers each, as one checkpoint."""
    vae = [_vae_tensor(*item) for item in pipeline.vae.state_dict().items()]
    # Newer releases of transformers leave the text model's own prefix out.
    text = {name.removeprefix("text_model."): value for name, value in pipeline.text_encoder.state_dict().items()}
    tensors = {
        **{f"model.diffusion_model.{_unet_name(name)}": value for name, value in pipeline.unet.state_dict().items()},
        **{f"first_stage_model.{name}": value for name, value in vae},
        **{f"cond_stage_model.transformer.text_model.{name}": value for name, value in text.items()},
    }
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, path)
