"""Configuration of fine-tuning, in parts."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lesiongen.config import StageConfig, parse_config
from lesiongen.dataset.subgroups import Subgroup
from lesiongen.diffusion.config_parts import ConfigPart, in_parts, with_changes
from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.names import Name
from lesiongen.packaged_models import LESIONGEN_TINY

__all__ = [
    "TINY_BASE",
    "BaseModelConfig",
    "Data",
    "FinetuneConfig",
    "Full",
    "Lora",
    "Optimisation",
    "Runtime",
    "Validation",
]

TINY_BASE = "tiny"


class BaseModelConfig(ConfigPart):
    """The model that training begins from."""

    decided_by: ClassVar[str] = "base"

    base: str = "CompVis/stable-diffusion-v1-4"
    """A folder, an ``s3://`` prefix, a hub id, ``lesiongen-tiny``: a small model that comes with the package, or
    ``tiny``: one of its kind, built from the run's own images."""
    base_revision: str | None = None
    """Commit of the hub repository, where ``base`` is a hub id."""
    tiny_base: TinyBaseConfig | None = None
    """How the base ``tiny`` is built; None: its defaults."""

    @model_validator(mode="after")
    def _fits_the_base(self) -> Self:
        if self.tiny_base is not None and self.base != TINY_BASE:
            raise ValueError(f"tiny_base has no effect with base = {self.base!r}: leave it out")
        if self.base_revision is not None and (
            self.base in (TINY_BASE, LESIONGEN_TINY) or "://" in self.base or self.base.startswith(("/", ".", "~"))
        ):
            raise ValueError(
                f"base_revision = {self.base_revision!r} has no effect with base = {self.base!r}, which is not on the "
                "hub: leave it out"
            )
        return self

    @property
    def tiny(self) -> TinyBaseConfig | None:
        """How the tiny base is built; None where the base is another."""
        return (self.tiny_base or TinyBaseConfig()) if self.base == TINY_BASE else None


class Lora(ConfigPart):
    """Low-rank adapters of the denoiser's layers (Hu et al. 2021)."""

    decided_by: ClassVar[str] = "method"

    method: Literal["lora"] = "lora"
    rank: int = Field(default=64, ge=1)
    lora_alpha: float | None = Field(default=None, gt=0)
    """Scale times rank; None: equal to ``rank``, as in the reference."""
    target_modules: tuple[str, ...] = Field(default=("to_k", "to_q", "to_v", "to_out.0"), min_length=1)


class Full(ConfigPart):
    """All weights of the denoiser."""

    decided_by: ClassVar[str] = "method"

    method: Literal["full"] = "full"

    @model_validator(mode="before")
    @classmethod
    def _has_no_adapter(cls, values: Any) -> Any:
        of_adapter = Lora.model_fields.keys() - cls.model_fields.keys()
        if found := [name for name in values if name in of_adapter] if isinstance(values, Mapping) else []:
            raise ValueError(f"{found[0]} = {values[found[0]]!r} has no effect with method = 'full': leave it out")
        return values


class Data(ConfigPart):
    """How often an image is seen, and in what form."""

    switched_by: ClassVar[Mapping[str, tuple[str, ...]]] = {"balance_by": ("class_balance_power",)}

    image_size: int = Field(default=256, ge=16, multiple_of=8)
    """Side in pixels, a multiple of 8: a VAE of Stable Diffusion makes one place of its latent from 8 pixels by 8."""
    flip: bool = True
    """Shows every image mirrored half of the time."""
    rotations: bool = False
    """Shows every image turned by 0, 90, 180 or 270 degrees: a lesion has no upright."""
    class_balance_power: float = Field(default=0.0, ge=0.0, le=1.0)
    """0: images are seen as often as one another; 1: diagnoses are; between: class counts to that power."""
    balance_by: tuple[Subgroup, ...] = ()
    """What is balanced besides diagnoses: each diagnosis in each of these subgroups counts as a class."""
    caption_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the images shown with the empty caption, which guidance needs when sampling."""


class Optimisation(ConfigPart):
    """The steps, their loss, and the arithmetic that they are computed in."""

    switched_by: ClassVar[Mapping[str, tuple[str, ...]]] = {"ema_decay": ("ema",)}

    max_train_steps: int = Field(default=15_000, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(default=1, ge=1)
    """Images of one forward pass."""
    gradient_accumulation_steps: int = Field(default=4, ge=1)
    """Forward passes of one optimizer step."""
    prediction_type: Literal["epsilon", "v_prediction"] | None = None
    """What the denoiser predicts, while it learns and when it draws; None: what the base model's scheduler says."""
    snr_gamma: float | None = Field(default=None, gt=0)
    """Gamma of min-SNR weighting (Hang et al. 2023); None: plain mean squared error."""
    learning_rate: float = Field(default=5e-6, gt=0)
    lr_scheduler: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema: bool = False
    """Publishes the moving average of the trained weights instead of the last ones."""
    ema_decay: float = Field(default=0.9999, gt=0, lt=1)
    mixed_precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """``auto``: bf16 where the GPU has it, else fp16; fp32 on a CPU. bf16 needs a CPU with matrix units (AMX)."""
    gradient_checkpointing: bool = True
    """Trades a second forward pass for memory."""
    compile: bool = False
    """Compiles the denoiser with torch.compile: minutes at the start for faster steps; needs a C++ compiler."""

    @model_validator(mode="after")
    def _warms_up_in_time(self) -> Self:
        if self.warmup_steps >= self.max_train_steps:
            raise ValueError(
                f"warmup_steps = {self.warmup_steps} leaves nothing of max_train_steps = {self.max_train_steps}: "
                "set it lower"
            )
        return self

    @property
    def images_per_step(self) -> int:
        """Images that one optimizer step sees."""
        return self.batch_size * self.gradient_accumulation_steps


