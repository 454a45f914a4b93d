"""Model families: all that differs between kinds of text-to-image models, behind one small interface."""

import json
import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open

from lesiongen import limits
from lesiongen.damage import told_as_damage
from lesiongen.diffusion.families.model_index import UNUSED_PARTS, read_index
from lesiongen.diffusion.families.weight_files import plain_name, variant_of
from lesiongen.errors import DataError, UsageError

__all__ = ["CaptionEncoder", "Conditioning", "ImageEncoder", "ModelFamily", "family_of", "register_family"]

logger = logging.getLogger(__name__)

Conditioning = Mapping[str, torch.Tensor]
"""What the denoiser is told besides the noisy latent: one tensor [n, ...] per name."""
CaptionEncoder = Callable[[Sequence[str]], Conditioning]
ImageEncoder = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Pixels [n, 3, size, size] in [-1, 1] to the posterior's mean and standard deviation [n, c, h, w]."""

_PLAIN_FILES = {".json", ".safetensors", ".txt"}
_FAMILIES: dict[str, type["ModelFamily"]] = {}


class ModelFamily(ABC):
    """One kind of model, in a local diffusers pipeline folder.

    Every part is loaded when asked for and belongs to the caller, who drops it to free its memory. Only
    safetensors are read, and no code from the folder.

    Args:
        folder: The pipeline folder.
        prediction: ``epsilon`` or ``v_prediction``; None: what the folder's scheduler says.

    Training and drawing both go by ``prediction``.
    """

    name: ClassVar[str]
    pipeline_class: ClassVar[str]
    """``_class_name`` in model_index.json."""
    denoiser_part: ClassVar[str]
    """Subfolder of the denoiser."""
    caption_parts: ClassVar[tuple[str, ...]]
    """Subfolders that a caption's encoding depends on."""
    image_parts: ClassVar[tuple[str, ...]]
    """Subfolders that an image's encoding depends on."""

    def __init__(self, folder: Path, prediction: str | None = None) -> None:
        from diffusers import DDPMScheduler

        self.folder = folder
        with told_as_damage(folder / "scheduler", OSError):
            described = DDPMScheduler.load_config(folder, subfolder="scheduler", local_files_only=True)
            steps = described.get("num_train_timesteps", 1000)
            if not 0 < steps <= limits.MAX_TIMESTEPS:  # the schedule has several numbers for each
                raise ValueError(f"num_train_timesteps = {steps:,} is not within 1 and {limits.MAX_TIMESTEPS:,}")
            self.noise_schedule = DDPMScheduler.from_config(described)
        said: str = self.noise_schedule.config.prediction_type
        self.prediction = prediction or said
        if self.prediction != said:
            _warn_of_other_prediction(folder, said, self.prediction)
            self.noise_schedule = DDPMScheduler.from_config(self.noise_schedule.config, prediction_type=self.prediction)
        if self.prediction not in ("epsilon", "v_prediction"):
            raise UsageError(f"{folder}: scheduler predicts {self.prediction!r}, not epsilon or v_prediction")

    @abstractmethod
    def caption_encoder(self, device: torch.device) -> CaptionEncoder:
        """Loads what turns captions into conditioning."""

    @abstractmethod
    def image_encoder(self, device: torch.device) -> ImageEncoder:
        """Loads the VAE's encoder, in fp32: in fp16 it overflows."""

    @abstractmethod
    def denoiser(self) -> torch.nn.Module:
        """Loads the denoiser, in fp32."""

    @abstractmethod
    def predict(
        self,
        denoiser: torch.nn.Module,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        conditioning: Conditioning,
    ) -> torch.Tensor:
        """Returns the denoiser's prediction [n, c, h, w]."""

    @abstractmethod
    def save_adapter(self, denoiser: torch.nn.Module, output: Path) -> None:
        """Writes the denoiser's LoRA adapter in diffusers' own format."""

    @abstractmethod
    def load_pipeline(self, denoiser: torch.nn.Module | None = None) -> Any:
        """Loads the whole diffusers pipeline, for drawing.

        Args:
            denoiser: In the place of the folder's own, which is then not loaded.
        """

    @abstractmethod
    def decode(self, vae: torch.nn.Module, latents: torch.Tensor) -> torch.Tensor:
        """Returns the pixels of latents as the denoiser made them, [n, 3, size, size] in [-1, 1], in fp32."""

    def size_conditioning(self, sides: Sequence[int], image_size: int) -> Conditioning:
        """Returns what the denoiser is told of images' sizes, one row for each; most families are told nothing.

        Args:
            sides: Side of each image's centre square before it is resized, in pixels.
            image_size: Side that it is resized to.
        """
        return {}

    def size_arguments(self, side: int, image_size: int) -> Mapping[str, Any]:
        """Returns the pipeline's arguments that tell the denoiser sizes as in its training; mostly none.

        Args:
            side: Side of a training image's centre square before it was resized, in pixels.
            image_size: Side of the image to draw.
        """
        return {}

    def save_pipeline(self, denoiser: torch.nn.Module, output: Path) -> None:
        """Writes the whole pipeline with this denoiser in the place of the folder's own."""
        output.mkdir(parents=True, exist_ok=True)
        for part in (*self.caption_parts, *self.image_parts):
            _copy_plain(self.folder / part, output / part)
        self.noise_schedule.save_pretrained(output / "scheduler")
        denoiser.save_pretrained(output / self.denoiser_part, safe_serialization=True)  # type: ignore[operator]
        index = read_index(self.folder)
        index["scheduler"] = ["diffusers", type(self.noise_schedule).__name__]
        for part in UNUSED_PARTS:
            if part in index:
                index[part] = [None, None]
        if "requires_safety_checker" in index or "safety_checker" in index:
            index["requires_safety_checker"] = False
        (output / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def register_family(family: type[ModelFamily]) -> type[ModelFamily]:
    """Makes a family known to :func:`family_of`."""
    _FAMILIES[family.pipeline_class] = family
    return family


def family_of(folder: Path, prediction: str | None = None) -> ModelFamily:
    """Opens a diffusers pipeline folder as the family that it belongs to.

    Raises:
        UsageError: It is not a pipeline folder, its family is unknown, or it requires custom code.
        DataError: A part is missing, or a file of it is damaged.
    """
    from lesiongen.diffusion.families import (
        stable_diffusion,  # noqa: F401  they register themselves
        stable_diffusion_xl,  # noqa: F401  they register themselves
    )

    name = read_index(folder)["_class_name"]
    if name not in _FAMILIES:
        known = ", ".join(sorted(_FAMILIES))
        raise UsageError(f"{folder} holds a {name}, which is not supported", hint=f"Supported: {known}.")
    family = _FAMILIES[name]
    for part in ("scheduler", *family.caption_parts, *family.image_parts, family.denoiser_part):
        _check_part(folder / part)
    return family(folder, prediction)


def _check_part(folder: Path) -> None:
    """Looks at configurations and at the heads of weights: what is wrong is told before anything is encoded."""
    hint = "Copy or download the model again."
    configurations = sorted(folder.glob("*config.json"))
    if not configurations:
        raise DataError(f"{folder} is missing, or holds no configuration: the model is not whole", hint=hint)
    try:
        for path in configurations:
            json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, "pt"):
                pass  # opening it compares its size with what its head says
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise DataError(f"{path} is damaged: {error}", hint=hint) from error


@cache
def _warn_of_other_prediction(folder: Path, said: str, prediction: str) -> None:
    """Warns once in a process, however often the folder is opened."""
    logger.warning(
        "The base %s was trained to predict %s, and is used to predict %s; prediction=null trains as the base was",
        folder, said, prediction,
    )  # fmt: skip


def _copy_plain(source: Path, target: Path) -> None:
    variant = variant_of(source)
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.suffix in _PLAIN_FILES:
            place = target / path.relative_to(source).with_name(plain_name(path.name, variant))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
