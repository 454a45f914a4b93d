"""The Stable Diffusion 3 and 3.5 families: up to three text encoders and a transformer (Esser et al. 2024)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch

from lesiongen.damage import told_as_damage
from lesiongen.diffusion.families.caption_tokens import caption_tokens, warn_of_cut_captions
from lesiongen.diffusion.families.family import CaptionEncoder, Conditioning, ModelFamily
from lesiongen.diffusion.families.flow_matching import FlowMatching
from lesiongen.errors import UsageError

__all__ = ["StableDiffusion3"]

_ValueT = TypeVar("_ValueT", int, list[int])
_T5_TOKENS = 256
"""Tokens that the pipeline gives to T5, by its default of ``max_sequence_length``."""


class StableDiffusion3(ModelFamily):
    """Stable Diffusion 3 and 3.5; T5, the largest of the text encoders, may be left out, as diffusers allows."""

    name = "stable-diffusion-3"
    pipeline_class = "StableDiffusion3Pipeline"
    denoiser_part = "transformer"
    tokenizer_parts = ("tokenizer", "tokenizer_2", "tokenizer_3")
    text_encoder_parts = ("text_encoder", "text_encoder_2", "text_encoder_3")
    optional_parts: ClassVar[tuple[str, ...]] = ("tokenizer_3", "text_encoder_3")
    noise_process_type = FlowMatching

    @staticmethod
    def pipeline_type() -> Any:
        """Returns diffusers' pipeline."""
        from diffusers import StableDiffusion3Pipeline

        return StableDiffusion3Pipeline

    @staticmethod
    def denoiser_type() -> Any:
        """Returns diffusers' class of the denoiser."""
        from diffusers import SD3Transformer2DModel

        return SD3Transformer2DModel

    @staticmethod
    def text_types() -> dict[str, Any]:
        """Returns transformers' class of each tokenizer and each text encoder, by its part."""
        from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

        return {
            "tokenizer": CLIPTokenizer, "text_encoder": CLIPTextModelWithProjection,
            "tokenizer_2": CLIPTokenizer, "text_encoder_2": CLIPTextModelWithProjection,
            "tokenizer_3": T5TokenizerFast, "text_encoder_3": T5EncoderModel,
        }  # fmt: skip

    def caption_encoder(self, device: torch.device) -> CaptionEncoder:
        """Loads the tokenizers and text encoders.

        The conditioning is ``text`` [n, tokens of CLIP and of T5, width] and ``pooled`` [n, both widths of CLIP]. The
        last hidden layer but one of both CLIP encoders is filled up with zeros to T5's width; without T5 its tokens are
        zeros. The empty caption is encoded as any other.
        """
        tokenizers = self.load_text_parts(self.tokenizer_parts)
        encoders = {
            part: encoder.to(device).eval() for part, encoder in self.load_text_parts(self.text_encoder_parts).items()
        }
        width = self._width()

        def clip(captions: Sequence[str], number: str) -> tuple[torch.Tensor, torch.Tensor]:
            """Returns the states [n, tokens, width] of the last layer but one, and the pooled embedding [n, width]."""
            tokens = caption_tokens(
                tokenizers[f"tokenizer{number}"], captions, tokenizers["tokenizer"].model_max_length
            )
            output = encoders[f"text_encoder{number}"](tokens.to(device), output_hidden_states=True)
            return output.hidden_states[-2], output.text_embeds

        def t5(captions: Sequence[str]) -> torch.Tensor:
            """Returns the states [n, tokens, width]; zeros where the model has no T5."""
            if "text_encoder_3" not in encoders:
                return torch.zeros(len(captions), _T5_TOKENS, width, device=device)
            warn_of_cut_captions(tokenizers["tokenizer_3"], captions, _T5_TOKENS)
            tokens = caption_tokens(tokenizers["tokenizer_3"], captions, _T5_TOKENS)
            states: torch.Tensor = encoders["text_encoder_3"](tokens.to(device))[0]
            return states

        @torch.inference_mode()
        def encode(captions: Sequence[str]) -> Conditioning:
            warn_of_cut_captions(tokenizers["tokenizer"], captions)
            (first, pooled), (second, pooled_2) = clip(captions, ""), clip(captions, "_2")
            both = torch.cat([first, second], dim=-1)
            both = torch.nn.functional.pad(both, (0, width - both.shape[-1]))
            text = torch.cat([both, t5(captions)], dim=1)
            return {"text": text.float(), "pooled": torch.cat([pooled, pooled_2], dim=-1).float()}

        return encode

    def predict(
        self,
        denoiser: torch.nn.Module,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        conditioning: Conditioning,
    ) -> torch.Tensor:
        """Returns the transformer's prediction [n, c, h, w]."""
        prediction: torch.Tensor = denoiser(
            noisy,
            timestep=timesteps,
            encoder_hidden_states=conditioning["text"],
            pooled_projections=conditioning["pooled"],
            return_dict=False,
        )[0]
        return prediction

    def caption_settings(self) -> Mapping[str, int]:
        """Returns the width that text is filled up to, and the number of T5's tokens."""
        return {"width": self._width(), "t5_tokens": _T5_TOKENS}

    def check_image_size(self, image_size: int) -> None:
        """Refuses images that are not whole patches, or have more of them than there are position embeddings.

        Raises:
            UsageError: The transformer cannot be given such images.
            DataError: A configuration does not say what sizes there are.
        """
        vae_levels = len(self._declared("vae", "block_out_channels", list))
        patch = self._declared(self.denoiser_part, "patch_size", int) * 2 ** (vae_levels - 1)
        largest = patch * self._declared(self.denoiser_part, "pos_embed_max_size", int)
        if image_size % patch or image_size > largest:
            raise UsageError(f"image_size = {image_size}: {self.folder} takes a multiple of {patch}, up to {largest}")

    def _width(self) -> int:
        return self._declared(self.denoiser_part, "joint_attention_dim", int)

    def _declared(self, part: str, name: str, kind: type[_ValueT]) -> _ValueT:
        """Returns a field of a part's configuration."""
        path = self.folder / part / "config.json"
        with told_as_damage(path, OSError):
            value = json.loads(path.read_text(encoding="utf-8")).get(name)
            if not isinstance(value, kind) or not value:
                raise ValueError(f"missing or invalid {name}")
            return value
