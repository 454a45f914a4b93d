"""Model families: all that differs between kinds of text-to-image models, behind one small interface."""

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from lesiongen.diffusion.families import adapter
from lesiongen.diffusion.families.model_index import UNUSED_PARTS, read_index
from lesiongen.diffusion.families.noise_process import NoiseProcess
from lesiongen.diffusion.families.parts import check_part, load_part, load_tokenizer, without_dropout
from lesiongen.diffusion.families.weight_files import plain_name, variant_of
from lesiongen.diffusion.memory_layout import channels_last
from lesiongen.errors import DataError, UsageError

__all__ = ["CaptionEncoder", "Conditioning", "ImageEncoder", "ModelFamily", "Reconstructor"]

Conditioning = Mapping[str, torch.Tensor]
"""Inputs of the denoiser besides the noisy latent: one tensor [n, ...] per name."""
CaptionEncoder = Callable[[Sequence[str]], Conditioning]
ImageEncoder = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Pixels [n, 3, size, size] in [-1, 1] to the posterior's mean and standard deviation [n, c, h, w]."""
Reconstructor = Callable[[torch.Tensor], torch.Tensor]
"""Pixels [n, 3, size, size] in [-1, 1] to pixels about as large, of the same shape."""

_PLAIN_FILES = {".json", ".safetensors", ".txt"}


