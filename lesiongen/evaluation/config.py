"""Settings of an evaluation."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from lesiongen.config import StageConfig
from lesiongen.dataset.subgroups import SUBGROUPS, Subgroup
from lesiongen.names import Name
from lesiongen.records.comparison_names import FAMILY, ComparisonName
from lesiongen.records.controls import ControlName
from lesiongen.sample_sizes import MIN_CONCEPT_IMAGES, MIN_GROUP_IMAGES, MIN_TEST_IMAGES, MIN_WORST_GROUP_IMAGES

__all__ = ["READ_BY", "EvaluateConfig", "GroupOfPatients", "MixingProtocol"]


def _column_and_group(value: str) -> str:
    column, equals, group = (part.strip() for part in value.partition("="))
    if not equals or not group or column not in SUBGROUPS:
        raise ValueError(f"must be column=group, such as sex=female; columns are {', '.join(SUBGROUPS)}")
    return f"{column}={group}"


GroupOfPatients = Annotated[str, AfterValidator(_column_and_group)]
"""A group of patients as ``column=group``."""


MixingProtocol = Literal["curriculum", "concat", "pretrain", "separate-norm", "minority"]
"""How synthetic images are mixed into the training of the condition ``both``."""

READ_BY: Mapping[str, tuple[MixingProtocol, ...]] = {
    "synthetic_fraction": ("curriculum", "separate-norm", "minority"),
    "synthetic_until": ("curriculum", "pretrain", "separate-norm", "minority"),
    "synthetic_weight": ("concat",),
}
"""The protocols that a field has an effect on."""


class EvaluateConfig(StageConfig):
    """How the classifiers are trained, what they are tested on, and how sure the numbers have to be.

    Attributes:
        name: Name shown on the report.
        seed: Seed of everything random but the classifiers' own seeds.
        n_seeds: Number of classifiers per condition; they are seeded 0, 1, 2, …
        classifiers: What is trained: ``small``, ``resnet18``, ``lite0``, or the folder, s3:// address or ``hub:`` name
            of a transformers image classifier. Verdict, tests and gates rest on the first; the others are reported
            beside it.
        image_size: Side in pixels of the images that the classifier ``small`` sees; ``lite0`` sees 64 to 128.
        steps: Optimisation steps, the same for every condition.
        batch_size: Images in a step, the same for every condition.
        learning_rate: AdamW's peak learning rate, with a warm-up and a cosine decay; of the classifier ``small``.
        weight_decay: AdamW's weight decay; of the classifier ``small``.
        checks: How many times, evenly spaced, a classifier is scored on the validation images.
        protocol: Condition "both": how synthetic images are mixed in. ``curriculum``: a share of each batch, in the
            first part of the steps. ``concat``: both in one pool. ``pretrain``: synthetic images alone first, then real
            ones alone. ``separate-norm``: as curriculum, with statistics of normalisation of their own. ``minority``:
            as curriculum, of the diagnoses with fewer real training images than the median diagnosis.
        synthetic_fraction: Condition "both": the share of each batch that is synthetic; under ``minority``, of the
            images of each such diagnosis.
        synthetic_until: Condition "both": the share of the steps in which synthetic images are mixed in; real images
            alone end the training.
        synthetic_weight: Condition "both" under ``concat``: how many times a real image a synthetic one counts.
        mixing_curve: Shares of synthetic images, from 0 (real alone) to 1 (synthetic alone), at which the first
            classifier is trained by the protocol and scored on the validation images; it decides nothing.
        controls: What synthetic images have to beat, trained with the first classifier: ``permuted-labels``, the
            synthetic images with their labels exchanged among them; ``longer``, real images alone with more steps;
            ``further-images``, other real images in the place of the synthetic ones; ``label-only``, images drawn from
            captions that name the diagnosis alone in their place.
        control_images: Dataset whose training images the control ``further-images`` takes.
        label_only_images: Dataset of synthetic images that the control ``label-only`` takes.
        longer_factor: How many times `steps` the control ``longer`` takes.
        subgroups: Columns whose groups are scored apart.
        intersections: Pairs of columns whose groups are scored together, such as women of one age band.
        min_group: Fewer test images than this, and a group is marked as too small. Fewer validation images, and it is
            not ranked when the worst group is named.
        worst_group: The worst group, ``column=group`` such as ``sex=female``; None: it is named on validation images.
        min_worst_group: Fewer test images than this, and a group is not claimed to be the worst.
        family: The comparisons that are tested, declared before the run; Holm's correction is over these.
        min_test: Fewer test images than this, and the evaluation refuses to begin.
        n_bootstrap: Bootstrap resamples of the test lesions.
        n_permutations: Sign flips of a permutation test.
        confidence: Coverage of the intervals.
        significance_level: Significance level after Holm's correction.
        fidelity_extractor: The network in whose features fidelity is measured: the folder, s3:// address or ``hub:``
            name of a transformers image model; None: the classifier of real images.
        copy_percentile: Percentile of held-out real similarities that marks a synthetic image as a near copy.
        max_concept_images: Most synthetic images on which the concepts of their captions are measured; of more, so many
            are drawn.
        concept_scorer: A CLIP model of the transformers library that also scores the concepts, as MONET does: its
            folder, s3:// address or hub name (OWNER/NAME or hub:OWNER/NAME@COMMIT); None: none does.
        planted_copies: Copies of training images of each kind that are made to see which of them the search for near
            copies finds.
        allow_real_images: Whether real images may be shown in the report, the figures and MLflow.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "alpha": "significance_level",
        "bootstrap": "n_bootstrap",
        "mix": "synthetic_fraction",
        "mix_until": "synthetic_until",
        "permutations": "n_permutations",
        "seeds": "n_seeds",
    }

    name: Name = "evaluation"
    seed: int = Field(0, ge=0)
    n_seeds: int = Field(5, ge=1, le=50)
    classifiers: tuple[str, ...] = Field(("small",), min_length=1)
    image_size: int = Field(64, ge=32, le=512)
    steps: int = Field(400, ge=1)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    checks: int = Field(8, ge=1)
    protocol: MixingProtocol = "curriculum"
    synthetic_fraction: float = Field(0.5, gt=0, lt=1)
    synthetic_until: float = Field(0.5, gt=0, le=1)
    synthetic_weight: float = Field(1.0, gt=0)
    mixing_curve: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    controls: tuple[ControlName, ...] = ()
    control_images: str | None = None
    label_only_images: str | None = None
    longer_factor: float = Field(2.0, gt=1)
    subgroups: tuple[Subgroup, ...] = ("sex", "age_band", "site", "skin_tone", "measured_tone")
    intersections: tuple[tuple[Subgroup, Subgroup], ...] = (("sex", "age_band"),)
    min_group: int = Field(MIN_GROUP_IMAGES, ge=1)
    worst_group: GroupOfPatients | None = None
    min_worst_group: int = Field(MIN_WORST_GROUP_IMAGES, ge=1)
    family: tuple[str, ...] = Field(FAMILY, min_length=1)
    min_test: int = Field(MIN_TEST_IMAGES, ge=2)
    n_bootstrap: int = Field(1000, ge=100)
    n_permutations: int = Field(10_000, ge=100)
    confidence: float = Field(0.95, gt=0, lt=1)
    significance_level: float = Field(0.05, gt=0, lt=1)
    fidelity_extractor: str | None = Field(None, min_length=1)
    copy_percentile: float = Field(99.0, gt=50, lt=100)
    max_concept_images: int = Field(2000, ge=MIN_CONCEPT_IMAGES)
    concept_scorer: str | None = Field(None, min_length=1)
    planted_copies: int = Field(200, ge=1)
    allow_real_images: bool = True

    @field_validator("intersections")
    @classmethod
    def _pairs_differ(cls, value: tuple[tuple[Subgroup, Subgroup], ...]) -> tuple[tuple[Subgroup, Subgroup], ...]:
        for first, second in value:
            if first == second:
                raise ValueError(f"must be pairs of two columns; found {first} twice")
        return value

    @field_validator("mixing_curve", "controls")
    @classmethod
    def _named_once(cls, values: tuple[float | str, ...]) -> tuple[float | str, ...]:
        for number, value in enumerate(values):
            if value in values[:number]:
                raise ValueError(f"{value} is named twice")
        return values

    @field_validator("family")
    @classmethod
    def _is_a_family(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [str(ComparisonName.read(name)) for name in value]
        if len(set(names)) < len(names):
            raise ValueError("must not name a comparison twice")
        return tuple(names)

    @field_validator("classifiers")
    @classmethod
    def _differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for number, name in enumerate(names):
            if not name.strip():
                raise ValueError("the name of a classifier is empty")
            if name in names[:number]:
                raise ValueError(f"the classifier {name!r} is named twice")
        return names

    @property
    def control_datasets(self) -> dict[ControlName, str | None]:
        """The address of the dataset of each control that takes one."""
        return {"further-images": self.control_images, "label-only": self.label_only_images}

    @model_validator(mode="after")
    def _controls_have_their_datasets(self) -> Self:
        for name, field in (("further-images", "control_images"), ("label-only", "label_only_images")):
            if (name in self.controls) != (getattr(self, field) is not None):
                raise ValueError(f"the control {name} and the dataset {field} must be given together")
        return self

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        """Refuses a number that nothing reads: whoever sets it expects that it has an effect."""
        for name, protocols in READ_BY.items():
            if self.protocol not in protocols and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with the protocol {self.protocol}; leave it at its default")
        if "longer" not in self.controls and self.longer_factor != type(self).model_fields["longer_factor"].default:
            raise ValueError("longer_factor has no effect without the control longer; leave it at its default")
        if self.protocol == "pretrain" and self.synthetic_until == 1:
            raise ValueError("synthetic_until must be less than 1 with the protocol pretrain: real images end it")
        return self
