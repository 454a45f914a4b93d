"""A published generator, loaded for drawing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from lesiongen.diffusion.families.family import ModelFamily
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.memory_layout import channels_last
from lesiongen.diffusion.model.folder import local_model, model_version, read_manifest
from lesiongen.diffusion.precision import HALF, drawing_precision
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.diffusion.sampling.plan import Request
from lesiongen.errors import DataError, StorageError, Unreachable, UsageError
from lesiongen.records.model import BaseReference, ModelManifest
from lesiongen.records.provenance import SyntheticProvenance
from lesiongen.seeds import derive_seed

__all__ = ["Generator", "base_folder", "load_generator"]


class Generator:
    """A diffusers pipeline that draws every image from a random stream of its own.

    Args:
        family: The model's family.
        pipeline: Its diffusers pipeline.
        version: Version of the model it was loaded from.
        image_size: Side of the images it was trained on; None where that is not known.
        original_side: Side that they had before they were resized; None where that is not known.
    """

    def __init__(
        self,
        family: ModelFamily,
        pipeline: Any,
        version: str,
        image_size: int | None = None,
        original_side: int | None = None,
    ) -> None:
        self.family, self.pipeline, self.version = family, pipeline, version
        self.image_size, self.original_side = image_size, original_side
        self.precision = "fp32"
        self.scheduler = family.noise_process.sampler_name(None)

    def prepare(self, precision: str = "fp32") -> "Generator":
        """Brings the pipeline to a precision, and to the device and the memory layout in which it draws fastest.

        The VAE stays in fp32: in fp16 it overflows, and in bf16 that of a trained tiny model lost a hundredth of the
        contrast, more than all the rest of the pipeline changes. So do guidance and the scheduler, which add up small
        differences of large numbers.

        Args:
            precision: ``bf16`` or ``fp16`` casts the weights; ``fp32`` leaves them as they are.
        """
        self.precision = precision
        half = HALF.get(precision)
        self.pipeline.set_progress_bar_config(disable=True)
        for name, part in self.pipeline.components.items():
            if isinstance(part, torch.nn.Module):
                channels_last(part, None if name == "vae" else half, unchanged=_overflowing(part, half))
        if half is not None:
            _take_and_give_fp32(getattr(self.pipeline, self.family.denoiser_part), half)
        if torch.cuda.is_available():
            self.pipeline.to("cuda")
        return self

    def set_scheduler(self, name: str | None) -> None:
        """Chooses how the noise is removed; what is predicted and the noise schedule stay those of the training.

        Args:
            name: One of the noise process's samplers; None: its default.

        Raises:
            UsageError: It has no sampler of this name.
        """
        self.scheduler = self.family.noise_process.sampler_name(name)
        self.pipeline.scheduler = self.family.noise_process.sampler(name)

    def draw(self, batch: Sequence[Request], config: SampleConfig) -> list[Image.Image]:
        """Draws images that share guidance and steps; one drawn alone is the one drawn in a batch, up to rounding."""
        size = config.image_size or self.image_size
        if size is not None:
            self.family.check_image_size(size)
        # On the CPU whatever the device: the same seed then gives the same noise everywhere.
        streams = [torch.Generator().manual_seed(derive_seed(config.seed, "image", item.index)) for item in batch]
        drawn = self.pipeline(
            prompt=[item.prompt for item in batch],
            # None, not an empty text: which of the two a model was trained with is for its pipeline to say.
            negative_prompt=[config.negative_prompt] * len(batch) if config.negative_prompt else None,
            num_inference_steps=batch[0].steps,
            guidance_scale=batch[0].guidance_scale,
            generator=streams,
            height=size,
            width=size,
            output_type="latent",
            **self._size_arguments(size),
        )
        pixels = self.family.decode(self.pipeline.vae, drawn.images)
        images: list[Image.Image] = self.pipeline.image_processor.postprocess(pixels, output_type="pil")
        return images

    def provenance(self, request: Request, config: SampleConfig, address: str) -> SyntheticProvenance:
        """Returns how an image of a request is drawn; the address is where the generator was loaded from."""
        return SyntheticProvenance(
            model=address,
            model_version=self.version,
            prompt=request.prompt,
            negative_prompt=config.negative_prompt,
            seed=config.seed,
            index=request.index,
            guidance_scale=request.guidance_scale,
            steps=request.steps,
            scheduler=self.scheduler,
            lora_scale=config.lora_scale,
            precision=self.precision,
        )

    def _size_arguments(self, size: int | None) -> Mapping[str, Any]:
        if self.original_side is None or size is None:
            return {}
        return self.family.size_arguments(self.original_side, size)


def load_generator(
    uri: str,
    *,
    lora_scale: float = 1.0,
    precision: str = "auto",
    base: str | None = None,
    scheduler: str | None = None,
    image_size: int | None = None,
) -> Generator:
    """Loads a whole pipeline, or a LoRA adapter on its base, from a folder, an ``s3://`` prefix or the hub.

    Args:
        uri: Where the model is.
        lora_scale: How strongly an adapter changes its base.
        precision: ``fp32``, ``fp16``, ``bf16``, or ``auto`` for what is fastest here.
        base: Where the base of an adapter is; by default where it was when the adapter was trained.
        scheduler: The sampler; None: the first of the noise process.
        image_size: Side of the images that will be drawn; None: that of the model's training.

    Raises:
        UsageError: The model is missing or of a kind that cannot be sampled, a scale or a base was given for a model
            that is not an adapter, an adapter's base cannot be read, or the family lacks the sampler or the size.
        DataError: A file is damaged, or the base is not the one that the adapter was trained on.
    """
    with local_model(uri) as folder:
        manifest = read_manifest(folder)
        version = model_version(folder)
        adapts = manifest is not None and manifest.method == "lora"
        if lora_scale != 1.0 and not adapts:
            raise UsageError(f"lora_scale = {lora_scale}: {uri} is a whole model, not an adapter")
        with base_folder(uri, folder, manifest, base) as whole:
            generator = _generator(whole, version, manifest, scheduler, image_size)
        if adapts:
            generator.family.load_adapter(generator.pipeline, folder, lora_scale)
    return generator.prepare(drawing_precision(precision))


def _overflowing(part: torch.nn.Module, half: torch.dtype | None) -> Sequence[str]:
    """Names the layers that overflow in fp16, as transformers names them for T5."""
    return (getattr(part, "_keep_in_fp32_modules", None) or ()) if half is torch.float16 else ()


def _take_and_give_fp32(denoiser: torch.nn.Module, half: torch.dtype) -> None:
    """Lets a denoiser of half precision work between latents and predictions in fp32."""

    def narrowed(value: Any) -> Any:
        # Latents and embeddings; a text encoder may have stayed in fp32. Timesteps keep their type.
        return value.to(half) if isinstance(value, torch.Tensor) and value.ndim > 1 else value

    def narrow(
        _: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(map(narrowed, arguments)), {name: narrowed(value) for name, value in named.items()}

    def widen(_: torch.nn.Module, arguments: tuple[Any, ...], prediction: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (prediction[0].float(),)

    denoiser.register_forward_pre_hook(narrow, with_kwargs=True)
    denoiser.register_forward_hook(widen)


@contextmanager
def base_folder(uri: str, folder: Path, manifest: ModelManifest | None, place: str | None) -> Iterator[Path]:
    """Gives the folder with the whole pipeline of a model: that of an adapter's base, or its own.

    Args:
        uri: The model, for errors.
        folder: Where it lies.
        manifest: Its manifest, if it has one.
        place: Where the base of an adapter is; None: where it was when the adapter was trained.

    Raises:
        UsageError: The base cannot be read, or a place was given for a model that is not an adapter.
        DataError: The base is not the one that the adapter was trained on.
    """
    if manifest is None or manifest.method != "lora":
        if place is not None:
            raise UsageError(f"base = {place}: {uri} is a whole model, not an adapter", hint="Leave the base out.")
        yield folder
        return
    base = manifest.base
    if base is None:
        raise DataError(f"{uri} holds an adapter, but its manifest names no base")
    with _local_base(uri, base, place) as whole:
        found = model_version(whole)
        if found != base.version:
            raise DataError(
                f"{uri} was trained on version {base.version[:12]} of {base.uri}, and {place or 'that'} holds "
                f"{found[:12]}",
                hint=f"Bring the base model back to that version, or give a place that holds it: {_OTHER_PLACE}",
            )
        yield whole


@contextmanager
def _local_base(uri: str, base: BaseReference, place: str | None) -> Iterator[Path]:
    with ExitStack() as held:
        try:
            folder = held.enter_context(local_model(*((place, None) if place else (base.uri, base.revision))))
        except Unreachable:
            raise
        except (UsageError, StorageError) as error:
            raise UsageError(
                f"{uri} is an adapter, and its base model {base.uri} (version {base.version[:12]}) cannot be read: "
                f"{error.args[0]}",
                hint=f"If the base has moved, give its new place: {_OTHER_PLACE}",
            ) from error
        yield folder


_OTHER_PLACE = "--base PLACE (a folder, an s3:// prefix or a hub id)."


def _generator(
    folder: Path, version: str, manifest: ModelManifest | None, scheduler: str | None, image_size: int | None
) -> Generator:
    """Loads a pipeline, to draw as the manifest says that the model was trained; what it lacks is refused before."""
    family = family_of(folder, manifest.prediction if manifest else None)
    family.noise_process.sampler_name(scheduler)
    trained = manifest.image_size if manifest else None
    if (size := image_size or trained) is not None:
        family.check_image_size(size)
    original_side = manifest.original_side if manifest else None
    generator = Generator(family, family.load_pipeline(), version, trained, original_side)
    generator.set_scheduler(scheduler)
    return generator
