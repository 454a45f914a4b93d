"""What a fine-tuning run is told."""

from typing import Literal, Self

from pydantic import Field, model_validator

from lesiongen.config import StageConfig
from lesiongen.dataset.subgroups import Subgroup
from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.names import Name

__all__ = ["TINY_BASE", "FinetuneConfig"]

TINY_BASE = "tiny"


class FinetuneConfig(StageConfig):
    """Configuration of fine-tuning; the defaults are the reference method's LoRA run."""

    preset: str = "custom"
    """Name of the preset that this configuration began as; only recorded."""
    name: Name = "generator"

    base: str = "CompVis/stable-diffusion-v1-4"
    """A folder, an ``s3://`` prefix, a hub id, or ``tiny``: a small model built from the run's own images."""
    base_revision: str | None = None
    """Commit of the hub repository, where ``base`` is a hub id."""
    base_model: TinyBaseConfig = TinyBaseConfig()
    """How the tiny base is built; without effect for any other base."""

    method: Literal["lora", "full"] = "lora"
    rank: int = Field(default=64, ge=1)
    alpha: float | None = Field(default=None, gt=0)
    """LoRA scale times rank; None: equal to ``rank``, as in the reference."""
    target_modules: tuple[str, ...] = Field(default=("to_k", "to_q", "to_v", "to_out.0"), min_length=1)

    steps: int = Field(default=15_000, ge=1)
    batch_size: int = Field(default=1, ge=1)
    """Images of one forward pass."""
    accumulation: int = Field(default=4, ge=1)
    """Forward passes of one optimizer step."""
    image_size: int = Field(default=256, ge=16, multiple_of=8)
    """Side in pixels, a multiple of 8: a VAE of Stable Diffusion makes one place of its latent from 8 pixels by 8."""
    flip: bool = True
    """Shows every image mirrored half of the time."""
    rotations: bool = False
    """Shows every image turned by 0, 90, 180 or 270 degrees: a lesion has no upright."""
    balance: float = Field(default=0.0, ge=0.0, le=1.0)
    """0: images are seen as often as one another; 1: diagnoses are; between: class counts to that power."""
    balance_by: tuple[Subgroup, ...] = ()
    """What is balanced besides diagnoses: each diagnosis in each of these subgroups counts as a class."""
    caption_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the images shown with the empty caption, which guidance needs when sampling."""

    prediction: Literal["epsilon", "v_prediction"] | None = None
    """What the denoiser predicts, while it learns and when it draws; None: what the base model's scheduler says."""
    snr_gamma: float | None = Field(default=None, gt=0)
    """Gamma of min-SNR weighting (Hang et al. 2023); None: plain mean squared error."""
    learning_rate: float = Field(default=5e-6, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema: bool = False
    """Publishes the moving average of the trained weights instead of the last ones."""
    ema_decay: float = Field(default=0.9999, gt=0, lt=1)

    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """``auto``: bf16 where the GPU has it, else fp16; fp32 on a CPU. bf16 needs a CPU with matrix units (AMX)."""
    gradient_checkpointing: bool = True
    """Trades a second forward pass for memory."""
    compile: bool = False
    """Compiles the denoiser with torch.compile: minutes at the start for faster steps; needs a C++ compiler."""
    max_nonfinite: int = Field(default=25, ge=1)
    """Steps in a row with a non-finite loss or gradient after which the run fails."""

    processes: int = Field(default=1, ge=1, le=64)
    """Processes that share each step's images, one for each GPU or share of the cores; they learn what one would."""

    checkpoint_every: int = Field(default=7_500, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    storage_patience: float = Field(default=300.0, ge=0)
    """Seconds that checkpoints wait for a storage which cannot be reached; training goes on until the next is due."""
    validation_every: int = Field(default=500, ge=1)
    """Steps between two measurements of the held-out loss."""
    validation_images: int = Field(default=64, ge=0)
    validation_pictures: int = Field(default=4, ge=0)
    """Captions of held-out images that are drawn with each held-out loss, for the tracking server; 0: none."""
    picture_steps: int = Field(default=20, ge=1)
    """Denoising steps of these pictures."""
    picture_guidance: float = Field(default=2.0, ge=1.0)
    """Guidance of these pictures."""
    log_every: int = Field(default=25, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.base == TINY_BASE and self.method != "full":
            raise ValueError("base 'tiny' starts from random weights, so method must be 'full'")
        if self.base == TINY_BASE and self.base_model.image_size != self.image_size:
            raise ValueError(
                f"base_model.image_size = {self.base_model.image_size} differs from image_size = {self.image_size}: "
                "set both alike"
            )
        if self.accumulation % self.processes and self.batch_size % self.processes:
            raise ValueError(
                f"processes = {self.processes} share neither accumulation = {self.accumulation} passes "
                f"nor batch_size = {self.batch_size} images evenly"
            )
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps = {self.warmup_steps} leaves nothing of steps = {self.steps}: set it lower")
        return self

    @property
    def images_per_step(self) -> int:
        """Images that one optimizer step sees."""
        return self.batch_size * self.accumulation
