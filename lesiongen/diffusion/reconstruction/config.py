"""Configuration of reconstructions."""

from pydantic import Field

from lesiongen.config import StageConfig
from lesiongen.names import DerivedName

__all__ = ["ReconstructConfig"]


class ReconstructConfig(StageConfig):
    """How training images pass through the autoencoder of a generator.

    Nothing is drawn at random: the mean of each image's latents is decoded, in fp32.
    """

    name: DerivedName | None = None
    """Name of the dataset; None: that of the real one, with ``-reconstructed`` for ``-captioned``."""
    image_size: int | None = Field(default=None, ge=16, multiple_of=8)
    """Side in pixels, a multiple of 8; None: that of the model's training."""
    base: str | None = Field(default=None, min_length=1)
    """Where the base of an adapter is, if it has moved; it must be the version that the adapter was trained on."""
    batch_size: int = Field(default=32, ge=1)
    """Images in a batch that is kept for a next attempt. Each is encoded and decoded alone, whatever the batch."""
