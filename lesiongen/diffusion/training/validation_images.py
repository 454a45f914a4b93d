"""Images drawn during training: the same captions from the same noise, so that what changes is the model."""

import logging

import torch

from lesiongen.diffusion.config import FinetuneConfig
from lesiongen.diffusion.families.family import ModelFamily
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.diffusion.sampling.generator import Generator
from lesiongen.diffusion.sampling.plan import Request
from lesiongen.errors import ServiceError
from lesiongen.imaging import contact_sheet
from lesiongen.tracking import StageRun

__all__ = ["ValidationImages"]

logger = logging.getLogger(__name__)
COLUMNS, TILE = 4, 192


class ValidationImages:
    """Draws one sheet for a run whenever it is asked to.

    Args:
        config: The training's.
        family: Text encoder and VAE are loaded from its folder for each sheet, and dropped: training has no room to
            spare.
        prompts: (diagnosis, caption) of each image.
        run: Where the sheets go.
    """

    def __init__(
        self, config: FinetuneConfig, family: ModelFamily, prompts: tuple[tuple[str, str], ...], run: StageRun
    ) -> None:
        self._family, self._run = family, run
        steps, guidance_scale = config.validation.num_inference_steps, config.validation.validation_guidance_scale
        self._requests = [
            Request(index, diagnosis, caption, guidance_scale=guidance_scale, steps=steps)
            for index, (diagnosis, caption) in enumerate(prompts)
        ]
        self._settings = SampleConfig(seed=config.seed, image_size=config.data.image_size)

    @property
    def wanted(self) -> bool:
        """Whether there is something to draw, and a place for it."""
        return bool(self._requests) and self._run.run_id is not None

    def draw(self, denoiser: torch.nn.Module, step: int, original_side: int) -> None:
        """Draws with a denoiser in evaluation mode, and logs the sheet as ``pictures/step-00000500.png``.

        Text encoder and VAE work in fp32, whatever the denoiser is trained in: in fp16 a VAE overflows.
        A tracking server that does not answer costs the sheet, not the training.
        """
        pipeline = self._family.load_pipeline(denoiser)
        generator = Generator(self._family, pipeline, "", original_side=original_side).prepare()
        generator.set_scheduler(self._settings.scheduler)
        images = generator.draw(self._requests, self._settings)
        diagnoses = [request.diagnosis for request in self._requests]
        try:
            self._run.log_image(contact_sheet(images, diagnoses, columns=COLUMNS, tile=TILE), f"step-{step:08d}.png")
        except ServiceError as error:
            logger.warning("Step %d: its images are lost: %s", step, error)
