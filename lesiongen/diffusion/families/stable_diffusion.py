"""The Stable Diffusion 1.x and 2.x families: one text encoder, a U-Net, a VAE."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch

from lesiongen.damage import told_as_damage
from lesiongen.declared_weights import check_all_loaded, check_declared_size
from lesiongen.diffusion.families.family import (
    CaptionEncoder,
    Conditioning,
    ImageEncoder,
    ModelFamily,
    register_family,
)
from lesiongen.diffusion.families.model_index import scheduler_type
from lesiongen.diffusion.families.weight_files import variant_of
from lesiongen.diffusion.training.memory_layout import channels_last
from lesiongen.errors import UsageError

__all__ = ["StableDiffusion", "load_part", "load_tokenizer", "warn_of_cut_captions", "without_bars"]

logger = logging.getLogger(__name__)


@register_family
class StableDiffusion(ModelFamily):
    """Stable Diffusion 1.x and 2.x; they differ in sizes and in what is predicted, both read from the folder."""

    name = "stable-diffusion"
    pipeline_class = "StableDiffusionPipeline"
    denoiser_part = "unet"
    caption_parts: ClassVar[tuple[str, ...]] = ("tokenizer", "text_encoder")
    image_parts = ("vae",)
    tokenizer_parts: ClassVar[tuple[str, ...]] = ("tokenizer",)

    def caption_encoder(self, device: torch.device) -> CaptionEncoder:
        """Loads tokenizer and text encoder; the conditioning is ``text`` [n, tokens, width]."""
        tokenizer = load_tokenizer(self.folder / "tokenizer")
        encoder = load_part(self.text_encoder_types()["text_encoder"], self.folder / "text_encoder").to(device).eval()

        @torch.inference_mode()
        def encode(captions: Sequence[str]) -> Conditioning:
            warn_of_cut_captions(tokenizer, captions)
            tokens = tokenizer(
                list(captions),
                padding="max_length",
                truncation=True,
                max_length=tokenizer.model_max_length,
                return_tensors="pt",
            )
            return {"text": encoder(tokens.input_ids.to(device))[0].float()}

        return encode

    def image_encoder(self, device: torch.device) -> ImageEncoder:
        """Loads the VAE; mean and deviation come scaled as the denoiser expects its latents."""
        from diffusers import AutoencoderKL

        vae = load_part(AutoencoderKL, self.folder / "vae").to(device).eval()
        vae.decoder = None  # most of its memory, and only needed to draw
        channels_last(vae)
        scale = vae.config.scaling_factor
        shift = vae.config.shift_factor or 0.0

        @torch.inference_mode()
        def encode(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            posterior = vae.encode(pixels.to(device)).latent_dist
            return (posterior.mean - shift) * scale, posterior.std * scale

        return encode

    @torch.inference_mode()
    def decode(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Decodes one by one: a batch would need its multiple of memory, and falls out of a CPU's cache."""
        latents = (latents.float() / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)).to(vae.dtype)
        return torch.cat([vae.decode(latent[None], return_dict=False)[0].float() for latent in latents])

    def denoiser(self) -> torch.nn.Module:
        """Loads the U-Net, its dropout off."""
        from diffusers import UNet2DConditionModel

        unet: torch.nn.Module = load_part(UNet2DConditionModel, self.folder / "unet")
        _without_dropout(unet)
        return unet

    def predict(
        self,
        denoiser: torch.nn.Module,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        conditioning: Conditioning,
    ) -> torch.Tensor:
        """Returns the U-Net's prediction [n, c, h, w]."""
        prediction: torch.Tensor = denoiser(noisy, timesteps, conditioning["text"], return_dict=False)[0]
        return prediction

    def save_adapter(self, denoiser: torch.nn.Module, output: Path) -> None:
        """Writes ``pytorch_lora_weights.safetensors``, which ``pipeline.load_lora_weights`` reads."""
        from diffusers.utils import convert_state_dict_to_diffusers
        from peft.utils import get_peft_model_state_dict

        adapter = denoiser.peft_config["default"].to_dict()  # type: ignore[index, union-attr]
        adapter["target_modules"] = sorted(adapter["target_modules"])  # a set: its order changes
        self.pipeline_type().save_lora_weights(
            output,
            unet_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(denoiser)),
            unet_lora_adapter_metadata=adapter,
            safe_serialization=True,
        )
        _sort_metadata(output / "pytorch_lora_weights.safetensors")

    @staticmethod
    def pipeline_type() -> Any:
        """Returns diffusers' pipeline."""
        from diffusers import StableDiffusionPipeline

        return StableDiffusionPipeline

    @staticmethod
    def text_encoder_types() -> dict[str, Any]:
        """Returns the class of each text encoder, by its part."""
        from transformers import CLIPTextModel

        return {"text_encoder": CLIPTextModel}

    def pipeline_options(self) -> dict[str, Any]:
        """Returns what the pipeline is made of besides its parts."""
        # The safety checker takes skin for nudity.
        return {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}

    def load_pipeline(self, denoiser: torch.nn.Module | None = None) -> Any:
        """Loads the whole pipeline, in fp32; it draws with the prediction that the denoiser was trained for.

        Its parts are loaded one by one as the classes that the family is made of. diffusers' own loader would take
        the classes, and modules to import, from the folder.

        Raises:
            UsageError: A part has no safetensors weights.
        """
        from diffusers import AutoencoderKL, UNet2DConditionModel

        models = {"vae": AutoencoderKL, **self.text_encoder_types()}
        if denoiser is None:
            models["unet"] = UNet2DConditionModel
        parts = {part: load_part(kind, self.folder / part) for part, kind in models.items()}
        parts |= {part: load_tokenizer(self.folder / part) for part in self.tokenizer_parts}
        with told_as_damage(self.folder / "scheduler", OSError):
            scheduler = scheduler_type(self.folder).from_pretrained(
                self.folder, subfolder="scheduler", local_files_only=True
            )
            scheduler = scheduler.from_config(scheduler.config, prediction_type=self.prediction)
        own = {} if denoiser is None else {self.denoiser_part: denoiser}
        return self.pipeline_type()(**parts, **own, scheduler=scheduler, **self.pipeline_options())


