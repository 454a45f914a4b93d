"""Settings of a cross-fitted evaluation."""

from pydantic import Field

from lesiongen.config import StageConfig
from lesiongen.evaluation.config import GroupOfPatients
from lesiongen.names import Name

__all__ = ["CrossfitConfig"]


class CrossfitConfig(StageConfig):
    """How a dataset is divided into folds.

    Attributes:
        name: Name of the evaluation, and the beginning of the folds' names.
        folds: Number of outer folds; each is the test split once.
        validation_share: Of the images outside a fold, the share on which training states and settings are chosen.
        seed: Another seed gives other folds.
        worst_group: The group of patients that is compared as the worst served, ``column=group`` such as
            ``sex=female``; None: none is, as every image is tested on and none is left to name it on.
    """

    name: Name = "crossfit"
    folds: int = Field(5, ge=2, le=20)
    validation_share: float = Field(0.15, ge=0.05, le=0.5)
    seed: int = Field(0, ge=0)
    worst_group: GroupOfPatients | None = None
