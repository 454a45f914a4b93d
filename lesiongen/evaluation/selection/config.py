"""Settings of a selection of synthetic images."""

from typing import Self

from pydantic import Field, model_validator

from lesiongen.config import StageConfig
from lesiongen.names import DerivedName

__all__ = ["SelectConfig"]


class SelectConfig(StageConfig):
    """Which synthetic images are kept, and by whose judgement.

    Attributes:
        name: Name of the selection; None: that of the synthetic dataset, with ``-selected``.
        keep: Share of each diagnosis that is kept, those that are recognised best first, after near copies are dropped.
        drop_near_copies: Whether images are dropped that are nearer to a training image than held-out real images are.
        copy_percentile: Percentile of the validation images' similarities that marks a near copy.
        classifier: What recognises the diagnoses, as in `EvaluateConfig.classifiers`.
        n_seeds: Number of classifiers whose mean probability counts.
        image_size: Side in pixels of the images that the classifier ``small`` sees; ``lite0`` sees 64 to 128.
        steps: Optimisation steps of each classifier ``small`` or ``resnet18``.
    """

    name: DerivedName | None = None
    keep: float = Field(0.7, gt=0, le=1)
    drop_near_copies: bool = True
    copy_percentile: float = Field(99.0, gt=50, lt=100)
    classifier: str = Field("small", min_length=1)
    n_seeds: int = Field(5, ge=1, le=50)
    image_size: int = Field(64, ge=32, le=512)
    steps: int = Field(400, ge=1)

    @model_validator(mode="after")
    def _selects(self) -> Self:
        if self.keep == 1 and not self.drop_near_copies:
            raise ValueError("keep = 1 with drop_near_copies = false keeps every image; set one of the two")
        return self
