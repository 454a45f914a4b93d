"""What can be chosen about a merge."""

from typing import Literal

from lesiongen.config import StageConfig
from lesiongen.names import Name

__all__ = ["MergeConfig"]


class MergeConfig(StageConfig):
    """Configuration of `lesiongen.merge`.

    Attributes:
        name: Name of the merged dataset.
        duplicates: What happens to images that several datasets show: ``drop`` copies, and what else would let a
            photograph, lesion or patient stand in two splits; ``keep`` all and report them; ``fail`` if there are any.
        allow_real_images: Show real patients' images in the report.
    """

    name: Name = "merged"
    duplicates: Literal["drop", "keep", "fail"] = "drop"
    allow_real_images: bool = True
