"""The Stable Diffusion 1.x and 2.x families: one text encoder, a U-Net, a VAE."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from lesiongen.diffusion.families.caption_tokens import caption_tokens, warn_of_cut_captions
from lesiongen.diffusion.families.discrete_diffusion import DiscreteDiffusion
from lesiongen.diffusion.families.family import CaptionEncoder, Conditioning, ModelFamily

__all__ = ["StableDiffusion"]


class StableDiffusion(ModelFamily):
    """Stable Diffusion 1.x and 2.x; they differ in sizes and in what is predicted, both read from the folder."""

    name = "stable-diffusion"
    pipeline_class = "StableDiffusionPipeline"
    denoiser_part = "unet"
    tokenizer_parts: ClassVar[tuple[str, ...]] = ("tokenizer",)
    text_encoder_parts: ClassVar[tuple[str, ...]] = ("text_encoder",)
    noise_process_type = DiscreteDiffusion

    @staticmethod
    def pipeline_type() -> Any:
        """Returns diffusers' pipeline."""
        from diffusers import StableDiffusionPipeline

        return StableDiffusionPipeline

    @staticmethod
    def denoiser_type() -> Any:
        """Returns diffusers' class of the denoiser."""
        from diffusers import UNet2DConditionModel

        return UNet2DConditionModel

    @staticmethod
    def text_types() -> dict[str, Any]:
        """Returns transformers' class of the tokenizer and the text encoder."""
        from transformers import CLIPTextModel, CLIPTokenizer

        return {"tokenizer": CLIPTokenizer, "text_encoder": CLIPTextModel}

    def pipeline_options(self) -> dict[str, Any]:
        """Returns what the pipeline is made of besides its parts."""
        # The safety checker takes skin for nudity.
        return {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}

    def caption_encoder(self, device: torch.device) -> CaptionEncoder:
        """Loads tokenizer and text encoder; the conditioning is ``text`` [n, tokens, width]."""
        tokenizer = self.load_text_parts(self.tokenizer_parts)["tokenizer"]
        encoder = self.load_text_parts(self.text_encoder_parts)["text_encoder"].to(device).eval()

        @torch.inference_mode()
        def encode(captions: Sequence[str]) -> Conditioning:
            warn_of_cut_captions(tokenizer, captions)
            return {"text": encoder(caption_tokens(tokenizer, captions).to(device))[0].float()}

        return encode

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
