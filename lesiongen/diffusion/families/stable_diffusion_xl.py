"""The Stable Diffusion XL family: two text encoders, and a U-Net with sizes as inputs (Podell et al. 2023)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from lesiongen.diffusion.families.caption_tokens import caption_tokens, warn_of_cut_captions
from lesiongen.diffusion.families.family import CaptionEncoder, Conditioning
from lesiongen.diffusion.families.model_index import read_index
from lesiongen.diffusion.families.stable_diffusion import StableDiffusion

__all__ = ["StableDiffusionXL"]


class StableDiffusionXL(StableDiffusion):
    """Stable Diffusion XL's base model; the refiner is not part of it."""

    name = "stable-diffusion-xl"
    pipeline_class = "StableDiffusionXLPipeline"
    tokenizer_parts: ClassVar[tuple[str, ...]] = ("tokenizer", "tokenizer_2")
    text_encoder_parts: ClassVar[tuple[str, ...]] = ("text_encoder", "text_encoder_2")

    @staticmethod
    def pipeline_type() -> Any:
        """Returns diffusers' pipeline."""
        from diffusers import StableDiffusionXLPipeline

        return StableDiffusionXLPipeline

    @staticmethod
    def text_types() -> dict[str, Any]:
        """Returns transformers' class of each tokenizer and each text encoder, by its part."""
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        return {
            "tokenizer": CLIPTokenizer, "text_encoder": CLIPTextModel,
            "tokenizer_2": CLIPTokenizer, "text_encoder_2": CLIPTextModelWithProjection,
        }  # fmt: skip

    def pipeline_options(self) -> dict[str, Any]:
        """Returns what the pipeline is made of besides its parts."""
        # Images are marked in their metadata, not by a watermark in their pixels.
        return {"add_watermarker": False, "force_zeros_for_empty_prompt": self._zeros_for_no_prompt()}

    def caption_encoder(self, device: torch.device) -> CaptionEncoder:
        """Loads both tokenizers and text encoders.

        The conditioning is ``text`` [n, tokens, both widths], the last hidden layer but one of each encoder, and
        ``pooled`` [n, width of the second], the projection of its whole text. An empty caption is zeros where the
        pipeline takes zeros for no prompt, as the published base does.
        """
        tokenizers = list(self.load_text_parts(self.tokenizer_parts).values())
        encoders = [encoder.to(device).eval() for encoder in self.load_text_parts(self.text_encoder_parts).values()]
        zeros = self._zeros_for_no_prompt()

        @torch.inference_mode()
        def encode(captions: Sequence[str]) -> Conditioning:
            warn_of_cut_captions(tokenizers[0], captions)
            outputs = [
                encoder(caption_tokens(tokenizer, captions).to(device), output_hidden_states=True)
                for tokenizer, encoder in zip(tokenizers, encoders, strict=True)
            ]
            text = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
            conditioning = {"text": text.float(), "pooled": outputs[1].text_embeds.float()}
            if zeros:
                empty = [row for row, caption in enumerate(captions) if not caption]
                for values in conditioning.values():
                    values[empty] = 0
            return conditioning

        return encode

    def _zeros_for_no_prompt(self) -> bool:
        return bool(read_index(self.folder).get("force_zeros_for_empty_prompt", True))  # diffusers' own default

    def size_conditioning(self, sides: Sequence[int], image_size: int) -> Conditioning:
        """Returns ``size`` [n, 6]: original height and width, crop, target height and width, in pixels.

        An image is cut to its centre square before it is resized: the square is the original, and nothing is cropped
        from it afterwards.
        """
        rows = [(side, side, 0, 0, image_size, image_size) for side in sides]
        return {"size": torch.tensor(rows, dtype=torch.float32)}

    def size_arguments(self, side: int, image_size: int) -> Mapping[str, Any]:
        """Returns the pipeline's arguments that make it say what :meth:`size_conditioning` says."""
        return {"original_size": (side, side), "target_size": (image_size, image_size)}

    def predict(
        self,
        denoiser: torch.nn.Module,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        conditioning: Conditioning,
    ) -> torch.Tensor:
        """Returns the U-Net's prediction [n, c, h, w]."""
        added = {"text_embeds": conditioning["pooled"], "time_ids": conditioning["size"]}
        prediction: torch.Tensor = denoiser(
            noisy, timesteps, conditioning["text"], added_cond_kwargs=added, return_dict=False
        )[0]
        return prediction
