"""What the caption stage can be told."""

from typing import Literal

from pydantic import Field, field_validator

from lesiongen.config import StageConfig

__all__ = ["CaptionConfig", "WriterName"]

WriterName = Literal["expert", "metadata", "measured"]


class CaptionConfig(StageConfig):
    """Configuration of the caption stage.

    Attributes:
        writers: Who may fill entries of the report. The order does not matter: an expert is trusted over the
            metadata, the metadata over a measurement. ``expert`` keeps what the dataset's reports hold already.
        label_only: The reference method's ablation: captions name the diagnosis and nothing else. Reports are
            written all the same.
        seed: Chooses among the wordings.
        tokenizer: ``tiny``, a folder or s3:// prefix with a tokenizer or a diffusers pipeline, or a name on the hub;
            it should be the text encoder's own.
        max_tokens: Longest caption in tokens, special tokens included; by default what the tokenizer allows.
        preview: Number of images on a preview page beside the dataset.
        allow_real_images: Whether the preview may be made from images of real patients.
        name: Name of the captioned dataset.
    """

    writers: tuple[WriterName, ...] = ("expert", "metadata", "measured")
    label_only: bool = False
    seed: int = 0
    tokenizer: str = Field("CompVis/stable-diffusion-v1-4", min_length=1)
    max_tokens: int | None = Field(None, ge=4)
    preview: int = Field(0, ge=0, le=500)
    allow_real_images: bool = True
    name: str = Field("captioned", min_length=1)

    @field_validator("writers")
    @classmethod
    def _each_writer_once(cls, writers: tuple[WriterName, ...]) -> tuple[WriterName, ...]:
        if len(set(writers)) != len(writers):
            raise ValueError("a writer is named twice")
        return writers