def load_part(kind: Any, folder: Path) -> Any:
    """Loads one model of a pipeline, frozen and in fp32, also where its weights are there in half precision only.

    Left to themselves, transformers takes the precision that a folder was saved in, and diffusers does not: parts of
    one pipeline would differ.

    Raises:
        UsageError: The folder holds no safetensors weights of this kind.
        DataError: Its configuration or its weights are damaged, or do not fit together.
    """
    try:
        with without_bars(), told_as_damage(folder):
            check_declared_size(folder, lambda: _described(kind, folder))
            model, info = kind.from_pretrained(
                folder,
                variant=variant_of(folder),
                use_safetensors=True,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except OSError as error:
        raise _no_safetensors(folder, kind.__name__) from error
    check_all_loaded(folder, info)
    model.requires_grad_(False)
    return model


def _described(kind: Any, folder: Path) -> torch.nn.Module:
    """Builds what a part's configuration describes, without its weights."""
    from diffusers import ModelMixin

    model: torch.nn.Module = (
        kind.from_config(kind.load_config(folder, local_files_only=True))
        if issubclass(kind, ModelMixin)
        else kind(kind.config_class.from_pretrained(folder, local_files_only=True))
    )
    return model


def load_tokenizer(folder: Path) -> Any:
    """Loads one tokenizer of a pipeline.

    Raises:
        DataError: One of its files is damaged or missing.
    """
    from transformers import CLIPTokenizer

    with told_as_damage(folder, OSError):
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _no_safetensors(folder: Path, kind: str) -> UsageError:
    return UsageError(
        f"{folder} holds no safetensors weights of a {kind}",
        hint="Pickled weights are not loaded: convert the model to safetensors first.",
    )


def _sort_metadata(weights: Path) -> None:
    """Sorts a safetensors file's metadata in place: written in an order of chance, they would change its digest."""
    with weights.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        head = json.loads(stream.read(length))
        head["__metadata__"] = dict(sorted(head["__metadata__"].items()))
        content = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
        stream.seek(8)
        stream.write(content.ljust(length))  # the weights lie behind it


def _without_dropout(model: torch.nn.Module) -> None:
    """Turns dropout off: it draws from the global random stream, which no checkpoint holds."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


@contextmanager
def without_bars() -> Iterator[None]:
    """Keeps the libraries' own progress bars, of files on this machine, out of ours."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    shown = [module for module in (diffusers_logging, transformers_logging) if module.is_progress_bar_enabled()]
    for module in shown:
        module.disable_progress_bar()
    try:
        yield
    finally:
        for module in shown:
            module.enable_progress_bar()


def warn_of_cut_captions(tokenizer: Any, captions: Sequence[str]) -> None:
    """Warns where captions are longer than the text encoder reads."""
    limit = tokenizer.model_max_length
    lengths = [len(ids) for ids in tokenizer(list(captions), verbose=False).input_ids]
    cut = sum(length > limit for length in lengths)
    if cut:
        logger.warning("%d captions exceed the text encoder's %d tokens and are cut: caption again", cut, limit)
