"""Presets of fine-tuning."""

from collections.abc import Callable
from typing import Any

from lesiongen.diffusion.config import (
    TINY_BASE,
    BaseModelConfig,
    Data,
    FinetuneConfig,
    Full,
    Lora,
    Optimisation,
    Runtime,
    Validation,
)
from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.errors import UsageError
from lesiongen.packaged_models import LESIONGEN_TINY

__all__ = ["PRESETS", "demo", "improved_lora", "miniature", "preset", "reference_full", "reference_lora", "tiny"]


def reference_lora() -> FinetuneConfig:
    """The reference method's recommended run (LesionGen, arXiv 2507.23001, train_lora.sh)."""
    return FinetuneConfig(
        preset="reference_lora",
        base_model=BaseModelConfig(base="CompVis/stable-diffusion-v1-4"),
        adaptation=Lora(rank=64),
        data=Data(image_size=256, flip=True),
        optimisation=Optimisation(
            learning_rate=5e-6,
            max_train_steps=15_000,
            batch_size=1,
            gradient_accumulation_steps=4,
            prediction_type="epsilon",
            mixed_precision="fp16",
            gradient_checkpointing=True,
            lr_scheduler="constant",
            warmup_steps=0,
        ),
        runtime=Runtime(checkpoint_every=7_500),
    )


def reference_full() -> FinetuneConfig:
    """The reference method's full fine-tuning of the U-Net (train_SD.sh): as LoRA, but with EMA and 1e-5."""
    return reference_lora().changed(
        preset="reference_full", method="full", learning_rate=1e-5, ema=True, max_grad_norm=1.0
    )


def improved_lora() -> FinetuneConfig:
    """The reference's LoRA run, as we would do it; base, rank, steps and images a step are the same.

    - Learning rate 1e-4 with warm-up and a cosine: the reference's 5e-6 is a rate for all weights; an adapter that
      starts at zero hardly moves (Hu et al. 2021 train theirs at 1e-4 and above).
    - Min-SNR weights, gamma 5, against timesteps that pull in opposite directions (Hang et al. 2023).
    - A tenth of the captions left out: guidance when sampling leans on the empty caption (Ho and Salimans 2022).
    - Diagnoses in their tones balanced by the square root of their counts: the rare are seen more often, without one
      image being learnt by heart for its class.
    - Turned as well as mirrored: a lesion has no upright, and eight views of an image memorise less than two.
    - The average of the weights over some thousand steps is published: it forgives the last steps' noise.
    - bf16 where the GPU has it: fp16 overflows without need. Batches of four in the place of four passes.
    - A checkpoint every 500 steps: it costs next to nothing and a lost node half an hour at most.
    """
    return reference_lora().changed(
        preset="improved_lora",
        learning_rate=1e-4,
        lr_scheduler="cosine",
        warmup_steps=500,
        snr_gamma=5.0,
        caption_dropout=0.1,
        class_balance_power=0.5,
        balance_by=("measured_tone",),
        rotations=True,
        ema=True,
        ema_decay=0.999,
        mixed_precision="auto",
        batch_size=4,
        gradient_accumulation_steps=1,
        prediction_type=None,
        checkpoint_every=500,
    )


def tiny() -> FinetuneConfig:
    """A small model trained from nothing on the run's own 64-pixel images, for a CPU.

    All eight orientations of an image are shown, as a lesion has no upright and 1,500 images are few; the learning
    rate is that of a training from random weights.
    """
    return FinetuneConfig(
        preset="tiny",
        base_model=BaseModelConfig(base=TINY_BASE),
        adaptation=Full(),
        data=Data(image_size=64, flip=True, rotations=True, class_balance_power=0.5, caption_dropout=0.1),
        optimisation=Optimisation(
            learning_rate=1e-3,
            max_train_steps=2_000,
            batch_size=32,
            gradient_accumulation_steps=1,
            snr_gamma=5.0,
            lr_scheduler="cosine",
            warmup_steps=60,
            ema=True,
            ema_decay=0.998,
            gradient_checkpointing=False,
        ),
        validation=Validation(validation_every=250),
        runtime=Runtime(checkpoint_every=250),
    )


def demo() -> FinetuneConfig:
    """As ``tiny``, from the package's base model, in the few minutes that a demonstration may take."""
    base = LESIONGEN_TINY
    return tiny().changed(
        preset="demo", base=base, max_train_steps=160, ema_decay=0.97, checkpoint_every=40, validation_every=40
    )


def miniature() -> FinetuneConfig:
    """As ``tiny``, in seconds: it exercises the path, its images are noise."""
    base = TinyBaseConfig(
        vae_channels=(16, 32), vae_steps=2, unet_channels=(16, 32), text_width=16, text_layers=1, text_steps=2
    )
    return tiny().changed(
        preset="miniature",
        max_train_steps=4,
        batch_size=4,
        rotations=False,
        warmup_steps=1,
        checkpoint_every=2,
        validation_every=2,
        held_out_images=4,
        tiny_base=base,
    )


PRESETS: dict[str, Callable[[], FinetuneConfig]] = {
    function.__name__: function for function in (improved_lora, reference_lora, reference_full, tiny, demo, miniature)
}


def preset(name: str, /, **overrides: Any) -> FinetuneConfig:
    """Returns a preset with some of its fields changed, each named without its part.

    Raises:
        UsageError: The preset or a field is unknown, or a value is refused.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", hint=f"Presets: {', '.join(PRESETS)}.")
    return PRESETS[name]().changed(**overrides)
