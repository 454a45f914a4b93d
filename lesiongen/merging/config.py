"""What can be chosen about a merge."""

from lesiongen.config import StageConfig
from lesiongen.names import Name
from lesiongen.records.merge import Duplicates

__all__ = ["MergeConfig"]


class MergeConfig(StageConfig):
    """Configuration of `lesiongen.merge`.

    Attributes:
        name: Name of the merged dataset.
        duplicates: What happens to images that several datasets show: ``drop`` copies, and what else would let a
            photograph, lesion or patient be in two splits; ``keep`` all and report them; ``fail`` if there are any.
        allow_real_images: Show real patients' images in the report.
    """

    name: Name = "merged"
    duplicates: Duplicates = "drop"
    allow_real_images: bool = True
