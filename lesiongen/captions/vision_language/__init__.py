"""Reports written by a vision-language model that is shown the image."""

from lesiongen.captions.vision_language.config import VisionLanguageConfig

__all__ = ["VisionLanguageConfig"]