class ModelFamily(ABC):
    """One kind of text-to-image model, in a local diffusers pipeline folder.

    A new family is one file with a subclass, and its name in ``supported.FAMILIES``. The subclass names the folder's
    parts and the classes of diffusers and transformers that they are loaded as, its noise process, how captions are
    encoded and how the denoiser is called. Latents are those of an ``AutoencoderKL``. Trainer, generator, checkpoints,
    adapters and downloads then work as they are.

    Every part is loaded when asked for and belongs to the caller, who drops it to free its memory. Only
    safetensors are read, and no code from the folder.

    Args:
        folder: The pipeline folder.
        prediction_type: What the denoiser predicts, in training and drawing; None: what the folder's scheduler says.

    Raises:
        UsageError: The folder is not a pipeline, or its noise process is not the family's.
        DataError: A part is missing, or a file of it is damaged.
    """

    name: ClassVar[str]
    pipeline_class: ClassVar[str]
    """``_class_name`` in model_index.json."""
    denoiser_part: ClassVar[str]
    """Subfolder of the denoiser, and its name in the pipeline and in an adapter."""
    tokenizer_parts: ClassVar[tuple[str, ...]]
    """Subfolders of the tokenizers, in the order of their text encoders."""
    text_encoder_parts: ClassVar[tuple[str, ...]]
    """Subfolders of the text encoders."""
    image_parts: ClassVar[tuple[str, ...]] = ("vae",)
    """Subfolders that an image's encoding depends on."""
    optional_parts: ClassVar[tuple[str, ...]] = ()
    """Subfolders that a pipeline may lack; model_index.json then names no class for them."""
    noise_process_type: ClassVar[type[NoiseProcess]]
    """How noise is added, what of it is predicted, and with which samplers it is removed."""

    def __init__(self, folder: Path, prediction_type: str | None = None) -> None:
        self.folder = folder
        self.encoder_parts = self._encoder_parts()
        """Subfolders that a caption's or an image's encoding depends on."""
        for part in ("scheduler", *self.encoder_parts, self.denoiser_part):
            check_part(folder / part)
        self.noise_process = self.noise_process_type(folder, prediction_type)

    @staticmethod
    @abstractmethod
    def pipeline_type() -> Any:
        """Returns diffusers' pipeline."""

    @staticmethod
    @abstractmethod
    def denoiser_type() -> Any:
        """Returns diffusers' class of the denoiser."""

    @staticmethod
    @abstractmethod
    def text_types() -> dict[str, Any]:
        """Returns transformers' class of each tokenizer and each text encoder, by its part."""

    @abstractmethod
    def caption_encoder(self, device: torch.device) -> CaptionEncoder:
        """Loads what turns captions into conditioning, as the pipeline itself does; the empty caption included."""

    @abstractmethod
    def predict(
        self,
        denoiser: torch.nn.Module,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        conditioning: Conditioning,
    ) -> torch.Tensor:
        """Returns the denoiser's prediction [n, c, h, w]."""

    def pipeline_options(self) -> dict[str, Any]:
        """Returns what the pipeline is made of besides its parts; mostly nothing."""
        return {}

    def caption_settings(self) -> Mapping[str, int]:
        """Returns what a caption's encoding depends on besides the encoders' files; mostly nothing."""
        return {}

    def check_image_size(self, image_size: int) -> None:
        """Refuses images that the denoiser cannot be given; most take every multiple of 8.

        Args:
            image_size: Side in pixels.

        Raises:
            UsageError: The denoiser cannot be given such images.
        """
        return

    def size_conditioning(self, sides: Sequence[int], image_size: int) -> Conditioning:
        """Returns the sizes of images as inputs of the denoiser, one row for each; most families have none.

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

    @classmethod
    def hub_files(cls) -> list[str]:
        """Returns patterns of the files of a hub repository that belong to the family.

        The names are exact: a repository also holds pickles, other precisions and a safety checker.
        """
        weights = dict.fromkeys(cls.text_encoder_parts, "model")
        weights |= dict.fromkeys((cls.denoiser_part, *cls.image_parts), "diffusion_pytorch_model")
        return [
            "model_index.json",
            *(f"{part}/*.json" for part in ("scheduler", *cls.tokenizer_parts, *weights)),
            *(f"{part}/*.txt" for part in cls.tokenizer_parts),
            *(f"{part}/{name}.safetensors" for part, name in weights.items()),
            *(f"{part}/{name}-*-of-*.safetensors" for part, name in weights.items()),
        ]

    def denoiser(self) -> torch.nn.Module:
        """Loads the denoiser, in fp32, its dropout off."""
        return without_dropout(load_part(self.denoiser_type(), self.folder / self.denoiser_part))

    def load_text_parts(self, parts: Sequence[str]) -> dict[str, Any]:
        """Loads those of the tokenizers or text encoders that the folder has, by their part."""
        types = self.text_types()
        return {
            part: (load_tokenizer if part in self.tokenizer_parts else load_part)(types[part], self.folder / part)
            for part in parts
            if part in self.encoder_parts
        }

    def image_encoder(self, device: torch.device) -> ImageEncoder:
        """Loads the VAE's encoder, in fp32: in fp16 it overflows.

        Mean and deviation come shifted and scaled as the denoiser expects its latents.
        """
        from diffusers import AutoencoderKL

        vae = load_part(AutoencoderKL, self.folder / "vae").to(device).eval()
        vae.decoder = None  # most of its memory, and only needed to draw
        channels_last(vae)
        scale = vae.config.scaling_factor
        shift = vae.config.shift_factor or 0.0

        @torch.inference_mode()
        def encode(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Returns mean and deviation of the latents of images, scaled as the denoiser takes them."""
            posterior = vae.encode(pixels.to(device)).latent_dist
            return (posterior.mean - shift) * scale, posterior.std * scale

        return encode

    def reconstructor(self, device: torch.device) -> Reconstructor:
        """Loads the whole VAE, in fp32, to encode images and to decode the mean of their latents, without the denoiser.

        Raises:
            UsageError: The family has no VAE: its denoiser works on pixels.
        """
        from diffusers import AutoencoderKL

        if "vae" not in self.image_parts:
            raise UsageError(
                f"{self.folder} is of the family {self.name}, which has no autoencoder",
                hint="Its denoiser draws pixels: whatever its images lose, the denoiser has lost.",
            )
        vae = load_part(AutoencoderKL, self.folder / "vae").to(device).eval()
        channels_last(vae)

        @torch.inference_mode()
        def reconstruct(pixels: torch.Tensor) -> torch.Tensor:
            """Returns images, encoded and decoded without noise."""
            latents = vae.encode(pixels.to(device)).latent_dist.mean
            decoded: torch.Tensor = vae.decode(latents, return_dict=False)[0]
            return decoded

        return reconstruct

    @torch.inference_mode()
    def decode(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Returns the pixels of latents as the denoiser made them, [n, 3, size, size] in [-1, 1], in fp32.

        They are decoded one by one: a batch would need its multiple of memory, and falls out of a CPU's cache.
        """
        latents = (latents.float() / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)).to(vae.dtype)
        return torch.cat([vae.decode(latent[None], return_dict=False)[0].float() for latent in latents])

    def save_adapter(self, denoiser: torch.nn.Module, output: Path) -> None:
        """Writes the denoiser's LoRA adapter in diffusers' own format."""
        adapter.save_adapter(self.pipeline_type(), self.denoiser_part, denoiser, output)

    def load_adapter(self, pipeline: Any, folder: Path, scale: float) -> None:
        """Merges an adapter that :meth:`save_adapter` wrote, times a scale, into the denoiser of a pipeline."""
        adapter.load_adapter(self.denoiser_part, getattr(pipeline, self.denoiser_part), folder, scale)

    def load_pipeline(self, denoiser: torch.nn.Module | None = None) -> Any:
        """Loads the whole diffusers pipeline, in fp32, with the default sampler of the noise process.

        Its parts are loaded one by one as the classes that the family is made of. diffusers' own loader would take
        the classes, and modules to import, from the folder.

        Args:
            denoiser: In the place of the folder's own, which is then not loaded.

        Raises:
            UsageError: A part has no safetensors weights.
        """
        from diffusers import AutoencoderKL

        if denoiser is None:
            denoiser = load_part(self.denoiser_type(), self.folder / self.denoiser_part)
        parts = {"vae": load_part(AutoencoderKL, self.folder / "vae"), self.denoiser_part: denoiser}
        parts |= dict.fromkeys(self.optional_parts) | self.load_text_parts(
            (*self.text_encoder_parts, *self.tokenizer_parts)
        )
        return self.pipeline_type()(**parts, scheduler=self.noise_process.sampler(), **self.pipeline_options())

    def save_pipeline(self, denoiser: torch.nn.Module, output: Path) -> None:
        """Writes the whole pipeline with this denoiser in the place of the folder's own."""
        output.mkdir(parents=True, exist_ok=True)
        for part in self.encoder_parts:
            _copy_plain(self.folder / part, output / part)
        self.noise_process.save(output / "scheduler")
        denoiser.save_pretrained(output / self.denoiser_part, safe_serialization=True)  # type: ignore[operator]
        index = read_index(self.folder)
        index["scheduler"] = ["diffusers", type(self.noise_process.schedule).__name__]
        for part in UNUSED_PARTS:
            if part in index:
                index[part] = [None, None]
        if "requires_safety_checker" in index or "safety_checker" in index:
            index["requires_safety_checker"] = False
        (output / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    def _encoder_parts(self) -> tuple[str, ...]:
        index = read_index(self.folder)
        absent = {part for part in self.optional_parts if index.get(part, [None, None]) == [None, None]}
        for tokenizer, encoder in zip(self.tokenizer_parts, self.text_encoder_parts, strict=True):
            if tokenizer in absent and encoder not in absent:
                raise DataError(
                    f"{self.folder / 'model_index.json'} names {encoder} without {tokenizer}",
                    hint="Copy or download the model again.",
                )
        return tuple(part for part in (*self._caption_parts(), *self.image_parts) if part not in absent)

    def _caption_parts(self) -> Iterator[str]:
        for pair in zip(self.tokenizer_parts, self.text_encoder_parts, strict=True):
            yield from pair


def _copy_plain(source: Path, target: Path) -> None:
    variant = variant_of(source)
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.suffix in _PLAIN_FILES:
            place = target / path.relative_to(source).with_name(plain_name(path.name, variant))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
