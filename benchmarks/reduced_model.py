"""A Stable Diffusion 1.x pipeline with random weights, reduced for a CPU or whole, saved to a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["WIDTHS", "build_model"]

TOKENS = 77


@dataclass(frozen=True)
class Widths:
    """Widths of a pipeline's parts: U-Net and VAE by level, text encoder."""

    unet: tuple[int, ...]
    vae: tuple[int, ...]
    text: int
    text_layers: int = 12


WIDTHS = {
    "real": Widths((320, 640, 1280, 1280), (128, 256, 512, 512), 768),
    "half": Widths((160, 320, 640, 640), (64, 128, 256, 256), 384),
    "least": Widths((32, 32, 32, 64), (32, 32, 32, 32), 64, text_layers=2),
}
"""``real``: those of Stable Diffusion 1.x. ``half``: each part keeps its share of the work. ``least``: to see that a
benchmark runs; what it measures says nothing."""


def build_model(folder: Path, widths: str) -> Path:
    """Writes the pipeline folder.

    Args:
        folder: A new folder.
        widths: One of `WIDTHS`.
    """
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    chosen = WIDTHS[widths]
    pipeline: Any = StableDiffusionPipeline(
        tokenizer=tokenizer,
        text_encoder=CLIPTextModel(_text_config(tokenizer, chosen)),
        unet=UNet2DConditionModel(
            sample_size=64, block_out_channels=chosen.unet, cross_attention_dim=chosen.text, attention_head_dim=8,
        ),
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=chosen.vae, layers_per_block=2, latent_channels=4, sample_size=512,
        ),
        scheduler=DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _tokenizer() -> Any:
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz,"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: row for row, piece in enumerate(pieces)}, merges=[], model_max_length=TOKENS)


def _text_config(tokenizer: Any, widths: Widths) -> Any:
    from transformers import CLIPTextConfig

    width = widths.text
    return CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=widths.text_layers,
        num_attention_heads=width // 64, max_position_embeddings=TOKENS, projection_dim=width,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
