"""Configuration of a base model that is trained before any fine-tuning."""

from pydantic import Field

from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.names import Name

__all__ = ["PretrainConfig"]


class PretrainConfig(TinyBaseConfig):
    """How a tiny base is built and, where ``parts`` says so, its denoiser trained.

    The training is divided into parts, each a training of its own that begins from the model of the one before: after
    each part there is a whole model, and a part that was stopped resumes from its newest checkpoint.
    """

    name: Name = "base"
    """Begin of the names of the parts."""
    parts: int = Field(default=0, ge=0, le=100)
    """Trainings, one after the other; 0: the denoiser stays random, for fine-tuning to train."""
    steps_per_part: int = Field(default=4_000, ge=2)
    """Optimizer steps of each part; the rate is constant, and falls to nothing within the last part."""
    batch_size: int = Field(default=32, ge=1)
    """Images of a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the denoiser's learning rate."""
    half_precision: bool = True
    """Whether the weights are stored in 16 bits; they are loaded as 32 either way."""

    @property
    def tiny(self) -> TinyBaseConfig:
        """How the model is built that the first part begins from."""
        return TinyBaseConfig(**self.model_dump(include=set(TinyBaseConfig.model_fields)))
