"""Configuration of sampling, and the plan of what to draw."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from lesiongen.config import StageConfig, must_be, parse_config
from lesiongen.dataset.subgroups import SUBGROUPS, Subgroup
from lesiongen.diffusion.families.sampler_names import SAMPLERS
from lesiongen.errors import UsageError
from lesiongen.names import DerivedName

__all__ = ["BALANCE", "Plan", "PlanEntry", "SampleConfig", "parse_plan"]

BALANCE: Final = "balance"
_Scale = Annotated[float, Field(ge=1.0)]
_Steps = Annotated[int, Field(ge=1)]
Scales = Annotated[
    _Scale | Annotated[tuple[_Scale, ...], Field(min_length=1)],
    must_be("a number of at least 1, or a list of such numbers"),
]
StepCounts = Annotated[
    _Steps | Annotated[tuple[_Steps, ...], Field(min_length=1)],
    must_be("a whole number of at least 1, or a list of such numbers"),
]
Where = Annotated[
    dict[Subgroup, Annotated[str, BeforeValidator(lambda name: str(name) if isinstance(name, int) else name)]],
    must_be(f"a text for one or several of {', '.join(SUBGROUPS)}, for example {{measured_tone: dark}}"),
]


class PlanEntry(StageConfig):
    """Images of one diagnosis, and of one subgroup where ``where`` names one.

    Attributes:
        diagnosis: The class.
        count: How many images.
        where: What the training images are whose captions are used, ``{"measured_tone": "dark"}``.
        guidance_scale: In the place of the run's.
        num_inference_steps: In the place of the run's.
    """

    renamed: ClassVar[Mapping[str, str]] = {"steps": "num_inference_steps"}

    diagnosis: Annotated[str, must_be("a text (in quotes, where YAML takes it for something else)")]
    count: Annotated[int, Field(ge=0), must_be("a whole number, 0 or more")]
    where: Where = Field(default_factory=dict)
    guidance_scale: Scales | None = None
    num_inference_steps: StepCounts | None = None


Plan = dict[str, int] | tuple[PlanEntry, ...] | Literal["balance"]


class SampleConfig(StageConfig):
    """Configuration of sampling.

    The reference method draws guidance from {3, 5, 7.5, 10}; what a classifier learns from synthetic images peaks
    near 2 (Sariyildiz et al. 2023), so 2 is the default here.
    """

    renamed: ClassVar[Mapping[str, str]] = {"steps": "num_inference_steps", "precision": "mixed_precision"}
    replaced_by: ClassVar[Mapping[str, str]] = {"per_class": "plan"}

    name: DerivedName | None = None
    """Name of the synthetic dataset; None: that of the captioned dataset, with ``-synthetic`` for ``-captioned``."""
    per_class: int = Field(default=100, ge=1)
    """Images of each diagnosis, without a plan."""
    plan: Plan | None = None
    """Images by diagnosis, or by diagnosis and subgroup; ``balance`` fills up what the training set lacks."""
    balance_by: tuple[Subgroup, ...] = ()
    """With ``balance``: every diagnosis and subgroup is filled up to the largest; diagnoses alone by default."""
    captions: Literal["dataset", "reference"] = "dataset"
    """Captions of the training images of the same diagnosis, or the reference method's three prompts of a class."""
    min_patients_per_prompt: int = Field(default=5, ge=1)
    """Of age band, sex, site and skin tone a prompt states what at least so many training patients of the diagnosis
    share, and what the plan asks for by name. A synthetic image carries its prompt."""
    guidance_scale: Scales = 2.0
    """1: no guidance, at half the cost. Of several, each image draws one."""
    num_inference_steps: StepCounts = 20
    """Denoising steps. Of several, each image draws one."""
    scheduler: str | None = None
    """Sampler: ``dpmsolver++`` or ``ddim`` of Stable Diffusion 1.x, 2.x and XL, ``euler`` of Stable Diffusion 3; None:
    the first of its family."""
    negative_prompt: str = ""
    mixed_precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """``auto``: bf16 where the GPU or the CPU's matrix units (AMX) have it, else fp16 on a GPU and fp32 on a CPU."""
    lora_scale: float = Field(default=1.0, ge=0)
    """How strongly an adapter changes its base; 0 is the base itself."""
    base: str | None = Field(default=None, min_length=1)
    """Where the base of an adapter is, if it has moved; it must be the version that the adapter was trained on."""
    image_size: int | None = Field(default=None, ge=16, multiple_of=8)
    """Side in pixels, a multiple of 8; None: that of the model's training."""
    batch_size: int = Field(default=32, ge=1)
    """Images drawn at once. An image drawn in a batch of another size differs by rounding."""
    only: tuple[int, ...] = ()
    """Indices of the images that are wanted, all by default. Each is drawn in the batch that it has in the whole plan:
    the image is the same to the last bit."""
    seed: int = 0

    @field_validator("plan", mode="before")
    @classmethod
    def _plan(cls, plan: Any) -> Plan | None:
        return None if plan is None else parse_plan(plan)

    @field_validator("scheduler")
    @classmethod
    def _known_sampler(cls, name: str | None) -> str | None:
        if name is not None and name not in SAMPLERS:
            raise ValueError(f"unknown sampler; samplers are {', '.join(SAMPLERS)}")
        return name

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        without_effect = {
            "per_class": "with a plan" if self.plan is not None else None,
            "balance_by": "without plan = balance" if self.plan != BALANCE else None,
            "min_patients_per_prompt": "with captions = reference" if self.captions == "reference" else None,
            "negative_prompt": "with guidance_scale = 1" if not self._is_guided() else None,
        }
        for name, why in without_effect.items():
            value = getattr(self, name)
            if why is not None and value != type(self).model_fields[name].default:
                raise ValueError(f"{name} = {value!r} has no effect {why}: leave it out")
        return self

    def _is_guided(self) -> bool:
        """Tells whether any image may be drawn with guidance."""
        entries = self.plan if isinstance(self.plan, tuple) else ()
        scales = [entry.guidance_scale or self.guidance_scale for entry in entries] or [self.guidance_scale]
        return any(scale > 1 for each in scales for scale in (each if isinstance(each, tuple) else (each,)))


