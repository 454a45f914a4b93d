"""Settings of a sweep."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lesiongen.config import StageConfig
from lesiongen.evaluation.config import READ_BY, EvaluateConfig, MixingProtocol
from lesiongen.names import Name

__all__ = ["Filter", "Mixing", "SweepConfig", "share_field", "shown_numbers"]

_SHARES = {"concat": "synthetic_weight", "pretrain": "synthetic_until"}
"""The field that says how much is synthetic; under the other protocols it is ``synthetic_fraction``."""


class _Setting(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Filter(_Setting):
    """Which images of a set are kept, as `SelectConfig` says.

    Attributes:
        keep: Share of each diagnosis, the best recognised first.
        drop_near_copies: Whether near copies of training images are dropped before.
    """

    keep: float = Field(1.0, gt=0, le=1)
    drop_near_copies: bool = False


class Mixing(_Setting):
    """How synthetic images are mixed in, by fields of `EvaluateConfig`.

    A number that the protocol reads has the default of `EvaluateConfig` where it is not given; others are None.

    Attributes:
        protocol: The protocol.
        synthetic_fraction: Share of a batch, or of the weight in the loss, that is synthetic.
        synthetic_until: Share of the steps in which synthetic images are mixed in.
        synthetic_weight: How many times a real image a synthetic one counts.
    """

    protocol: MixingProtocol = "curriculum"
    synthetic_fraction: float | None = Field(None, gt=0, lt=1)
    synthetic_until: float | None = Field(None, gt=0, le=1)
    synthetic_weight: float | None = Field(None, gt=0)

    def fields(self) -> dict[str, Any]:
        """Returns the fields of `EvaluateConfig` that the protocol reads, and the protocol."""
        return self.model_dump(exclude_none=True)

    @model_validator(mode="before")
    @classmethod
    def _defaults_are_filled_in(cls, values: Any) -> Any:
        """Makes equal what is equal: a number that is left out, and the same number written out."""
        if not isinstance(values, Mapping):
            return values
        protocol = values.get("protocol", cls.model_fields["protocol"].default)
        defaults = {
            name: EvaluateConfig.model_fields[name].default
            for name, protocols in READ_BY.items()
            if protocol in protocols and values.get(name) is None
        }
        return {**values, **defaults}

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        EvaluateConfig(**self.fields())
        return self


def share_field(protocol: str) -> str:
    """Returns the field that says how much is synthetic under a protocol."""
    return _SHARES.get(protocol, "synthetic_fraction")


def shown_numbers(mixing: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers in the name of a mixing: how much is synthetic, and what is not at its default.

    Args:
        mixing: `Mixing.fields`.

    >>> shown_numbers(Mixing(synthetic_fraction=0.5).fields())
    {'synthetic_fraction': 0.5}
    >>> shown_numbers(Mixing(synthetic_until=0.25).fields())
    {'synthetic_fraction': 0.5, 'synthetic_until': 0.25}
    """
    share = share_field(mixing["protocol"])
    return {
        name: mixing[name]
        for name in READ_BY
        if name in mixing and (name == share or mixing[name] != EvaluateConfig.model_fields[name].default)
    }


class SweepConfig(StageConfig):
    """The grid of candidates, and by what they are judged. Each synthetic set is tried alone, and all of them pooled.

    Attributes:
        name: Name shown on the page.
        seed: Seed of the bootstrap.
        classifier: What judges the candidates, as in `EvaluateConfig.classifiers`; None: ``lite0`` where that extra is
            installed, otherwise ``small``.
        n_seeds: Number of classifiers per candidate, seeded 0, 1, 2, …
        image_size: Side in pixels of the images that the classifier ``small`` sees; ``lite0`` sees 64 to 128.
        steps: Optimisation steps of each classifier ``small`` or ``resnet18``.
        mixings: How synthetic images are mixed in.
        filters: Which of them are kept.
        recogniser: The classifier that says how well an image is recognised, where a filter needs it; not that which
            judges, if it can be helped.
        recogniser_seeds: Number of those classifiers.
        copy_percentile: Percentile of the validation images' similarities that marks a near copy.
        n_bootstrap: Bootstrap resamples of validation lesions and seeds.
        confidence: Coverage of the intervals.
    """

    name: Name = "sweep"
    seed: int = Field(0, ge=0)
    classifier: str | None = None
    n_seeds: int = Field(10, ge=2, le=50)
    image_size: int = Field(64, ge=32, le=512)
    steps: int = Field(400, ge=1)
    mixings: tuple[Mixing, ...] = Field(
        (
            Mixing(synthetic_fraction=0.25),
            Mixing(synthetic_fraction=0.5),
            Mixing(synthetic_fraction=0.75),
            Mixing(protocol="separate-norm", synthetic_fraction=0.5),
        ),
        min_length=1,
    )
    filters: tuple[Filter, ...] = Field((Filter(), Filter(keep=0.7, drop_near_copies=True)), min_length=1)
    recogniser: str = Field("small", min_length=1)
    recogniser_seeds: int = Field(5, ge=1, le=50)
    copy_percentile: float = Field(99.0, gt=50, lt=100)
    n_bootstrap: int = Field(1000, ge=100)
    confidence: float = Field(0.95, gt=0, lt=1)

    def evaluate_config(self, classifier: str, mixing: Mixing | None = None) -> EvaluateConfig:
        """Returns the settings with which a classifier is trained; with a mixing, those of the condition ``both``."""
        fields = {} if mixing is None else mixing.fields()
        return EvaluateConfig(
            classifiers=(classifier,), n_seeds=self.n_seeds, image_size=self.image_size, steps=self.steps, **fields
        )
