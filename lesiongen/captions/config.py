"""Configuration of the caption stage."""

from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from lesiongen.captions.vision_language.config import VisionLanguageConfig
from lesiongen.config import StageConfig
from lesiongen.names import DerivedName

__all__ = ["CaptionConfig", "WriterName"]

WriterName = Literal["expert", "metadata", "measured", "vision-language"]
"""In the order of trust, the most trusted first."""


class CaptionConfig(StageConfig):
    """Configuration of the caption stage.

    Attributes:
        writers: Who may fill entries of the report. The order does not matter: an expert is trusted over the
            metadata, the metadata over a measurement, and a measurement over a vision-language model. ``expert`` keeps
            what the dataset's reports hold already.
        vision_language: The model that the writer ``vision-language`` asks.
        label_only: The reference method's ablation: captions name the diagnosis and nothing else. Reports are
            written all the same.
        seed: Chooses among the wordings.
        tokenizer: ``tiny``, a folder or s3:// prefix with a tokenizer or a diffusers pipeline, or a name on the hub;
            it should be the text encoder's own.
        max_tokens: Longest caption in tokens, special tokens included; by default what the tokenizer allows.
        preview: Number of images on a preview page beside the dataset.
        allow_real_images: Whether the pages may show images of real patients, and name them.
        name: Name of the captioned dataset; by default that of the dataset, with ``-captioned``.
    """

    writers: tuple[WriterName, ...] = ("expert", "metadata", "measured")
    vision_language: VisionLanguageConfig | None = None
    label_only: bool = False
    seed: int = 0
    tokenizer: str = Field("CompVis/stable-diffusion-v1-4", min_length=1)
    max_tokens: int | None = Field(None, ge=4)
    preview: int = Field(0, ge=0, le=500)
    allow_real_images: bool = True
    name: DerivedName | None = None

    @field_validator("writers")
    @classmethod
    def _each_writer_once(cls, writers: tuple[WriterName, ...]) -> tuple[WriterName, ...]:
        if len(set(writers)) != len(writers):
            raise ValueError("a writer is named twice")
        return tuple(name for name in get_args(WriterName) if name in writers)

    @model_validator(mode="after")
    def _a_model_and_its_writer(self) -> "CaptionConfig":
        if ("vision-language" in self.writers) != (self.vision_language is not None):
            raise ValueError("the writer vision-language and the field vision_language need each other")
        return self
