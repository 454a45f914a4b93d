"""Builds the tiny base model: a Stable Diffusion pipeline small enough to be trained from nothing on a CPU."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lesiongen.concepts.tokenizer import build_tokenizer
from lesiongen.dataset import Dataset
from lesiongen.diffusion.families.parts import without_bars
from lesiongen.diffusion.model.folder import publish, write_manifest
from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.diffusion.tiny.text_training import fit_text_encoder
from lesiongen.diffusion.tiny.vae import tiny_vae
from lesiongen.diffusion.tiny.vae_training import fit_vae, peak_signal_to_noise, unit_variance_latents
from lesiongen.errors import DataError
from lesiongen.imaging import decode, square
from lesiongen.parallel import use_own_cores
from lesiongen.records.evaluation import Source
from lesiongen.records.model import ModelManifest, Training
from lesiongen.references import ModelReference
from lesiongen.seeds import derive_seed
from lesiongen.storage import claimed, open_storage
from lesiongen.temporary import temporary_folder

__all__ = ["build_base_model", "publish_base_model"]

logger = logging.getLogger(__name__)
ATTENTION_HEADS = 4
POOLING_HEADS = 8
NORM_GROUPS = 16
HELD_OUT_IMAGES = 128


def build_base_model(config: TinyBaseConfig, dataset_uri: str | None, output: str | Path) -> ModelManifest:
    """Builds the tiny base model in a local folder, as a diffusers pipeline with ``_model.json``.

    With a dataset, the VAE is fitted to the images of its ``train`` split and the text encoder to their captions,
    where it has any; without one, both keep the weights that they start with. The denoiser is always random: it
    is what fine-tuning trains.

    Args:
        config: Sizes and steps.
        dataset_uri: A dataset; of its ``validation`` split some images measure the VAE, ``test`` is never read.
        output: A new or empty folder.

    Raises:
        DataError: The dataset has no training images.
    """
    use_own_cores()
    folder = Path(output)
    training = Training(config=config.model_dump(mode="json"))
    # The weights start from the global stream; nothing of the caller's own stream is used up.
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(config.seed, "tiny base"))
        vae, text_encoder, tokenizer = tiny_vae(config), _text_encoder(config), build_tokenizer()
        unet = _unet(config)
        if dataset_uri is not None:
            training = _fit(config, Dataset.open(dataset_uri), vae, text_encoder, tokenizer)
    _save(folder, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet)
    return write_manifest(
        folder,
        family="stable-diffusion",
        method="base",
        base=None,
        prediction_type="v_prediction",
        image_size=config.image_size,
        training=training,
    )


def publish_base_model(config: TinyBaseConfig, dataset_uri: str | None, output: str) -> ModelReference:
    """Builds the tiny base model and stores it in a new folder or ``s3://`` prefix."""
    with claimed(open_storage(output)), temporary_folder("base") as folder:
        build_base_model(config, dataset_uri, folder)
        return publish(folder, output)


def _fit(config: TinyBaseConfig, dataset: Dataset, vae: Any, text_encoder: Any, tokenizer: Any) -> Training:
    images = _images(dataset, "train", config.image_size)
    if not len(images):
        raise DataError(f"{dataset.uri} has no rows in its split 'train'")
    logger.info("The tiny base model is trained on the run's own %d training images.", len(images))
    fit_vae(vae, images, config)
    unit_variance_latents(vae, images)
    held_out = _images(dataset, "validation", config.image_size, HELD_OUT_IMAGES)
    ratio = peak_signal_to_noise(vae, held_out) if len(held_out) else None
    if ratio is not None:
        logger.info("The VAE reproduces %d held-out images at %.1f dB.", len(held_out), ratio)
    captions = dataset.metadata(columns=["caption"], split="train")["caption"].dropna()
    if len(captions):
        fit_text_encoder(text_encoder, tokenizer, list(captions), config)
    reference = dataset.reference()
    return Training(
        config=config.model_dump(mode="json"),
        dataset=Source(uri=reference.uri, version=reference.version),
        images=len(images),
        vae_peak_signal_to_noise_db=ratio,
    )


def _images(dataset: Dataset, split: str, size: int, limit: int | None = None) -> NDArray[np.uint8]:
    """Returns the images of a split [n, size, size, 3], at most `limit`."""
    images: list[NDArray[np.uint8]] = []
    for sample in dataset.samples(split=split):
        if limit is not None and len(images) == limit:
            break
        images.append(np.asarray(square(decode(sample.image), size)))
    return np.stack(images) if images else np.empty((0, size, size, 3), np.uint8)


def _text_encoder(config: TinyBaseConfig) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = build_tokenizer()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.text_width,
            projection_dim=config.text_width,
            intermediate_size=2 * config.text_width,
            num_hidden_layers=config.text_layers,
            num_attention_heads=ATTENTION_HEADS,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()


def _unet(config: TinyBaseConfig) -> Any:
    from diffusers import UNet2DConditionModel

    halvings = len(config.unet_channels) - 1
    return UNet2DConditionModel(
        sample_size=config.latent_size,
        in_channels=config.latent_channels,
        out_channels=config.latent_channels,
        block_out_channels=config.unet_channels,
        down_block_types=["DownBlock2D"] * halvings + ["CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D"] + ["UpBlock2D"] * halvings,
        layers_per_block=1,
        cross_attention_dim=config.text_width,
        attention_head_dim=ATTENTION_HEADS,  # in diffusers this argument is the number of heads
        norm_num_groups=NORM_GROUPS,
        resnet_time_scale_shift="scale_shift",
        # The pooled caption joins the timestep's embedding, so that the diagnosis reaches every layer.
        addition_embed_type="text",
        addition_embed_type_num_heads=POOLING_HEADS,
        encoder_hid_dim=config.text_width,
        encoder_hid_dim_type="text_proj",
    ).eval()


def _save(folder: Path, **parts: Any) -> None:
    from diffusers import DDPMScheduler, StableDiffusionPipeline

    scheduler = DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        timestep_spacing="trailing",
        steps_offset=1,
    )
    for name in ("vae", "unet"):
        parts[name].to(memory_format=torch.contiguous_format)
    pipeline = StableDiffusionPipeline(
        **parts, scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    with without_bars():
        pipeline.save_pretrained(folder, safe_serialization=True)
