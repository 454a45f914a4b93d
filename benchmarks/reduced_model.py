"""A Stable Diffusion 1.x pipeline with random weights, reduced for a CPU or whole, saved to a folder."""

from pathlib import Path
from typing import Any

import torch

__all__ = ["build_model"]

TOKENS = 77


def build_model(folder: Path, *, real: bool) -> Path:
    """Writes the pipeline folder.

    Args:
        folder: A new folder.
        real: The published widths of Stable Diffusion 1.x; else half of them, the same for U-Net, VAE and text
            encoder, so that each keeps its share of the work.
    """
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    text_width, unet, vae = (
        (768, (320, 640, 1280, 1280), (128, 256, 512, 512))
        if real
        else (384, (160, 320, 640, 640), (64, 128, 256, 256))
    )
    pipeline: Any = StableDiffusionPipeline(
        tokenizer=tokenizer,
        text_encoder=CLIPTextModel(_text_config(tokenizer, text_width)),
        unet=UNet2DConditionModel(
            sample_size=64, block_out_channels=unet, cross_attention_dim=text_width, attention_head_dim=8,
        ),
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=vae, layers_per_block=2, latent_channels=4, sample_size=512,
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


def _text_config(tokenizer: Any, width: int) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=12,
        num_attention_heads=width // 64, max_position_embeddings=TOKENS, projection_dim=width,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