def parse_plan(plan: Any, source: str = "plan") -> Plan:
    """Reads a plan: counts by diagnosis, a list of entries, or ``balance``.

    Args:
        plan: Plain values, as they are in a file.
        source: Where they come from, for messages.

    Raises:
        UsageError: It is not a plan; the message names the entry, its field and the value.
    """
    if plan == BALANCE:
        return BALANCE
    if isinstance(plan, Mapping):
        entries = [
            parse_config(PlanEntry, {"diagnosis": name, "count": count}, f"{source}, {name}")
            for name, count in plan.items()
        ]
        counts = {entry.diagnosis: entry.count for entry in entries}
        _require_images(entries, source)
        return counts
    if isinstance(plan, Sequence) and not isinstance(plan, str):
        listed = tuple(_entry(entry, f"{source}, entry {number}") for number, entry in enumerate(plan, start=1))
        _require_images(listed, source)
        return listed
    raise UsageError(
        f"{source} = {plan!r}: invalid plan",
        hint="Give a count for each diagnosis (mel: 200), a list of entries, or balance.",
    )


def _entry(entry: Any, source: str) -> PlanEntry:
    if isinstance(entry, PlanEntry):
        return entry
    if not isinstance(entry, Mapping):
        raise UsageError(
            f"{source}: invalid entry {entry!r}",
            hint="Write one as {diagnosis: mel, count: 100, where: {sex: female}}.",
        )
    return parse_config(PlanEntry, entry, source)


def _require_images(entries: Sequence[PlanEntry], source: str) -> None:
    if not any(entry.count for entry in entries):
        raise UsageError(f"{source}: every count is 0, nothing is to be drawn" if entries else f"{source} is empty")
