"""How the tiny base model is built."""

from lesiongen.config import StageConfig

__all__ = ["TinyBaseConfig"]


class TinyBaseConfig(StageConfig):
    """Configuration of the tiny base model."""

    seed: int = 0