class Validation(ConfigPart):
    """What is measured and drawn during training; the weights do not depend on it."""

    switched_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "validation_every": ("held_out_images", "num_validation_images"),
        "num_inference_steps": ("num_validation_images",),
        "validation_guidance_scale": ("num_validation_images",),
    }

    validation_every: int = Field(default=500, ge=1)
    """Steps between two measurements of the held-out loss."""
    held_out_images: int = Field(default=64, ge=0)
    """Images of the validation split that the held-out loss is measured on; 0: none is measured."""
    num_validation_images: int = Field(default=4, ge=0)
    """Captions of held-out images that are drawn with each held-out loss, for the tracking server; 0: none."""
    num_inference_steps: int = Field(default=20, ge=1)
    """Denoising steps of these images."""
    validation_guidance_scale: float = Field(default=2.0, ge=1.0)
    """Guidance of these images."""


class Runtime(ConfigPart):
    """How the work is shared, saved and watched; a restart may change it.

    The weights are the same, of another number of processes up to rounding.
    """

    processes: int = Field(default=1, ge=1, le=64)
    """Processes that share each step's images, one for each GPU or share of the cores; they learn what one would."""
    checkpoint_every: int = Field(default=7_500, ge=1)
    """Steps between two checkpoints."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    """Most minutes between two checkpoints: a pod that is deleted has no time to save its state."""
    keep_checkpoints: int = Field(default=2, ge=1)
    storage_patience: float = Field(default=300.0, ge=0)
    """Seconds that checkpoints wait for a storage which cannot be reached; training continues until the next is due."""
    log_every: int = Field(default=25, ge=1)
    max_nonfinite: int = Field(default=25, ge=1)
    """Steps in a row with a non-finite loss or gradient after which the run fails."""


class FinetuneConfig(StageConfig):
    """Configuration of fine-tuning; the defaults are the reference method's LoRA run."""

    renamed: ClassVar[Mapping[str, str]] = {
        "accumulation": "gradient_accumulation_steps",
        "alpha": "lora_alpha",
        "balance": "class_balance_power",
        "base_model": "tiny_base",
        "picture_guidance": "validation_guidance_scale",
        "picture_steps": "num_inference_steps",
        "precision": "mixed_precision",
        "prediction": "prediction_type",
        "schedule": "lr_scheduler",
        "steps": "max_train_steps",
        "validation_images": "held_out_images",
        "validation_pictures": "num_validation_images",
    }

    preset: str = "custom"
    """Name of the preset that this configuration began as; only recorded."""
    name: Name = "generator"
    seed: int = 0
    base_model: BaseModelConfig = BaseModelConfig()
    adaptation: Lora | Full = Field(default=Lora(), discriminator="method")
    """Which of the base's weights are trained."""
    data: Data = Data()
    optimisation: Optimisation = Optimisation()
    validation: Validation = Validation()
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (tiny := self.base_model.tiny) is not None:
            self._require_fit_for_tiny(tiny)
        passes, images = self.optimisation.gradient_accumulation_steps, self.optimisation.batch_size
        if passes % self.runtime.processes and images % self.runtime.processes:
            raise ValueError(
                f"processes = {self.runtime.processes} must divide gradient_accumulation_steps = {passes} "
                f"or batch_size = {images}"
            )
        return self

    def _require_fit_for_tiny(self, tiny: TinyBaseConfig) -> None:
        if self.adaptation.method != "full":
            raise ValueError("base 'tiny' starts from random weights, so method must be 'full'")
        if tiny.image_size != self.data.image_size:
            raise ValueError(
                f"tiny_base.image_size = {tiny.image_size} differs from image_size = {self.data.image_size}: "
                "set both alike"
            )

    def changed(self, **values: Any) -> Self:
        """Returns the configuration with other values in some fields, each named without its part.

        What a change leaves without effect is back at its default: the rank, where all weights are trained instead.

        Raises:
            UsageError: A field is unknown or its value is refused.
        """
        kind = type(self)
        return parse_config(kind, with_changes(kind, self.model_dump(), in_parts(kind, values)))
