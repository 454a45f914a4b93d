"""A published generator, loaded for drawing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from lesiongen.diffusion.memory_layout import channels_last
from lesiongen.diffusion.model_folder import BaseReference, local_model, model_version, read_manifest
from lesiongen.diffusion.plan import Request
from lesiongen.diffusion.sample_config import SampleConfig
from lesiongen.errors import DataError, UsageError
from lesiongen.seeds import derive_seed

__all__ = ["Generator", "load_generator", "prepared"]


class Generator:
    """A diffusers pipeline that draws every image from a random stream of its own.

    Args:
        pipeline: A diffusers text-to-image pipeline.
        version: Version of the model it was loaded from.
        image_size: Side of the images it was trained on; None where that is not known.
    """

    def __init__(self, pipeline: Any, version: str, image_size: int | None) -> None:
        self.pipeline, self.version, self.image_size = pipeline, version, image_size

    def set_scheduler(self, name: str) -> None:
        """Chooses how the noise is taken out; prediction and noise schedule stay those of the training."""
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

        trained = self.pipeline.scheduler.config
        if name == "ddim":
            self.pipeline.scheduler = DDIMScheduler.from_config(trained, timestep_spacing="trailing", clip_sample=False)
            return
        self.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
            trained, algorithm_type="dpmsolver++", timestep_spacing="trailing", final_sigmas_type="zero"
        )

    def draw(self, batch: Sequence[Request], config: SampleConfig) -> list[Image.Image]:
        """Draws images that share guidance and steps; one drawn alone is the one drawn in a batch, up to rounding."""
        size = config.image_size or self.image_size
        # On the CPU whatever the device: the same seed then gives the same noise everywhere.
        streams = [torch.Generator().manual_seed(derive_seed(config.seed, "image", item.index)) for item in batch]
        drawn = self.pipeline(
            prompt=[item.prompt for item in batch],
            negative_prompt=[config.negative_prompt] * len(batch),
            num_inference_steps=batch[0].steps,
            guidance_scale=batch[0].guidance_scale,
            generator=streams,
            height=size,
            width=size,
        )
        images: list[Image.Image] = drawn.images
        return images


def load_generator(uri: str, *, lora_scale: float = 1.0) -> Generator:
    """Loads a whole pipeline, or a LoRA adapter on its base, from a folder, an ``s3://`` prefix or the hub.

    Args:
        uri: Where the model is.
        lora_scale: How strongly an adapter changes its base.

    Raises:
        UsageError: There is no model there, it is of a kind that cannot be sampled, or it has no adapter to scale.
        DataError: A file is damaged, or the base is not the one that the adapter was trained on.
    """
    with local_model(uri) as folder:
        manifest = read_manifest(folder)
        version = model_version(folder)
        size = manifest.image_size if manifest else None
        if manifest is None or manifest.method != "lora":
            if lora_scale != 1.0:
                raise UsageError(f"lora_scale = {lora_scale}: {uri} is a whole model, not an adapter")
            return Generator(prepared(_pipeline(folder)), version, size)
        if manifest.base is None:
            raise DataError(f"{uri} holds an adapter, but its manifest names no base")
        pipeline = _base_pipeline(manifest.base, uri)
        # Into the U-Net alone: the pipeline's own method warns of every text encoder that has no adapter.
        pipeline.unet.load_lora_adapter(folder, prefix="unet", weight_name="pytorch_lora_weights.safetensors")
        pipeline.unet.fuse_lora(lora_scale=lora_scale)
        return Generator(prepared(pipeline), version, size)


def _base_pipeline(base: BaseReference, uri: str) -> Any:
    with local_model(base.uri, base.revision) as folder:
        found = model_version(folder)
        if found != base.version:
            raise DataError(
                f"{uri} was trained on version {base.version[:12]} of {base.uri}, which now holds {found[:12]}",
                hint="Bring the base model back to that version.",
            )
        return _pipeline(folder)


def _pipeline(folder: Path) -> Any:
    from lesiongen.diffusion.family import family_of

    return family_of(folder).load_pipeline()


def prepared(pipeline: Any) -> Any:
    """Brings a pipeline to the device and memory layout in which it draws fastest."""
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    for part in (pipeline.unet, pipeline.vae):
        channels_last(part)
    return pipeline
