"""Settings of an export."""

from typing import Annotated, Literal

from pydantic import Field

from lesiongen.config import StageConfig
from lesiongen.names import DerivedName, Name

__all__ = ["ExportConfig"]

_Text = Annotated[str, Field(min_length=1, max_length=2000)]


class ExportConfig(StageConfig):
    """What is exported, and what is said of it.

    Attributes:
        name: Name of the export and the beginning of the images' names; None: that of the dataset.
        leave_out: ``near-copies``: images that an evaluation found nearer to a training image than held-out real images
            are; None: every image is exported.
        model_name: What the generator is called in the images and on the card; None: its version alone names it.
        licence: Licence of the images that the dataset states none for.
        attribution: Whom to name, where the dataset names nobody.
    """

    name: DerivedName | None = None
    leave_out: Literal["near-copies"] | None = None
    model_name: Name | None = None
    licence: _Text | None = None
    attribution: _Text | None = None
