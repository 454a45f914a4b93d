"""How the tiny base model is built."""

from typing import Self

from pydantic import Field, model_validator

from lesiongen.config import StageConfig

__all__ = ["TinyBaseConfig"]


class TinyBaseConfig(StageConfig):
    """Configuration of the tiny base model: Stable Diffusion's parts, small enough for a CPU.

    The VAE halves the image's side between its blocks; the U-Net does so between its own. Only the U-Net's smallest
    resolution attends to the caption's tokens; every resolution sees the caption pooled.
    """

    image_size: int = Field(default=64, ge=16)
    """Side of the images, in pixels."""
    latent_channels: int = Field(default=4, ge=3)
    vae_channels: tuple[int, ...] = Field(default=(16, 32, 64), min_length=2)
    vae_steps: int = Field(default=400, ge=0)
    """Optimizer steps of the VAE; before the first one it already draws a blurred copy of its input."""
    vae_batch_size: int = Field(default=8, ge=1)
    vae_learning_rate: float = Field(default=2e-4, gt=0)
    vae_texture_weight: float = Field(default=0.0, ge=0)
    """Weight of the texture loss beside the squared error, which alone blurs: about 0.5 keeps the amount of fine
    structure, in part as a pattern of single pixels."""
    unet_channels: tuple[int, ...] = Field(default=(64, 96, 160), min_length=2)
    text_width: int = Field(default=128, ge=16)
    text_layers: int = Field(default=2, ge=1)
    text_steps: int = Field(default=300, ge=0)
    """Optimizer steps of the text encoder, which learns to recognise the words of a caption in its end token."""
    text_batch_size: int = Field(default=32, ge=1)
    text_learning_rate: float = Field(default=1e-3, gt=0)
    seed: int = 0

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        halvings = len(self.vae_channels) + len(self.unet_channels) - 2
        if self.image_size % 2**halvings:
            raise ValueError(f"image_size = {self.image_size} is not divisible by {2**halvings}")
        for name in ("vae_channels", "unet_channels", "text_width"):
            values = getattr(self, name)
            widths = values if isinstance(values, tuple) else (values,)
            if any(width % 16 for width in widths):
                raise ValueError(f"{name} = {values}: widths must be multiples of 16")
        if list(self.vae_channels) != sorted(set(self.vae_channels)):
            raise ValueError(f"vae_channels = {self.vae_channels}: each must be wider than the one before")
        return self

    @property
    def latent_size(self) -> int:
        """Side of a latent."""
        return self.image_size // (1 << (len(self.vae_channels) - 1))
