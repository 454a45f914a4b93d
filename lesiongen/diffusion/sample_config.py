"""What a sampling run is told."""

from typing import Literal

from pydantic import Field, field_validator

from lesiongen.config import StageConfig

__all__ = ["BALANCE", "SampleConfig"]

BALANCE = "balance"


class SampleConfig(StageConfig):
    """Configuration of sampling.

    The reference method draws guidance from {3, 5, 7.5, 10}; what a classifier learns from synthetic images peaks
    near 2 (Sariyildiz et al. 2023), so 2 is the default here.
    """

    name: str = "synthetic"
    per_class: int = Field(default=100, ge=1)
    """Images of each diagnosis, where there is no plan."""
    plan: dict[str, int] | Literal["balance"] | None = None
    """Images by diagnosis; ``balance`` fills every diagnosis of the training set up to its largest."""
    captions: Literal["dataset", "reference"] = "dataset"
    """Captions of the training images of the same diagnosis, or the reference method's three prompts of a class."""
    guidance_scale: float = Field(default=2.0, ge=1.0)
    """1: no guidance, at half the cost."""
    steps: int = Field(default=20, ge=1)
    scheduler: Literal["dpmsolver++", "ddim"] = "dpmsolver++"
    negative_prompt: str = ""
    image_size: int | None = Field(default=None, ge=16)
    """Side in pixels; None: that of the model's training."""
    batch_size: int = Field(default=32, ge=1)
    """Images drawn at once; it changes nothing but speed and memory."""
    seed: int = 0

    @field_validator("plan")
    @classmethod
    def _counts_are_positive(cls, plan: dict[str, int] | str | None) -> dict[str, int] | str | None:
        if isinstance(plan, dict):
            wrong = {name: count for name, count in plan.items() if count < 0}
            if wrong or not any(plan.values()):
                raise ValueError(f"counts must not be negative, and not all zero: {wrong or plan}")
        return plan
