"""The model families that are supported; a new one is its file and a place in this list."""

from pathlib import Path

from lesiongen.diffusion.families.family import ModelFamily
from lesiongen.diffusion.families.model_index import read_index
from lesiongen.diffusion.families.stable_diffusion import StableDiffusion
from lesiongen.diffusion.families.stable_diffusion_3 import StableDiffusion3
from lesiongen.diffusion.families.stable_diffusion_xl import StableDiffusionXL
from lesiongen.errors import UsageError

__all__ = ["FAMILIES", "family_named", "family_of", "hub_files"]

FAMILIES: tuple[type[ModelFamily], ...] = (StableDiffusion, StableDiffusionXL, StableDiffusion3)


def family_of(folder: Path, prediction_type: str | None = None) -> ModelFamily:
    """Opens a diffusers pipeline folder as the family that it belongs to.

    Raises:
        UsageError: It is not a pipeline folder, its family is unknown, or it requires custom code.
        DataError: A part is missing, or a file of it is damaged.
    """
    known = {family.pipeline_class: family for family in FAMILIES}
    name = read_index(folder)["_class_name"]
    if name not in known:
        raise UsageError(
            f"{folder} holds a {name}, which is not supported", hint=f"Supported: {', '.join(sorted(known))}."
        )
    return known[name](folder, prediction_type)


def family_named(name: str) -> type[ModelFamily]:
    """Returns the family of this name, as a model's manifest holds it."""
    return {family.name: family for family in FAMILIES}[name]


def hub_files() -> list[str]:
    """Returns patterns of all files of a hub repository that belong to a family, whichever it is of."""
    return sorted({pattern for family in FAMILIES for pattern in family.hub_files()})
