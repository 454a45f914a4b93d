"""What a sampling run is told."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from lesiongen.config import StageConfig
from lesiongen.diffusion.subgroups import Subgroup

__all__ = ["BALANCE", "PlanEntry", "SampleConfig"]

BALANCE = "balance"
_Scale = Annotated[float, Field(ge=1.0)]
_Steps = Annotated[int, Field(ge=1)]
Scales = _Scale | Annotated[tuple[_Scale, ...], Field(min_length=1)]
StepCounts = _Steps | Annotated[tuple[_Steps, ...], Field(min_length=1)]


class PlanEntry(StageConfig):
    """Images of one diagnosis, and of one subgroup where ``where`` names one.

    Attributes:
        diagnosis: The class.
        count: How many images.
        where: What the training images are whose captions are used, ``{"measured_tone": "dark"}``.
        guidance_scale: In the place of the run's.
        steps: In the place of the run's.
    """

    diagnosis: str
    count: int = Field(ge=0)
    where: dict[Subgroup, str] = Field(default_factory=dict)
    guidance_scale: Scales | None = None
    steps: StepCounts | None = None


class SampleConfig(StageConfig):
    """Configuration of sampling.

    The reference method draws guidance from {3, 5, 7.5, 10}; what a classifier learns from synthetic images peaks
    near 2 (Sariyildiz et al. 2023), so 2 is the default here.
    """

    name: str = "synthetic"
    per_class: int = Field(default=100, ge=1)
    """Images of each diagnosis, where there is no plan."""
    plan: dict[str, int] | tuple[PlanEntry, ...] | Literal["balance"] | None = None
    """Images by diagnosis, or by diagnosis and subgroup; ``balance`` fills up what the training set lacks."""
    balance_by: tuple[Subgroup, ...] = ()
    """With ``balance``: every diagnosis and subgroup is filled up to the largest; diagnoses alone by default."""
    captions: Literal["dataset", "reference"] = "dataset"
    """Captions of the training images of the same diagnosis, or the reference method's three prompts of a class."""
    guidance_scale: Scales = 2.0
    """1: no guidance, at half the cost. Of several, each image draws one."""
    steps: StepCounts = 20
    """Denoising steps. Of several, each image draws one."""
    scheduler: Literal["dpmsolver++", "ddim"] = "dpmsolver++"
    negative_prompt: str = ""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """``auto``: bf16 where the GPU or the CPU's matrix units (AMX) have it, else fp16 on a GPU and fp32 on a CPU."""
    lora_scale: float = Field(default=1.0, ge=0)
    """How strongly an adapter changes its base; 0 is the base itself."""
    image_size: int | None = Field(default=None, ge=16, multiple_of=8)
    """Side in pixels, a multiple of 8; None: that of the model's training."""
    batch_size: int = Field(default=32, ge=1)
    """Images drawn at once. An image drawn in a batch of another size differs by rounding."""
    only: tuple[int, ...] = ()
    """Indices of the images that are wanted, all by default. Each is drawn in the batch that it has in the whole plan:
    the image is the same to the last bit."""
    seed: int = 0

    @field_validator("plan")
    @classmethod
    def _counts_are_positive(
        cls, plan: dict[str, int] | tuple[PlanEntry, ...] | str | None
    ) -> dict[str, int] | tuple[PlanEntry, ...] | str | None:
        if plan is None or isinstance(plan, str):
            return plan
        counts = plan if isinstance(plan, dict) else {entry.diagnosis: entry.count for entry in plan if entry.count}
        wrong = {name: count for name, count in counts.items() if count < 0}
        if wrong or not any(counts.values()):
            raise ValueError(f"counts must not be negative, and not all zero: {wrong or plan}")
        return plan
